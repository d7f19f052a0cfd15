"""What the training loop needs of a stage, and many of its steps in one call."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from ..dataset.pool import Pool
from ..dynamics import State
from ..model import AbstractScore
from ..runtime.parallel import gather, ready, share
from ..types import Scalar

MAX_BLOCK = 250
"""Most optimiser steps in one call of `run_block`."""


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


def run_block(
    stage: AbstractStage,
    state: TrainingState,
    pool: Pool,
    n_steps: int,
    *,
    program: Callable[..., Any] | None = None,
) -> tuple[TrainingState, dict[str, Float[np.ndarray, " steps"]]]:
    """Run at most `MAX_BLOCK` optimiser steps on the device without a word to the host.

    Compiled once, whatever the number of steps, the seed and the length of the schedule; `program`
    is what `ready_block` has compiled, if it has.
    """
    run = program or _run_block
    state, logs = run(stage, state, pool, _count(stage, n_steps))
    return state, {name: np.asarray(values)[:n_steps] for name, values in logs.items()}


def ready_block(stage: AbstractStage, state: TrainingState, pool: Pool) -> Callable[..., Any]:
    """Compile the program of `run_block` in every process before the first one calls it."""
    return ready(_run_block, stage, state, pool, _count(stage, 1))


def _count(stage: AbstractStage, n_steps: int) -> Int[Array, ""]:
    return share(jnp.asarray(n_steps, jnp.int32), stage.sharding)


@eqx.filter_jit
def _run_block(
    stage: AbstractStage,
    state: TrainingState,
    pool: Pool,
    n_steps: Int[Array, ""],
) -> tuple[TrainingState, dict[str, Float[Array, " steps"]]]:
    def step(i, carry):
        state, logs = carry
        state, log = stage.update(state, pool)
        return state, {name: logs[name].at[i].set(log[name]) for name in logs}

    logs = {name: jnp.zeros(MAX_BLOCK) for name in (*stage.logged, "loss", "gradient_norm")}
    after = jax.lax.fori_loop(0, n_steps, step, (state, logs))
    return gather(after, stage.sharding)  # the loop may carry parts, and the next call wants all
