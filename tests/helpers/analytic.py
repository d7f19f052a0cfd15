"""Energies whose diffusion is known in closed form, for the tests of everything downstream.

Components are Gaussians with diagonal covariance in an orthonormal basis of the space the density
lives in, all of R^(beads dim) or its centre-of-mass-free part, so that

    q_t = sum_k w_k N(alpha mu_k, alpha^2 S_k + sigma^2)

and `energy = -log q_t`, normalised in that space.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fokker.model import AbstractEnergy
from fokker.process import AbstractProcess
from fokker.types import Features, Key, Positions, Scalar, Time


def subspace_basis(beads: int, dim: int, *, centred: bool) -> np.ndarray:
    """Orthonormal rows of the space, shape (D, beads dim); `D = dim (beads - 1)` if centred."""
    if not centred:
        return np.eye(beads * dim)
    differences = np.eye(beads)[1:] - np.eye(beads)[:-1]
    rows = np.linalg.qr(differences.T)[0].T
    return np.kron(rows, np.eye(dim))


class AnalyticMixture(AbstractEnergy):
    """Gaussian mixture under a noise process; a model that is right at every t.

    Attributes
    ----------
    weights
        Shape (K,), sum 1.
    means
        Component means, shape (K, beads, dim); centred if the basis is.
    variances
        Variance of each component along each basis vector, shape (K, D).
    basis
        Orthonormal rows, shape (D, beads dim).
    """

    weights: Float[np.ndarray, " components"]
    means: Float[np.ndarray, "components beads dim"]
    variances: Float[np.ndarray, "components degrees"]
    basis: Float[np.ndarray, "degrees coordinates"]
    process: AbstractProcess

    @staticmethod
    def isotropic(
        weights, means, stds, process: AbstractProcess, *, centred: bool = False
    ) -> "AnalyticMixture":
        """One standard deviation a component; means of shape (K, beads, dim)."""
        means = np.asarray(means, float)
        _, beads, dim = means.shape
        basis = subspace_basis(beads, dim, centred=centred)
        variances = np.repeat(np.asarray(stds, float)[:, None] ** 2, len(basis), axis=1)
        return AnalyticMixture.anisotropic(weights, means, variances, process, centred=centred)

    @staticmethod
    def anisotropic(
        weights, means, variances, process: AbstractProcess, *, centred: bool = False
    ) -> "AnalyticMixture":
        """One variance a component and basis vector, shape (K, D)."""
        weights, means = np.asarray(weights, float), np.asarray(means, float)
        if centred:
            means = means - means.mean(axis=1, keepdims=True)
        basis = subspace_basis(*means.shape[1:], centred=centred)
        variances = np.asarray(variances, float)
        return AnalyticMixture(weights / weights.sum(), means, variances, basis, process)

    @property
    def degrees_of_freedom(self) -> int:
        """Dimension D of the space the density lives in."""
        return len(self.basis)

    @property
    def mean(self) -> Float[np.ndarray, "beads dim"]:
        """Mean of the clean density."""
        return np.tensordot(self.weights, self.means, 1)

    @property
    def covariance(self) -> Float[np.ndarray, "coordinates coordinates"]:
        """Covariance of the clean density, on flattened frames."""
        deviations = (self.means - self.mean).reshape(len(self.means), -1)
        within = (self.basis.T * (self.weights @ self.variances)) @ self.basis
        return within + (self.weights[:, None] * deviations).T @ deviations

    def energy(self, x: Positions, t: Time, features: Features | None = None) -> Scalar:
        """`-log q_t(x)`."""
        return -jax.nn.logsumexp(self._log_terms(x, t)[0])

    def score(self, x: Positions, t: Time, features: Features | None = None) -> Positions:
        """Its gradient in closed form."""
        return self.energy_and_score(x, t, features)[1]

    def energy_and_score(
        self, x: Positions, t: Time, features: Features | None = None
    ) -> tuple[Scalar, Float[Array, "beads dim"]]:
        """Both; see `AbstractEnergy`."""
        log_terms, residuals, variances = self._log_terms(x, t)
        responsibilities = jax.nn.softmax(log_terms)
        score = -(responsibilities @ (residuals / variances)) @ self.basis
        return -jax.nn.logsumexp(log_terms), score.reshape(x.shape)

    def sample(self, key: Key, n: int, t: float | None = None) -> Float[Array, "n beads dim"]:
        """Independent frames of the clean density, or of `q_t`."""
        alpha, sigma = (1.0, 0.0) if t is None else self.process.level(jnp.asarray(t))
        key_component, key_noise = jax.random.split(key)
        component = jax.random.choice(
            key_component, len(self.weights), (n,), p=jnp.asarray(self.weights)
        )
        noise = jax.random.normal(key_noise, (n, self.degrees_of_freedom))
        std = jnp.sqrt(alpha**2 * jnp.asarray(self.variances)[component] + sigma**2)
        centre = alpha * jnp.asarray(self.means)[component]
        return centre + ((std * noise) @ self.basis).reshape(centre.shape)

    def _log_terms(self, x: Positions, t: Time):
        """Log of each term of the mixture, residuals and variances in the basis."""
        alpha, sigma = self.process.level(t)
        basis = jnp.asarray(self.basis)
        centres = jnp.asarray(self.means).reshape(len(self.means), -1) @ basis.T
        residuals = basis @ x.ravel() - alpha * centres
        variances = alpha**2 * jnp.asarray(self.variances) + sigma**2
        normaliser = 0.5 * jnp.sum(jnp.log(2.0 * jnp.pi * variances), axis=1)
        log_terms = -0.5 * jnp.sum(residuals**2 / variances, axis=1) - normaliser
        return jnp.log(self.weights) + log_terms, residuals, variances


TWO_WELLS = {
    "weights": [0.3, 0.7],
    "means": [[[-1.2, 0.4]], [[0.9, -0.3]]],
    "stds": [0.15, 0.35],
}
"""Two-dimensional mixture for `AnalyticMixture.isotropic(**TWO_WELLS, process=...)`."""

MOLECULE_MEAN = np.array(
    [[-1.5, 0.3, 0.2], [-0.6, -0.5, 0.1], [0.4, 0.4, -0.4], [1.0, -0.6, 0.6], [1.9, 0.2, -0.3]]
)
"""Five beads that are not their mirror image, in scaled coordinates."""


def molecule_gaussian(process: AbstractProcess) -> AnalyticMixture:
    """Anisotropic Gaussian about five beads in the centre-of-mass-free space (D = 12)."""
    variances = np.linspace(0.01, 0.3, 12)[None]
    return AnalyticMixture.anisotropic([1.0], [MOLECULE_MEAN], variances, process, centred=True)


def molecule_mixture(process: AbstractProcess) -> AnalyticMixture:
    """Two such conformations, one the mirror image of the other, with weights 0.8 and 0.2."""
    means = [MOLECULE_MEAN, MOLECULE_MEAN * np.array([1.0, 1.0, -1.0])]
    return AnalyticMixture.isotropic([0.8, 0.2], means, [0.25, 0.25], process, centred=True)
