"""What the training loop needs of a stage, and what changes from step to step."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from ..dataset.pool import Pool
from ..dynamics import State
from ..model import AbstractScore
from ..types import Scalar


class Recorded(eqx.Module):
    """Frames of simulated chains, and what the weights that made them said of these.

    Attributes
    ----------
    frames
        Scaled.
    energies
        kT.
    """

    frames: Float[Array, "frames chains beads dim"]
    energies: Float[Array, "frames chains"]


class TrainingState(eqx.Module):
    """Everything that changes from step to step.

    Attributes
    ----------
    chains
        Simulated along with the training, in nm, with a leading axis; None if none are.
    recorded
        What these chains went through; None if that is not kept.
    """

    parameters: AbstractScore
    average: AbstractScore
    optimiser: optax.OptState
    step: Int[Array, ""]
    chains: State | None = None
    recorded: Recorded | None = None

    def stepped(
        self, optimiser: optax.GradientTransformation, gradient: Any, decay: ArrayLike
    ) -> TrainingState:
        """Take one optimiser step, and move the average `1 - decay` of the way to the weights."""
        updates, optimised = optimiser.update(gradient, self.optimiser, cast(Any, self.parameters))
        parameters = eqx.apply_updates(self.parameters, updates)
        average = jax.tree.map(
            lambda old, new: decay * old + (1.0 - decay) * new, self.average, parameters
        )
        moved = {"parameters": parameters, "average": average, "optimiser": optimised}
        return dataclasses.replace(self, step=self.step + 1, **moved)


class Culprit(NamedTuple):
    """An objective that is not finite, its value, and the frame and times it has it at."""

    name: str
    value: float
    row: int
    times: Float[np.ndarray, " times"]


class AbstractStage(eqx.Module):
    """The fixed part of a stage.

    Attributes
    ----------
    n_steps
        Optimiser steps in all.
    sharding
        Spreads each batch over devices.
    """

    n_steps: eqx.AbstractVar[Int[Array, ""]]
    sharding: eqx.AbstractVar[NamedSharding | None]

    @property
    @abstractmethod
    def keeps_best(self) -> bool:
        """Whether the weights to keep are those with the least loss on held-out frames."""

    @property
    @abstractmethod
    def logged(self) -> tuple[str, ...]:
        """Names of the terms that `update` reports, besides `loss` and `gradient_norm`."""

    @property
    def kinds_of_steps(self) -> tuple[tuple[int, float], ...]:
        """A step of each kind that takes a time of its own, and the share of all that it has."""
        return ((0, 1.0),)

    @abstractmethod
    def learning_rate(self, step: ArrayLike) -> Array:
        """Learning rate at a step."""

    @abstractmethod
    def model(self, parameters: AbstractScore) -> AbstractScore:
        """Put trained and frozen leaves together."""

    @abstractmethod
    def update(self, state: TrainingState, pool: Pool) -> tuple[TrainingState, dict[str, Scalar]]:
        """One optimiser step."""

    @abstractmethod
    def losses(
        self, parameters: AbstractScore, pool: Pool, step: Int[Array, ""]
    ) -> dict[str, Scalar]:
        """Mean of every objective over the batch of a step, and their weighted sum, `loss`."""

    @abstractmethod
    def culprit(
        self, parameters: AbstractScore, pool: Pool, step: Int[Array, ""]
    ) -> Culprit | None:
        """Which objective is not finite on the batch of a step; None if none."""

    @property
    @abstractmethod
    def is_judged(self) -> bool:
        """Whether `objection` may reject weights: those since the last whole block are not kept."""

    @abstractmethod
    def lost(self, logs: dict[str, Float[np.ndarray, " steps"]]) -> float:
        """Count the chains that broke in some steps, given what `update` reported of these."""

    @abstractmethod
    def objection(self, lost: float, begin: int, end: int) -> str | None:
        """Why a stage should end, given how many chains broke from a step to another.

        None if it should go on.
        """

    @abstractmethod
    def on_one_device(self) -> AbstractStage:
        """The same stage, spread over nothing."""
