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
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from .block import AbstractStage, Culprit, TrainingState
from .config import Config
from .data import Dataset
from .dynamics import Predicate
from .ensemble import Ensemble, where
from .model import AbstractEnergy, AbstractScore
from .parallel import gather, scatter
from .pool import Pool
from .refinement_options import RefinementOptions
from .stage import Stage
from .system import System
from .types import Key, Scalar

GAP = "energy-gap"
"""Logged: mean energy of the frames minus that of the simulation, kT a degree of freedom."""

RESTARTED = "restarted"
"""Logged: share of the chains that broke and began again from a training frame."""

MOST_RESTARTED = 0.02
"""Mean share of restarted chains over a block of updates that a refinement ends at."""


Weights: TypeAlias = tuple[Float[Array, "chains frames"] | None, Float[Array, "chains 1"] | None]
"""What frames, and chains by the frame they began from, count for; None if all count alike."""


class Refinement(AbstractStage):
    """The fixed part of the refinement of one expert.

    Attributes
    ----------
    stage
        The expert's own objectives, with the optimiser and the schedule of the refinement.
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
    options: RefinementOptions = eqx.field(static=True)
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
    ) -> tuple[Refinement, TrainingState]:
        """Start the chains from training frames.

        Parameters
        ----------
        stage, state
            Of the expert that serves the time of the simulation, from its trained weights, with the
            optimiser of the refinement.
        config
            Integrator and time of the simulation, options of the refinement.
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
        options = config.refinement
        key = jax.random.fold_in(jax.random.key(np.uint32(seed % 2**32)), 2)
        noise, restart, velocity = jax.random.split(key, 3)
        ensemble = Ensemble.create(
            config.simulation, options.chains, system, dataset, stage.features, stage.frozen,
            noise, is_broken, option="refinement.chains",
        )  # fmt: skip
        refinement = Refinement(
            stage=stage,
            ensemble=ensemble,
            restart=restart,
            n_steps=stage.n_steps,
            options=options.model_copy(update={"steps": 1}),
            held_out=config.experts[config.simulating_expert].training.batch_size,
            sharding=stage.sharding,
        )
        pool = dataset.pool
        first = ensemble.first_rows(pool, restart, jnp.zeros(options.chains, jnp.int32))
        chains = ensemble.begin(pool.frames[first], velocity)
        return refinement, dataclasses.replace(state, chains=chains)

    @property
    def keeps_best(self) -> bool:
        """No: the simulation is bettered at some cost to the objectives of the expert."""
        return False

    @property
    def logged(self) -> tuple[str, ...]:
        """The expert's objectives, the gap of energies and the share of restarted chains."""
        return (*self.stage.logged, GAP, RESTARTED)

    def learning_rate(self, step: ArrayLike) -> Array:
        """Learning rate at a step."""
        return self.stage.learning_rate(step)

    def model(self, parameters: AbstractScore) -> AbstractScore:
        """Put trained and frozen leaves together."""
        return self.stage.model(parameters)

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
        source = pool if options.emphasise else dataclasses.replace(pool, emphasis=None)
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
            f"{share:.0%} of the chains of the refinement broke within {self.options.stride} "
            "simulation steps; the weights before it are kept. The force is too rough to simulate: "
            "train the expert longer, or lower simulation.integrator.dt"
        )

    def on_one_device(self) -> Refinement:
        """The same stage, spread over nothing."""
        return dataclasses.replace(self, stage=self.stage.on_one_device(), sharding=None)
