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
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from .block import AbstractStage, Culprit, Recorded, TrainingState
from .config import Config
from .data import Dataset
from .dynamics import Predicate
from .ensemble import Ensemble, where
from .model import AbstractEnergy, AbstractScore
from .parallel import gather, scatter
from .pool import Pool
from .refinement import GAP, MOST_RESTARTED, RESTARTED, Weights
from .reweighting_options import ReweightingOptions
from .stage import Batch, Stage
from .system import System
from .types import Key, Scalar

EFFECTIVE = "effective"
"""Logged: effective share of the recorded frames under the weights of the step."""


class Reweighting(AbstractStage):
    """The fixed part of the reweighting of one expert.

    A step is either of the simulation, which records a frame of each chain, or of the optimiser: in
    each round first all of the one, then all of the other.

    Attributes
    ----------
    stage
        The expert's own objectives, with the optimiser and the schedule of all rounds.
    ensemble
        What is simulated.
    restart
        Seed of the frames that chains begin from.
    held_out
        Held-out frames that the objectives are evaluated on: as many as while the expert trained.
    """

    stage: Stage
    ensemble: Ensemble
    restart: Key
    n_steps: Int[Array, ""]
    options: ReweightingOptions = eqx.field(static=True)
    held_out: int = eqx.field(static=True)
    sharding: NamedSharding | None = eqx.field(static=True)

    @staticmethod
    def create(
        stage: Stage,
        state: TrainingState,
        config: Config,
        system: System,
        dataset: Dataset,
        *,
        seed: int,
        is_broken: Predicate | None = None,
    ) -> tuple[Reweighting, TrainingState]:
        """Make room for the frames of a round.

        Parameters
        ----------
        stage, state
            Of the expert that serves the time of the simulation, from its trained weights, with the
            optimiser of the reweighting.
        config
            Integrator and time of the simulation, options of the reweighting.
        system, dataset
            What is simulated, of many the largest, and the frames it is held to.
        seed
            Of all that is random in it.
        is_broken
            A chain in a frame for which it says True begins again from a training frame; of many,
            with a leading axis of molecules.

        Raises
        ------
        FokkerError
            If there are more molecules than chains.
        """
        options = config.reweighting
        key = jax.random.fold_in(jax.random.key(np.uint32(seed % 2**32)), 4)
        noise, restart, velocity = jax.random.split(key, 3)
        ensemble = Ensemble.create(
            config.simulation, options.chains, system, dataset, stage.features, stage.frozen,
            noise, is_broken, option="reweighting.chains",
        )  # fmt: skip
        reweighting = Reweighting(
            stage=stage,
            ensemble=ensemble,
            restart=restart,
            n_steps=jnp.asarray(config.steps_of(config.n_stages - 1), jnp.int32),
            options=options,
            held_out=config.experts[config.simulating_expert].training.batch_size,
            sharding=stage.sharding,
        )
        chains = ensemble.begin(dataset.pool.frames[jnp.zeros(options.chains, jnp.int32)], velocity)
        shape = (options.frames, *chains.x.shape)
        room = Recorded(jnp.zeros(shape), jnp.zeros(shape[:2]))
        return reweighting, dataclasses.replace(state, chains=chains, recorded=room)

    @property
    def keeps_best(self) -> bool:
        """No: the simulation is bettered at some cost to the objectives of the expert."""
        return False

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

    def learning_rate(self, step: ArrayLike) -> Array:
        """Learning rate at a step, or at the next one of the optimiser."""
        step = jnp.asarray(step)
        made = jnp.maximum(step % self._every - self.options.frames, 0)
        return self.stage.learning_rate(step // self._every * self.options.steps + made)

    def model(self, parameters: AbstractScore) -> AbstractScore:
        """Put trained and frozen leaves together."""
        return self.stage.model(parameters)

    def update(self, state: TrainingState, pool: Pool) -> tuple[TrainingState, dict[str, Scalar]]:
        """One step: of simulation, or of the optimiser."""
        ensemble, step = self.ensemble, state.step
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.stage.seed), 5), step)
        source = pool if self.options.emphasise else dataclasses.replace(pool, emphasis=None)
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
        """Simulate up to the next frame and record it."""
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
        chains = where(sound, chains, again)
        frame = ensemble.scaled(chains)
        recorded = Recorded(
            state.recorded.frames.at[now].set(frame),
            state.recorded.energies.at[now].set(ensemble.energies(model, frame[:, None])[:, 0]),
        )
        of_data, of_chains = weights
        gap = ensemble.mean_energy(model, data, of_data)
        gap -= ensemble.mean_energy(model, frame[:, None], of_chains)
        total, means = self.stage.objective(state.parameters, batch)
        state = dataclasses.replace(state, chains=chains, recorded=recorded)
        shares = {EFFECTIVE: jnp.ones(()), RESTARTED: jnp.mean(~sound)}
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
            Energies of the recorded frames with the weights that made them, kT.
        weights
            What frames, and chains by the frame they began from, count for; None if all count
            alike.
        """
        model = cast(AbstractEnergy, self.model(parameters))
        ensemble = self.ensemble
        change = jax.lax.stop_gradient(ensemble.energies(model, recorded)) - before
        of_data, of_chains = weights
        counts = jnp.broadcast_to(1.0 if of_chains is None else of_chains, change.shape)
        w = ensemble.boltzmann(change, counts)
        gap = ensemble.mean_energy(model, data, of_data)
        gap -= ensemble.mean_energy(model, recorded, counts * w)
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

    def losses(
        self, parameters: AbstractScore, pool: Pool, step: Int[Array, ""]
    ) -> dict[str, Scalar]:
        """Mean of every objective of the expert over a batch, and their weighted sum."""
        options = self.stage.options.model_copy(update={"batch_size": self.held_out})
        return dataclasses.replace(self.stage, options=options).losses(parameters, pool, step)

    def culprit(
        self, parameters: AbstractScore, pool: Pool, step: Int[Array, ""]
    ) -> Culprit | None:
        """Which objective of the expert is not finite on the batch of a step; None if none."""
        return self.stage.culprit(parameters, pool, step)

    def objection(self, terms: dict[str, float]) -> str | None:
        """What chains that break would teach is of the places where they broke."""
        share = terms[RESTARTED]
        if share <= MOST_RESTARTED:
            return None
        return (
            f"{share:.0%} of the chains of the reweighting broke within {self.options.stride} "
            "simulation steps; the weights before it are kept. The force is too rough to simulate: "
            "train the expert longer, or lower simulation.integrator.dt"
        )

    def on_one_device(self) -> Reweighting:
        """The same stage, spread over nothing."""
        return dataclasses.replace(self, stage=self.stage.on_one_device(), sharding=None)
