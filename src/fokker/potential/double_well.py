"""Quartic double well in one dimension."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import Key, Positions, Scalar
from .base import AbstractDistribution, AbstractPotential
from .grid import sample_boltzmann


class DoubleWell(AbstractPotential, AbstractDistribution):
    """`barrier (x^2 / width^2 - 1)^2`: minima at -width and +width.

    Parameters
    ----------
    barrier : energy at x = 0, in the unit of kT
    width : distance of each minimum from the origin
    kT : thermal energy of `sample`
    """

    barrier: float
    width: float
    kT: float

    def energy(self, x: Positions) -> Scalar:
        """Potential energy at x of shape (1, 1)."""
        return self.barrier * jnp.sum(((x / self.width) ** 2 - 1.0) ** 2)

    def sample(self, key: Key, n: int) -> Float[Array, "n 1 1"]:
        """Return n frames of the Boltzmann distribution at kT, from a grid (host only)."""
        # Beyond this the energy exceeds 30 kT.
        reach = self.width * (1.0 + (30.0 * self.kT / self.barrier) ** 0.5) ** 0.5
        return sample_boltzmann(self.energy, self.kT, ((-reach, reach),), (4096,), key, n)
