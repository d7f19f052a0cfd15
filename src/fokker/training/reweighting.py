r"""Reweighting: the relative entropy of the frames to the model, on one long simulation of its own.

Chains are simulated with fixed weights `theta_0`, so that what they go through is a sample of
`p_0(x) ~ exp(-energy_0(x))`. With weights `theta` near by, means are those of the same frames
weighted (Zwanzig, J. Chem. Phys. 22, 1420, 1954; in the training of potentials Thaler and Zavadlav,
Nat. Commun. 12, 6884, 2021),

    w(x) ~ exp(-(energy(x) - energy_0(x))),        mean of w over the frames 1,

and the relative entropy of the data to the model (Shell, J. Chem. Phys. 129, 144108, 2008) has

    grad S = E_data grad energy - E_0 [w grad energy].

In a `Refinement` chains answer weights that move only after their slowest motion. Here the answer
is at hand at every step, however long chains take for it, and every frame of a long simulation
counts in each step. It holds as long as `theta` is near `theta_0`: as long as the effective share
of the frames, `1 / E_0[w^2]`, is not small. Then the next round begins with a new simulation.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from ..config import ReweightingOptions, TrainingOptions
from ..dataset.pool import Pool
from ..model import AbstractEnergy, AbstractScore
from ..runtime.parallel import gather, scatter
from ..system import System
from ..types import Key, Scalar
from .batch import Batch
from .chains import Ensemble, where
from .expert import Stage
from .simulating import GAP, RESTARTED, AbstractSimulatingStage, Weights
from .stage import Recorded, TrainingState

EFFECTIVE = "effective"
"""Logged: effective share of the recorded frames under the weights of the step."""

WARMUP = 10
"""Optimiser steps of linear warm-up."""


class Reweighting(AbstractSimulatingStage):
    """The fixed part of the reweighting of one expert.

    A step is either of the simulation, which records a frame of each chain, or of the optimiser: in
    each round first all of the one, then all of the other.
    """

    name: ClassVar[str] = "reweighting"
    stream: ClassVar[int] = 4

    stage: Stage
    ensemble: Ensemble
    restart: Key
    n_steps: Int[Array, ""]
    options: ReweightingOptions = eqx.field(static=True)
    held_out: int = eqx.field(static=True)
    sharding: NamedSharding | None = eqx.field(static=True)

    @classmethod
    def training_options(
        cls, options: ReweightingOptions, of_expert: TrainingOptions, system: System
    ) -> TrainingOptions:
        """The same, of all rounds.

        The learning rate is divided by the degrees of freedom, so that the energy, a sum over
        these, changes as fast whatever the size of a molecule.
        """
        base = super().training_options(options, of_expert, system)
        update = {
            "steps": options.rounds * options.steps,
            "learning_rate": options.learning_rate / system.degrees_of_freedom,
            "warmup": WARMUP,
            "weight_decay": 0.0,
        }
        return base.model_copy(update=update)

    @staticmethod
    def blank(options: ReweightingOptions) -> ReweightingOptions:
        """Options without the number of rounds."""
        return options.model_copy(update={"rounds": 1})

    def begun(self, state: TrainingState, pool: Pool, key: Key) -> TrainingState:
        """Make room for the frames of a round; its first step starts the chains."""
        options = self.options
        chains = self.ensemble.begin(pool.frames[jnp.zeros(options.chains, jnp.int32)], key)
        shape = (options.frames, *chains.x.shape)
        room = Recorded(jnp.zeros(shape), jnp.zeros(shape[:2]))
        return dataclasses.replace(state, chains=chains, recorded=room)

    def after_simulation(
        self, state: TrainingState, simulated: Float[np.ndarray, "times chains beads dim"]
    ) -> TrainingState:
        """State after the simulation of a round that was made before, by the same weights."""
        model = cast(AbstractEnergy, self.model(state.parameters))
        frames = jnp.asarray(simulated)
        energies = jax.lax.map(lambda x: self.ensemble.energies(model, x[:, None])[:, 0], frames)
        step = jnp.asarray(self.options.frames, jnp.int32)
        return dataclasses.replace(state, recorded=Recorded(frames, energies), step=step)

    @property
    def logged(self) -> tuple[str, ...]:
        """The expert's objectives, the gap of energies, and the shares of frames and chains."""
        return (*self.stage.logged, GAP, EFFECTIVE, RESTARTED)

    @property
    def kinds_of_steps(self) -> tuple[tuple[int, float], ...]:
        """Steps of simulation, then those of the optimiser."""
        frames, every = self.options.frames, self._every
        return (0, frames / every), (frames, self.options.steps / every)

    @property
    def _every(self) -> int:
        """Steps of a round."""
        return self.options.frames + self.options.steps

    def lives(self, begin: int, end: int) -> float:
        """A life is the simulation of a round."""
        recorded = sum(step % self._every < self.options.frames for step in range(begin, end))
        return recorded / self.options.frames

    def learning_rate(self, step: ArrayLike) -> Array:
        """Learning rate at a step, or at the next one of the optimiser."""
        step = jnp.asarray(step)
        made = jnp.maximum(step % self._every - self.options.frames, 0)
        return self.stage.learning_rate(step // self._every * self.options.steps + made)

    def update(self, state: TrainingState, pool: Pool) -> tuple[TrainingState, dict[str, Scalar]]:
        """One step: of simulation, or of the optimiser."""
        ensemble, step = self.ensemble, state.step
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.stage.seed), 5), step)
        source = self.source(pool)
        rows = ensemble.training_rows(source, key, self.options.draws)
        begun = self._begun(source, step - step % self._every)
        drawn = self.stage.draw(pool, step), pool.frames[rows]
        weights = ensemble.weights(source, rows), ensemble.weights(source, begun[:, None])
        batch, data, weights = scatter((*drawn, weights), self.sharding)
        new, log = jax.lax.cond(
            step % self._every < self.options.frames,
            lambda: self._record(state, source, batch, data, weights, key),
            lambda: self._descend(state, batch, data, weights, key),
        )
        return gather((dataclasses.replace(new, step=state.step + 1), log), self.sharding)

    def _begun(self, source: Pool, step: Int[Array, ""]) -> Int[Array, " chains"]:
        """The frame that each chain begins from at a step."""
        return self.ensemble.first_rows(source, self.restart, jnp.full(self.options.chains, step))

    def _record(
        self,
        state: TrainingState,
        source: Pool,
        batch: Batch,
        data: Float[Array, "chains n beads dim"],
        weights: Weights,
        key: Key,
    ) -> tuple[TrainingState, dict[str, Scalar]]:
        """Simulate up to the next frame and record it.

        A chain that breaks begins again, but how long it takes to forget where is what the first
        frames of a round are left out for. So it counts no more in this round: as if the weights
        that made its frames held them for infinitely probable, their energy is minus infinity.
        """
        options, ensemble, step = self.options, self.ensemble, state.step
        assert state.chains is not None
        assert state.recorded is not None
        now, n = step % self._every, options.chains
        velocity = jax.random.fold_in(key, 1)
        first = source.frames[self._begun(source, step)]
        again = ensemble.begin(scatter(first, self.sharding), velocity)
        chains = where(jnp.full(n, now > 0), state.chains, again)
        model = cast(AbstractEnergy, self.model(state.parameters))
        made = (step // self._every * options.frames + now) * options.stride
        chains = ensemble.advance(model, chains, made, options.stride)
        sound = ensemble.sound(chains)
        counted = (now == 0) | jnp.isfinite(state.recorded.energies[now - 1])
        counts = counted & sound
        chains = where(sound, chains, again)
        frame = ensemble.scaled(chains)
        energies = ensemble.energies(model, frame[:, None])
        recorded = Recorded(
            state.recorded.frames.at[now].set(frame),
            state.recorded.energies.at[now].set(jnp.where(counts, energies[:, 0], -jnp.inf)),
        )
        of_data, of_chains = weights
        of_counted = ensemble.even(counts[:, None] * (1.0 if of_chains is None else of_chains))
        gap = ensemble.mean_energy(model, data, of_data) - ensemble.mean_of(energies, of_counted)
        total, means = self.stage.objective(state.parameters, batch)
        state = dataclasses.replace(state, chains=chains, recorded=recorded)
        shares = {EFFECTIVE: jnp.ones(()), RESTARTED: jnp.mean(counted & ~sound)}
        return state, {
            **means,
            **shares,
            GAP: gap,
            "loss": total + options.weight * gap,
            "gradient_norm": jnp.zeros(()),
        }

    def gap(
        self,
        parameters: AbstractScore,
        data: Float[Array, "chains n beads dim"],
        recorded: Float[Array, "chains n beads dim"],
        before: Float[Array, "chains n"],
        weights: Weights = (None, None),
    ) -> tuple[Scalar, Scalar]:
        """`(E_data energy - E_0[w energy]) / D` with the gradient of S over D, and `1 / E_0[w^2]`.

        Parameters
        ----------
        data, recorded
            Scaled frames of the molecule of each chain.
        before
            Energies of the recorded frames with the weights that made them, kT; minus infinity
            where a frame does not count.
        weights
            What frames, and chains by the frame they began from, count for; None if all count
            alike.
        """
        model = cast(AbstractEnergy, self.model(parameters))
        ensemble = self.ensemble
        energies = ensemble.energies(model, recorded)
        change = jax.lax.stop_gradient(energies) - before
        of_data, of_chains = weights
        counts = jnp.broadcast_to(1.0 if of_chains is None else of_chains, change.shape)
        w = ensemble.boltzmann(change, counts)
        gap = ensemble.mean_energy(model, data, of_data)
        gap -= ensemble.mean_of(energies, counts * w)
        return gap, 1.0 / jnp.mean(counts * w**2)

    def _descend(
        self,
        state: TrainingState,
        batch: Batch,
        data: Float[Array, "chains n beads dim"],
        weights: Weights,
        key: Key,
    ) -> tuple[TrainingState, dict[str, Scalar]]:
        """One optimiser step, unless weights have gone as far as the recorded frames can tell."""
        options = self.options
        assert state.recorded is not None
        rows = self._recorded_rows(jax.random.fold_in(key, 1))
        chain = jnp.arange(options.chains)[:, None]
        drawn = state.recorded.frames[rows, chain], state.recorded.energies[rows, chain]
        frames, before = scatter(drawn, self.sharding)

        def loss(parameters: AbstractScore) -> tuple[Scalar, dict[str, Scalar]]:
            total, means = self.stage.objective(parameters, batch)
            gap, effective = self.gap(parameters, data, frames, before, weights)
            log = {**means, GAP: gap, EFFECTIVE: effective}
            return total + options.weight * gap, log

        (total, log), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(state.parameters)
        new = state.stepped(self.stage.optimiser, gradient, 0.0)
        near = log[EFFECTIVE] >= options.least
        new = jax.tree.map(lambda moved, old: jnp.where(near, moved, old), new, state)
        rest = {RESTARTED: jnp.zeros(()), "gradient_norm": optax.tree.norm(gradient)}
        return new, {**log, **rest, "loss": total}

    def _recorded_rows(self, key: Key) -> Int[Array, "chains draws"]:
        """Recorded frames of each chain, spread evenly over those that count."""
        options = self.options
        first = int(options.discard * options.frames)
        shape = options.chains, options.draws
        place = (jnp.arange(options.draws) + jax.random.uniform(key, shape)) / options.draws
        rows = first + (place * (options.frames - first)).astype(jnp.int32)
        return jnp.minimum(rows, options.frames - 1)
