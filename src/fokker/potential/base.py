"""Analytic targets: potentials, distributions that can be sampled, and targets that are both.

Two abilities are kept apart, because a target may have either without the other: an energy with a
gradient (`AbstractPotential`) and exact independent samples (`AbstractDistribution`).
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import Key, Positions, Scalar


class AbstractPotential(eqx.Module):
    """A differentiable potential energy of one frame."""

    @abstractmethod
    def energy(self, x: Positions) -> Scalar:
        """Potential energy, kJ/mol (model potentials: their own unit)."""

    def force(self, x: Positions) -> Positions:
        """Minus the gradient of the energy."""
        return -jax.grad(self.energy)(x)


class AbstractDistribution(eqx.Module):
    """A distribution with exact independent samples."""

    @abstractmethod
    def sample(self, key: Key, n: int) -> Float[Array, "n beads dim"]:
        """Return n independent frames."""


class AbstractAnalyticTarget(AbstractPotential, AbstractDistribution):
    """A normalised density whose noised marginals are known in closed form.

    The energy is `-log p_0` in units of kT, so kT = 1.
    """

    @abstractmethod
    def log_density(self, x: Positions, alpha: Scalar, sigma: Scalar) -> Scalar:
        """Normalised log density of `x_t = alpha x_0 + sigma eps` at x."""

    def energy(self, x: Positions) -> Scalar:
        """Minus the log density of the data."""
        return -self.log_density(x, jnp.ones(()), jnp.zeros(()))

    def score(self, x: Positions, alpha: Scalar, sigma: Scalar) -> Positions:
        """Gradient of the log density of x_t."""
        return jax.grad(self.log_density)(x, alpha, sigma)
