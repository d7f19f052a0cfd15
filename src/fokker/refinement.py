r"""Refinement: the relative entropy of the frames to the model's own simulation is minimised.

Dynamics at the time t of the simulation sample `p(x) ~ exp(-energy(x, t))`. The relative entropy of
the data to p is, up to a constant (Shell, J. Chem. Phys. 129, 144108, 2008),

    S = E_data energy(x, t) + log Z,        grad S = E_data grad energy - E_p grad energy.

The mean over p is over chains that are simulated along with the training, a few steps between two
updates, as in persistent contrastive divergence (Tieleman, ICML 2008). Score matching and telling
times apart compare densities in each neighbourhood, and a state whose shape is learned a little too
wide or too narrow comes out with the wrong weight; here the weights themselves are compared. The
objectives of the expert go on beside it, so that what is learned at t spreads to the times above.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, UInt32

from .block import AbstractStage, Culprit, moved, warmed_cosine
from .config import Config
from .data import Dataset
from .dynamics import AbstractIntegrator, Predicate, State, is_sound, many_steps
from .force import Force
from .model import AbstractEnergy, AbstractScore
from .parallel import gather, scatter
from .pool import Pool
from .refinement_options import RefinementOptions
from .stage import Stage
from .system import System
from .types import Scalar

GAP = "energy-gap"
"""Logged: mean energy of the frames minus that of the simulation, kT."""

RESTARTED = "restarted"
"""Logged: share of the chains that broke and began again from a training frame."""


class RefinementState(eqx.Module):
    """Everything that changes from step to step; `chains` in nm, with a leading axis."""

    parameters: AbstractScore
    average: AbstractScore
    optimiser: optax.OptState
    step: Int[Array, ""]
    chains: State


class Refinement(AbstractStage):
    """The fixed part of the refinement of one expert.

    Attributes
    ----------
    stage
        The expert's own objectives.
    force
        At the time of the simulation; its model is not read.
    scale, offset
        `x_scaled = (x - offset) / scale`.
    noise_words
        Seed of the noise of the chains.
    """

    stage: Stage
    integrator: AbstractIntegrator
    force: Force
    is_broken: Predicate | None
    noise_words: UInt32[Array, " 2"]
    n_steps: Int[Array, ""]
    options: RefinementOptions = eqx.field(static=True)
    sharding: NamedSharding | None = eqx.field(static=True)

    @staticmethod
    def create(
        stage: Stage,
        parameters: AbstractScore,
        config: Config,
        system: System,
        dataset: Dataset,
        *,
        seed: int,
        is_broken: Predicate | None = None,
    ) -> tuple[Refinement, RefinementState]:
        """Start the chains from training frames, and the optimiser.

        Parameters
        ----------
        stage, parameters
            Those of the expert that serves the time of the simulation, trained.
        config
            Integrator and time of the simulation, options of the refinement.
        system, dataset
            What is simulated, and the frames it is held to.
        seed
            Of all that is random in it.
        is_broken
            A chain in a frame for which it says True begins again from a training frame.
        """
        options, simulation = config.refinement, config.simulation
        scaling, t = dataset.scaling, jnp.asarray(simulation.t, jnp.float32)
        features, offset = stage.features, np.asarray(dataset.scaling.offset, np.float32)
        force = Force(stage.frozen, features, scaling.scale, offset, system.kT, t)
        key = jax.random.fold_in(jax.random.key(np.uint32(seed % 2**32)), 2)
        words, first = jax.random.bits(key, (2,), jnp.uint32), jax.random.fold_in(key, 1)
        refinement = Refinement(
            stage=stage,
            integrator=simulation.integrator.build(system.masses, system.kT),
            force=force,
            is_broken=is_broken,
            noise_words=words,
            n_steps=jnp.asarray(options.steps, jnp.int32),
            options=options.model_copy(update={"steps": 1}),
            sharding=stage.sharding,
        )
        rows = np.random.default_rng(seed).choice(len(dataset.training), options.chains)
        chains = refinement.begin(jnp.asarray(dataset.training[rows]), first)
        optimiser = refinement.optimiser.init(cast(Any, parameters))
        step = jnp.zeros((), jnp.int32)
        return refinement, RefinementState(parameters, parameters, optimiser, step, chains)

    @property
    def logged(self) -> tuple[str, ...]:
        """The expert's objectives, the gap of energies and the share of restarted chains."""
        return (*self.stage.logged, GAP, RESTARTED)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """AdamW with clipping, warm-up and cosine decay."""
        update = optax.adamw(self.learning_rate, weight_decay=self.options.weight_decay)
        return optax.chain(optax.clip_by_global_norm(self.options.gradient_clip), update)

    def learning_rate(self, step: ArrayLike) -> Array:
        """Learning rate at a step: a linear rise, then half a cosine down to zero."""
        share = warmed_cosine(step, self.n_steps, self.options.warmup)
        return jnp.asarray(self.options.learning_rate * share, jnp.float32)

    def model(self, parameters: AbstractScore) -> AbstractScore:
        """Put trained and frozen leaves together."""
        return self.stage.model(parameters)

    def begin(self, frames: Float[Array, "chains beads dim"], key: Array) -> State:
        """Chains that start in scaled frames, with velocities of the temperature."""
        x = frames * self.force.scale + self.force.offset
        return jax.vmap(self.integrator.start)(x, jax.random.normal(key, x.shape))

    def advance(
        self, state: RefinementState, frames: Float[Array, "chains beads dim"], key: Array
    ) -> tuple[State, Scalar]:
        """Chains some steps on, and the share of them that broke and began again in `frames`."""
        force = eqx.tree_at(lambda f: f.model, self.force, self.model(state.parameters))
        made = state.step * self.options.stride
        chains = many_steps(
            self.integrator, force, state.chains, made, self.noise_words, self.options.stride
        )
        if self.stage.centred:
            chains = chains._replace(x=chains.x - chains.x.mean(axis=1, keepdims=True))
        sound = is_sound(chains, self.is_broken)
        chains = jax.tree.map(
            lambda old, new: jnp.where(sound[:, None, None], old, new),
            chains,
            self.begin(frames, key),
        )
        return chains, jnp.mean(~sound)

    def gap(
        self,
        parameters: AbstractScore,
        data: Float[Array, "frames beads dim"],
        simulated: Float[Array, "chains beads dim"],
    ) -> Scalar:
        """`E_data energy - E_p energy`, whose gradient is that of the relative entropy."""
        model, force = self.model(parameters), self.force
        assert isinstance(model, AbstractEnergy)
        energy = jax.vmap(lambda x: model.energy(x, force.t, force.features))
        return jnp.mean(energy(data)) - jnp.mean(energy(simulated))

    def update(
        self, state: RefinementState, pool: Pool
    ) -> tuple[RefinementState, dict[str, Scalar]]:
        """Simulate a little, then one optimiser step."""
        options, frames = self.options, Pool(pool.frames, pool.shares)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.stage.seed), 3), state.step)
        pick, again, velocity = jax.random.split(key, 3)
        data = pool.frames[frames.pick(pick, options.frames)[0]]
        fresh = pool.frames[frames.pick(again, options.chains)[0]]
        batch, data, fresh = scatter(
            (self.stage.draw(pool, state.step), data, fresh), self.sharding
        )
        chains, restarted = self.advance(state, fresh, velocity)
        simulated = (chains.x - self.force.offset) / self.force.scale

        def loss(parameters: AbstractScore) -> tuple[Scalar, dict[str, Scalar]]:
            total, means = self.stage.objective(parameters, batch)
            gap = self.gap(parameters, data, simulated)
            return total + options.weight * gap, {**means, GAP: gap}

        (total, means), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(state.parameters)
        updates, optimiser = self.optimiser.update(
            cast(Any, gradient), state.optimiser, cast(Any, state.parameters)
        )
        parameters = eqx.apply_updates(state.parameters, updates)
        average = moved(state.average, parameters, options.average_decay)
        log = {
            **means,
            RESTARTED: restarted,
            "loss": total,
            "gradient_norm": optax.tree.norm(gradient),
        }
        new = RefinementState(parameters, average, optimiser, state.step + 1, chains)
        return gather((new, log), self.sharding)

    def values(
        self, parameters: AbstractScore, pool: Pool, step: Int[Array, ""]
    ) -> dict[str, Float[Array, " _"]]:
        """Value of every objective of the expert on each frame of the batch of a step."""
        return self.stage.values(parameters, pool, step)

    def culprit(
        self, parameters: AbstractScore, pool: Pool, step: Int[Array, ""]
    ) -> Culprit | None:
        """Which objective of the expert is not finite on the batch of a step; None if none."""
        return self.stage.culprit(parameters, pool, step)

    def on_one_device(self) -> Refinement:
        """The same stage, spread over nothing."""
        return dataclasses.replace(self, stage=self.stage.on_one_device(), sharding=None)
