"""Harmonic oscillator."""

import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float

from ..types import Key, Positions, Scalar
from .base import AbstractDistribution, AbstractPotential


class Harmonic(AbstractPotential, AbstractDistribution):
    """`1/2 sum_i k_i x_i^2`, with Boltzmann variance `kT / k_i`.

    Parameters
    ----------
    stiffness : spring constant of each coordinate, shape (beads, dim), kJ/mol/nm^2
    kT : thermal energy of `sample`, kJ/mol
    """

    stiffness: Positions
    kT: float

    def energy(self, x: Positions) -> Scalar:
        """Potential energy."""
        return 0.5 * jnp.sum(self.stiffness * x**2)

    def sample(self, key: Key, n: int) -> Float[Array, "n beads dim"]:
        """Return n independent frames of the Boltzmann distribution at kT."""
        noise = random.normal(key, (n, *self.stiffness.shape))
        return jnp.sqrt(self.kT / self.stiffness) * noise
