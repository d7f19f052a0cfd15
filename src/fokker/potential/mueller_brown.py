"""Müller-Brown potential."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import Key, Positions, Scalar
from .base import AbstractDistribution, AbstractPotential
from .grid import sample_boltzmann

DEPTH = (-200.0, -100.0, -170.0, 15.0)
A = (-1.0, -1.0, -6.5, 0.7)
B = (0.0, 0.0, 11.0, 0.6)
C = (-10.0, -10.0, -6.5, 0.7)
X0 = (1.0, 0.0, -0.5, -1.0)
Y0 = (0.0, 0.5, 1.5, 1.0)

LIMITS = ((-3.2, 1.6), (-1.2, 3.2))
"""Box of the exact sampler. At kT = 23 a shallow valley leads up and to the left: 0.5 % of the
probability is outside the usual plot window, less than 1e-6 outside this box."""


class MuellerBrown(AbstractPotential, AbstractDistribution):
    """`sum_k A_k exp(a_k dx_k^2 + b_k dx_k dy_k + c_k dy_k^2)`, dx_k = x - X_k, dy_k = y - Y_k.

    Source: Müller and Brown, Theor. Chim. Acta 53, 75 (1979), in its own dimensionless units.

    Parameters
    ----------
    kT : thermal energy of `sample`
    """

    kT: float = 23.0

    def energy(self, x: Positions) -> Scalar:
        """Potential energy at x of shape (1, 2)."""
        dx = x[0, 0] - jnp.array(X0)
        dy = x[0, 1] - jnp.array(Y0)
        exponent = jnp.array(A) * dx**2 + jnp.array(B) * dx * dy + jnp.array(C) * dy**2
        return jnp.sum(jnp.array(DEPTH) * jnp.exp(exponent))

    def sample(self, key: Key, n: int) -> Float[Array, "n 1 2"]:
        """Return n frames of the Boltzmann distribution at kT, from a grid (host only)."""
        return sample_boltzmann(self.energy, self.kT, LIMITS, (1200, 1100), key, n)
