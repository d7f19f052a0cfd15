r"""Tilted densities: `exp(-E - b)` with a bias b, annealed in as the noise goes.

At time t the bias is that of the denoised frame, and weaker the more noise there is:

    E_b(x, t) = E(x, t) + b((x + sigma^2 score) / alpha) / (1 + stiffness sigma^2 / alpha^2)

The denoised frame tells where a noisy one is bound for, so particles are turned towards the bias
while they can still go anywhere; with weights, any such path leads to the same density. For a
harmonic bias the factor is that of a spring in line with the uncertainty of the frame. Source:
twisted diffusion sampling (arXiv 2306.17775).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ..types import Positions, Scalar, Time
from .path import AbstractPath, Energies
from .reverse import Frames, ReverseProcess


class TiltedPath(AbstractPath):
    """A path with a bias.

    Attributes
    ----------
    reverse
        Model and process, of the path without.
    path
        The path without.
    bias
        Of one frame in scaled coordinates, in kT.
    stiffness
        Curvature of the bias in scaled coordinates, in kT.
    """

    reverse: ReverseProcess
    path: AbstractPath
    bias: Callable[[Positions], Scalar]
    stiffness: float = eqx.field(static=True)

    @staticmethod
    def of(
        path: AbstractPath, bias: Callable[[Positions], Scalar], stiffness: float
    ) -> "TiltedPath":
        """Tilt a path."""
        return TiltedPath(path.reverse, path, bias, stiffness)

    def energy_and_score(self, x: Frames, t: Time) -> tuple[Energies, Frames]:
        """See `AbstractPath`."""

        def tilt(frame: Positions) -> tuple[Scalar, tuple[Scalar, Positions]]:
            energy, score = (each[0] for each in self.path.energy_and_score(frame[None], t))
            return self._tilt(frame, score, t), (energy, score)

        (tilts, (energies, scores)), slopes = jax.vmap(jax.value_and_grad(tilt, has_aux=True))(x)
        return energies + tilts, scores - slopes

    def tilts(self, x: Frames, t: Time) -> Energies:
        """What is added to the energy, in kT."""
        scores = self.path.energy_and_score(x, t)[1]
        return jax.vmap(self._tilt, in_axes=(0, 0, None))(x, scores, t)

    def _tilt(self, frame: Positions, score: Positions, t: Time) -> Scalar:
        alpha, sigma = self.reverse.process.level(t)
        denoised = (frame + sigma**2 * score) / alpha
        return self.bias(denoised) / (1.0 + self.stiffness * (sigma / alpha) ** 2)


class HarmonicBias(eqx.Module):
    """`k/2 (value(scale x) - centre)^2` in kT, by the shorter way round where it is periodic.

    Attributes
    ----------
    value
        Collective variable of the positions in nm (or the unit of the system).
    centre, k
        In its unit, and kT over that squared.
    period
        None if there is none.
    scale, offset
        Of the data, nm; a frame in nm is `scale x + offset`.
    """

    value: Callable[[jax.Array], jax.Array]
    centre: float
    k: float
    period: float | None
    scale: float
    offset: jax.Array = eqx.field(converter=jnp.asarray)

    def __call__(self, x: Positions) -> Scalar:
        """Bias of one frame in scaled coordinates."""
        away = self.value(self.scale * x + self.offset) - self.centre
        if self.period is not None:
            away = away - self.period * jnp.round(away / self.period)
        return 0.5 * self.k * away**2

    def stiffness(self, x: Frames) -> float:
        """Mean of `k |grad value|^2` over frames, both in scaled coordinates."""
        slope = jax.vmap(jax.grad(lambda y: self.value(self.scale * y + self.offset)))(x)
        return float(self.k * jnp.mean(jnp.sum(slope**2, axis=(1, 2))))
