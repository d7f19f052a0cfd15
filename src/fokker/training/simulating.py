"""Stages after the experts, in which the model's own simulation is held to the frames."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..config import Config, TrainingOptions
from ..dataset.frames import Dataset
from ..dataset.pool import Pool
from ..dynamics import Predicate
from ..model import AbstractScore
from ..system import System
from ..types import Key, Scalar
from .chains import Ensemble
from .expert import Stage
from .stage import AbstractStage, Culprit, TrainingState

GAP = "energy-gap"
"""Logged: mean energy of the frames minus that of the simulation, kT a degree of freedom."""

RESTARTED = "restarted"
"""Logged: share of the chains that broke and began again from a training frame."""

MOST_LOST = 0.02
"""Share of the lives of chains that may be lost: so many of them are younger than they should be.
Judged over whole blocks of steps, where the count may be two standard deviations above it."""

Weights: TypeAlias = tuple[Float[Array, "chains frames"] | None, Float[Array, "chains 1"] | None]
"""What frames, and chains by the frame they began from, count for; None if all count alike."""


class AbstractSimulatingStage(AbstractStage):
    """The fixed part of a stage that trains one expert and simulates it.

    Attributes
    ----------
    name, stream
        Name of its options in a configuration, and number of its stream of random numbers.
    stage
        The expert's own objectives, with the optimiser and the schedule of this stage.
    ensemble
        What is simulated.
    restart
        Seed of the frames that chains begin from.
    options
        Those of `name`.
    held_out
        Held-out frames that the objectives are evaluated on: as many as while the expert trained.
    """

    name: ClassVar[str]
    stream: ClassVar[int]
    stage: eqx.AbstractVar[Stage]
    ensemble: eqx.AbstractVar[Ensemble]
    restart: eqx.AbstractVar[Key]
    options: eqx.AbstractVar[Any]
    held_out: eqx.AbstractVar[int]

    @classmethod
    def create(
        cls,
        stage: Stage,
        state: TrainingState,
        config: Config,
        system: System,
        dataset: Dataset,
        *,
        n_steps: int,
        seed: int,
        is_broken: Predicate | None = None,
    ) -> tuple[AbstractSimulatingStage, TrainingState]:
        """Set up what is simulated, and the first state.

        Parameters
        ----------
        stage, state
            Of the expert that serves the time of the simulation, from its trained weights, with the
            optimiser of this stage.
        config
            Integrator and time of the simulation, options of this stage.
        system, dataset
            What is simulated, of many the largest, and the frames it is held to.
        n_steps
            Steps in all.
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
        options = getattr(config, cls.name)
        key = jax.random.fold_in(jax.random.key(np.uint32(seed % 2**32)), cls.stream)
        noise, restart, velocity = jax.random.split(key, 3)
        ensemble = Ensemble.create(
            config.simulation, options.chains, system, dataset, stage.features, stage.frozen,
            noise, is_broken, option=f"{cls.name}.chains",
        )  # fmt: skip
        fields: dict[str, Any] = {
            "stage": stage,
            "ensemble": ensemble,
            "restart": restart,
            "n_steps": jnp.asarray(n_steps, jnp.int32),
            "options": cls.blank(options),
            "held_out": config.experts[config.simulating_expert].training.batch_size,
            "sharding": stage.sharding,
        }
        created = cls(**fields)
        return created, created.begun(state, dataset.pool, velocity)

    @classmethod
    def training_options(
        cls, options: Any, of_expert: TrainingOptions, system: System
    ) -> TrainingOptions:
        """Training options of the expert, with what those of this stage say of the optimiser."""
        names = set(type(options).model_fields) & set(TrainingOptions.model_fields)
        said = {name: getattr(options, name) for name in names}
        return of_expert.model_copy(update={"optimiser": "adamw", **said})

    @staticmethod
    @abstractmethod
    def blank(options: Any) -> Any:
        """Options without what sets the number of steps alone, which needs no new program."""

    @abstractmethod
    def begun(self, state: TrainingState, pool: Pool, key: Key) -> TrainingState:
        """State with the chains of the first step; the key is that of their velocities."""

    @property
    def keeps_best(self) -> bool:
        """No: the simulation is bettered at some cost to the objectives of the expert."""
        return False

    def model(self, parameters: AbstractScore) -> AbstractScore:
        """Put trained and frozen leaves together."""
        return self.stage.model(parameters)

    def source(self, pool: Pool) -> Pool:
        """Frames that chains begin from and are compared with."""
        return pool if self.options.emphasise else pool.unemphasised

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

    @abstractmethod
    def lives(self, begin: int, end: int) -> float:
        """How many lives of one chain the steps from one to another are."""

    @property
    def is_judged(self) -> bool:
        """Yes: what chains that break would teach is of the places where they broke."""
        return True

    def lost(self, logs: dict[str, Float[np.ndarray, " steps"]]) -> float:
        """See `AbstractStage`."""
        return float(np.sum(logs[RESTARTED], dtype=np.float64)) * self.options.chains

    def objection(self, lost: float, begin: int, end: int) -> str | None:
        """See `AbstractStage` and `MOST_LOST`."""
        lives = self.options.chains * self.lives(begin, end)
        expected = MOST_LOST * lives
        if lost <= expected + 2.0 * np.sqrt(expected):
            return None
        share = 1.0 - np.exp(-lost / max(lives, 1e-9))
        return (
            f"{share:.0%} of the chains of the {self.name} broke before the end of their life "
            f"({lost:.0f} from step {begin:,} to {end:,}); the weights before that are kept. The "
            "force is too rough to simulate: train the expert longer, or lower "
            "simulation.integrator.dt"
        )

    def on_one_device(self) -> AbstractSimulatingStage:
        """The same stage, spread over nothing."""
        return dataclasses.replace(self, stage=self.stage.on_one_device(), sharding=None)
