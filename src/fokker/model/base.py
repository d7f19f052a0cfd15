"""Scores and energies of the noised density `q_t`, for one frame in scaled coordinates.

Where beads are padded the score is zero, and what the positions are there changes nothing.
"""

from abc import abstractmethod

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ..types import Features, Positions, Scalar, Time


class AbstractScore(eqx.Module):
    """A model of `score(x, t) = grad_x log q_t(x)`."""

    @abstractmethod
    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        """Score at one frame and time, shape (beads, dim)."""


class AbstractEnergy(AbstractScore):
    """A model of `energy(x, t) = -log q_t(x) + const`, whose score is its negative gradient."""

    @abstractmethod
    def energy(self, x: Positions, t: Time, features: Features) -> Scalar:
        """Energy at one frame and time, in units of kT."""

    @abstractmethod
    def energy_and_score(
        self, x: Positions, t: Time, features: Features
    ) -> tuple[Scalar, Float[Array, "beads dim"]]:
        """Both, for the price of one gradient."""


def negative_gradient(energy, x: Positions) -> tuple[Scalar, Float[Array, "beads dim"]]:
    """Value of a function of positions, and minus its gradient."""
    value, gradient = jax.value_and_grad(energy)(x)
    return value, -gradient
