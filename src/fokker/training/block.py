"""The training of a stage, block by block; a block is many optimiser steps in one call.

state -> run_block -> state, means of what was logged, held-out loss
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..dataset.frames import Dataset
from ..dataset.pool import Pool
from ..errors import FokkerError
from ..runtime import parallel
from ..runtime.parallel import gather, ready, share
from . import held_out
from .stage import AbstractStage, TrainingState

MAX_BLOCK = 250
"""Most optimiser steps in one call of `run_block`."""

BLOCK = MAX_BLOCK
"""Optimiser steps between two lines of the log; fewer if these take longer than a minute."""

FIRST_PIECE, PIECE_SECONDS = 10, 5.0
"""Optimiser steps before the first look at a signal to stop, and about the time between two."""

CHECKPOINT_SECONDS = 60.0
"""Most seconds between two checkpoints, but for a block whose steps are slow."""


@dataclass(frozen=True)
class Job:
    """A stage that is ready to be trained.

    Attributes
    ----------
    expert
        Number of the expert that it trains.
    stage, state, pool
        What a step is, where it begins, and the frames.
    dataset
        Where these come from, for what is said of one of them.
    lost
        Chains that broke since the last whole block.
    """

    expert: int
    stage: AbstractStage
    state: TrainingState
    pool: Pool
    dataset: Dataset
    lost: float = 0.0


@dataclass(frozen=True)
class Block:
    """What a block of optimiser steps has made.

    Attributes
    ----------
    state
        After it.
    length
        Optimiser steps in it.
    record
        Its line of the log.
    lost
        Chains that broke since the last whole block.
    whole
        Whether it was not cut short.
    """

    state: Any
    length: int
    record: dict[str, Any]
    lost: float
    whole: bool


def blocks(job: Job, validation: Pool | None, stop: Callable[[], bool]) -> Iterator[Block]:
    """Train a stage, block after block.

    Parameters
    ----------
    job
        The stage, the state it goes on from, and its frames.
    validation
        Held-out frames, if there are any.
    stop
        Asked between pieces of a block, which then ends early.

    Raises
    ------
    FokkerError
        If the loss stops being finite, with the step, the term, the time and the frame.
    """
    stage, pool, lost, total = job.stage, job.pool, job.lost, int(job.stage.n_steps)
    shared, state = parallel.share((stage, job.state), stage.sharding)
    program = ready_block(shared, state, pool)
    piece = FIRST_PIECE
    while (step := int(state.step)) < total:
        began, end, pieces = time.monotonic(), min(step + BLOCK - step % BLOCK, total), []
        while (at := int(state.step)) < end:
            late = time.monotonic() - began > CHECKPOINT_SECONDS
            if pieces and parallel.anywhere(late or stop()):
                break
            length = min(end - at, parallel.of_primary(piece))
            before, since = state, time.monotonic()
            state, logs = run_block(shared, state, pool, length, program=program)
            bad = ~np.isfinite(logs["loss"]) | ~np.isfinite(logs["gradient_norm"])
            if bad.any():
                first = int(np.argmax(bad))
                raise FokkerError(_diagnosis(job, parallel.local((before, pool)), first))
            pieces.append(logs)
            piece = 1 + int(length * PIECE_SECONDS / (time.monotonic() - since))
        mean = {n: float(np.concatenate([p[n] for p in pieces]).mean()) for n in pieces[0]}
        record = {
            "step": at,
            "loss": mean["loss"],
            "terms": {name: mean[name] for name in stage.logged},
            "gradient_norm": mean["gradient_norm"],
            "learning_rate": float(stage.learning_rate(jnp.asarray(step))),
            "seconds": round(time.monotonic() - began, 4),
        }
        lost += sum(stage.lost(logs) for logs in pieces)
        whole = at == end
        if whole:
            objection, lost = stage.objection(lost, (end - 1) // BLOCK * BLOCK, end), 0.0
            if objection is not None:
                record["ended"] = objection
                yield Block(state, at - step, record, lost, whole)
                return
        if validation is not None and whole and held_out.is_due(at, total, BLOCK):
            average = parallel.local(state.average)
            record["validation"] = held_out.losses(stage, average, validation)
        yield Block(state, at - step, record, lost, whole)


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


def _diagnosis(job: Job, before: tuple[Any, Pool], offset: int) -> str:
    """Repeat the steps up to the bad one and say which term, time and frame broke it."""
    stage, (state, pool) = job.stage.on_one_device(), before
    for _ in range(offset):
        state, _logs = run_block(stage, state, pool, 1)
    where = f"training stopped at step {int(state.step)}"
    remedy = "lower the learning rate or look at that frame; the last checkpoint is kept"
    if (found := stage.culprit(state.parameters, pool, state.step)) is not None:
        name, value, row, times = found
        t = ", ".join(f"{float(v):.3g}" for v in times)
        return (
            f"{where}: the term {name!r} is {value} at t = {t} for {job.dataset.name_of(row)}; "
            f"{remedy}."
        )
    return f"{where}: every term is finite but the gradient is not; {remedy}."
