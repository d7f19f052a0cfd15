r"""Refinement: the relative entropy of the frames to the model's own simulation is minimised.

Dynamics at the time t of the simulation sample `p(x) ~ exp(-energy(x, t))`. The relative entropy of
the data to p is, up to a constant (Shell, J. Chem. Phys. 129, 144108, 2008),

    S = E_data energy(x, t) + log Z,        grad S = E_data grad energy - E_p grad energy.

The mean over p is over chains that are simulated along with the training, a few steps between two
updates, as in persistent contrastive divergence (Tieleman, ICML 2008). They answer a change of the
weights only after the slowest motion, and weights that move faster run past the goal. So chains may
have a lifetime, after which they begin again from frames, as in contrastive divergence (Hinton,
Neural Comput. 14, 1771, 2002):

    grad S  ~  E_data grad energy - E_age grad energy,

which is zero where the dynamics leave the distribution of the data as it is, whatever the lifetime.

Score matching and telling times apart compare densities in each neighbourhood, and a state whose
shape is learned a little too wide or too narrow comes out with the wrong weight; here the weights
themselves are compared. The objectives of the expert go on beside it, so that what is learned at t
spreads to the times above.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from ..config import RefinementOptions
from ..dataset.pool import Pool
from ..model import AbstractEnergy, AbstractScore
from ..runtime.parallel import gather, scatter
from ..types import Key, Scalar
from .chains import Ensemble, where
from .expert import Stage
from .simulating import GAP, RESTARTED, AbstractSimulatingStage, Weights
from .stage import TrainingState


class Refinement(AbstractSimulatingStage):
    """The fixed part of the refinement of one expert."""

    name: ClassVar[str] = "refinement"
    stream: ClassVar[int] = 2

    stage: Stage
    ensemble: Ensemble
    restart: Key
    n_steps: Int[Array, ""]
    options: RefinementOptions = eqx.field(static=True)
    held_out: int = eqx.field(static=True)
    sharding: NamedSharding | None = eqx.field(static=True)

    @staticmethod
    def blank(options: RefinementOptions) -> RefinementOptions:
        """Options without the number of steps."""
        return options.model_copy(update={"steps": 1})

    def begun(self, state: TrainingState, pool: Pool, key: Key) -> TrainingState:
        """Start the chains from training frames."""
        born = jnp.zeros(self.options.chains, jnp.int32)
        first = self.ensemble.first_rows(pool, self.restart, born)
        return dataclasses.replace(state, chains=self.ensemble.begin(pool.frames[first], key))

    @property
    def logged(self) -> tuple[str, ...]:
        """The expert's objectives, the gap of energies and the share of restarted chains."""
        return (*self.stage.logged, GAP, RESTARTED)

    def lives(self, begin: int, end: int) -> float:
        """By the lifetime; chains that go on for ever live as long as the stage."""
        return (end - begin) / (self.options.lifetime or int(self.n_steps))

    def learning_rate(self, step: ArrayLike) -> Array:
        """Learning rate at a step."""
        return self.stage.learning_rate(step)

    def gap(
        self,
        parameters: AbstractScore,
        data: Float[Array, "chains frames beads dim"],
        simulated: Float[Array, "chains beads dim"],
        weights: Weights = (None, None),
    ) -> Scalar:
        """`(E_data energy - E_p energy) / D`, with the gradient of the relative entropy over D."""
        model = self.model(parameters)
        assert isinstance(model, AbstractEnergy)
        energy = self.ensemble.mean_energy
        of_data, of_chains = weights
        return energy(model, data, of_data) - energy(model, simulated[:, None], of_chains)

    def update(self, state: TrainingState, pool: Pool) -> tuple[TrainingState, dict[str, Scalar]]:
        """Simulate a little, then one optimiser step."""
        options, ensemble, step = self.options, self.ensemble, state.step
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.stage.seed), 3), step)
        pick, velocity = jax.random.split(key)
        source = self.source(pool)
        born = self._born(step)
        rows = ensemble.training_rows(source, pick, options.frames)
        first = ensemble.first_rows(source, self.restart, born) if options.lifetime else rows[:, 0]
        weights = ensemble.weights(source, rows), ensemble.weights(source, first[:, None])
        batch, data, begun, weights = scatter(
            (self.stage.draw(pool, step), pool.frames[rows], pool.frames[first], weights),
            self.sharding,
        )
        assert state.chains is not None
        again = ensemble.begin(begun, velocity)
        chains = where(born < step, state.chains, again)
        model = self.model(state.parameters)
        chains = ensemble.advance(model, chains, step * options.stride, options.stride)
        sound = ensemble.sound(chains)
        chains = where(sound, chains, again)

        def loss(parameters: AbstractScore) -> tuple[Scalar, dict[str, Scalar]]:
            total, means = self.stage.objective(parameters, batch)
            gap = self.gap(parameters, data, ensemble.scaled(chains), weights)
            return total + options.weight * gap, {**means, GAP: gap}

        (total, means), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(state.parameters)
        state = dataclasses.replace(state, chains=chains)
        new = state.stepped(self.stage.optimiser, gradient, self.stage.options.average_decay)
        log = {
            **means,
            RESTARTED: jnp.mean(~sound),
            "loss": total,
            "gradient_norm": optax.tree.norm(gradient),
        }
        return gather((new, log), self.sharding)

    def _born(self, step: Int[Array, ""]) -> Int[Array, " chains"]:
        """Update at which each chain began last; ages are spread evenly over the lifetime.

        Before the first one, for chains that go on for ever.
        """
        n, lifetime = self.options.chains, self.options.lifetime
        if lifetime == 0:
            return jnp.full(n, -1, jnp.int32)
        head_start = (np.arange(n) * lifetime // n).astype(np.int32)
        return jnp.maximum(step - (step + head_start) % lifetime, 0)
