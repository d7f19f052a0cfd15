"""Mixture of experts over diffusion time."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ..types import Features, Positions, Time
from .base import AbstractEnergy, AbstractScore


class Mixture(AbstractScore):
    """One expert an interval of time: expert i serves `edges[i] <= t < edges[i + 1]`.

    The last interval includes its right edge. Where t is the same for a whole batch (close over it,
    `vmap` over positions only) the switch is a real branch and no other expert is evaluated.
    """

    experts: tuple[AbstractScore, ...]
    edges: tuple[float, ...] = eqx.field(static=True)

    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        """See `AbstractScore`."""
        if len(self.experts) == 1:
            return self.experts[0].score(x, t, features)
        inner = jnp.asarray(self.edges[1:-1])
        index = jnp.searchsorted(inner, t, side="right")
        branches = [lambda *at, expert=expert: expert.score(*at) for expert in self.experts]
        return jax.lax.switch(index, branches, x, t, features)

    def interval(self, index: int) -> tuple[float, float]:
        """Range of times of one expert."""
        return self.edges[index], self.edges[index + 1]

    def expert_at(self, t: float) -> AbstractScore:
        """The expert that serves one time known on the host."""
        index = sum(t >= edge for edge in self.edges[1:-1])
        return self.experts[index]

    @property
    def conservative(self) -> tuple[bool, ...]:
        """Whether each expert is the gradient of an energy."""
        return tuple(isinstance(expert, AbstractEnergy) for expert in self.experts)
