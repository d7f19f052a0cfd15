"""The training loop: stage after stage, block after block, checkpoint after checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int

from . import checkpoint, parallel, training_log
from .block import MAX_BLOCK, AbstractStage, ready_block, run_block
from .config import Config
from .data import Dataset
from .dynamics import Predicate
from .errors import FokkerError
from .interruption import Interrupted
from .model import Mixture
from .pool import Pool
from .stages import Stages, initial_model
from .system import System

BLOCK = MAX_BLOCK
"""Optimiser steps between two lines of the log; fewer if these take longer than a minute."""

FIRST_PIECE, PIECE_SECONDS = 10, 5.0
"""Optimiser steps before the first look at a signal to stop, and about the time between two."""

VALIDATION_FRAMES = 2048
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Progress:
    """Where training is, told after every block."""

    stage: int
    n_stages: int
    step: int
    n_steps: int
    terms: dict[str, float]


def inference_group(
    model: Mixture, start_frames: Float[np.ndarray, "start beads dim"]
) -> dict[str, Any]:
    """Arrays that inference needs, as they are named in a checkpoint."""
    return {"model": model, "start": start_frames}


def train(
    config: Config,
    system: System,
    dataset: Dataset,
    *,
    folder: Path,
    log: Path,
    metadata: dict[str, Any],
    start_frames: Float[np.ndarray, "start beads dim"],
    pretrained: Mixture | None = None,
    is_broken: Predicate | None = None,
    resume: bool = False,
    sharding: NamedSharding | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Mixture:
    """Train every expert, then refine the one that simulates, or what is left of this.

    Parameters
    ----------
    config, system, dataset
        What to train on; of many molecules, the system is the largest.
    folder
        Checkpoints go here.
    log
        One JSON line a block.
    metadata, start_frames
        Stored in every checkpoint, for inference.
    pretrained
        Weights to start from, in place of random ones.
    is_broken
        For a refinement: a chain in such a frame, in user units, begins again.
    resume
        Continue from the newest checkpoint in `folder`; the result equals the uninterrupted run.
    sharding
        Spread each batch over devices.
    on_progress, should_stop
        Called after every block; should_stop also within one whose steps are slow.

    Returns
    -------
    Mixture
        The model with averaged weights.

    Raises
    ------
    Interrupted
        If `should_stop` said so; the checkpoint is whole.
    FokkerError
        If the loss stops being finite, with the step, the term, the time and the frame, or if the
        chains of a refinement break.
    """
    many = dataset.many
    inputs = None if many is None else many.inputs
    first = pretrained or initial_model(config, system, dataset.training, inputs)
    model = first
    start, counter, restored = 0, 0, None
    primary = parallel.is_primary()
    if not resume:
        if primary:
            log.unlink(missing_ok=True)
    else:
        path = checkpoint.latest(folder)
        progress = checkpoint.read_manifest(path)["progress"]
        start, counter = progress["stage"], progress["counter"]
        model = checkpoint.load(path, "model", inference_group(model, start_frames))["model"]
        restored = path if progress["step"] else None
        if primary:
            training_log.rewind(log, start, progress["step"])
    stages = Stages(config, system, dataset, is_broken, sharding)
    for index in filter(config.steps_of, range(start, len(stages))):
        origin = first if index < len(config.experts) else model
        expert, stage, state, pool = stages.create(index, origin)
        if restored is not None:
            state = checkpoint.load(restored, "training", state)
            restored = None

        following, last_saved = config.next_stage(index + 1), time.monotonic()
        for block in _blocks(stage, state, pool, dataset, should_stop):
            state = block.state
            counter += block.length
            model = _with_expert(model, expert, stage.model(parallel.local(state.average)))
            if primary:
                training_log.append(
                    log, {"stage": index, "name": config.name_of(index), **block.record}
                )
            on_progress(
                Progress(
                    index,
                    len(stages),
                    block.record["step"],
                    int(stage.n_steps),
                    block.record["terms"],
                )
            )
            done = block.record["step"] == int(stage.n_steps)
            stop = parallel.anywhere(should_stop())
            due = done or stop or time.monotonic() - last_saved > CHECKPOINT_SECONDS
            if due and primary:
                step = 0 if done else block.record["step"]
                position = {"stage": following if done else index, "step": step, "counter": counter}
                groups = {"model": inference_group(model, start_frames), "training": state}
                checkpoint.save(folder, counter, groups, {**metadata, "progress": position})
                last_saved = time.monotonic()
            if stop and not (done and following == len(stages)):
                raise Interrupted
    return model


@dataclass(frozen=True)
class _Block:
    state: Any
    length: int
    record: dict[str, Any]


def _blocks(
    stage: AbstractStage, state: Any, pool: Pool, dataset: Dataset, stop: Callable[[], bool]
) -> Iterator[_Block]:
    total = int(stage.n_steps)
    shared, state = parallel.share((stage, state), stage.sharding)
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
                raise FokkerError(_diagnosis(stage, parallel.local((before, pool)), first, dataset))
            pieces.append(logs)
            piece = 1 + int(length * PIECE_SECONDS / (time.monotonic() - since))
        mean = {n: float(np.concatenate([p[n] for p in pieces]).mean()) for n in pieces[0]}
        if (objection := stage.objection(mean)) is not None:
            raise FokkerError(f"training stopped at step {at}: {objection}.")
        record = {
            "step": at,
            "loss": mean["loss"],
            "terms": {name: mean[name] for name in stage.logged},
            "gradient_norm": mean["gradient_norm"],
            "learning_rate": float(stage.learning_rate(jnp.asarray(step))),
            "seconds": round(time.monotonic() - began, 4),
        }
        if len(dataset.validation) and at == end and ((step // BLOCK) % 8 == 0 or at == total):
            held_out = dataset.validation_pool(VALIDATION_FRAMES)
            record["validation"] = _validate(stage, parallel.local(state.average), held_out)
        yield _Block(state, at - step, record)


def _validate(stage: AbstractStage, average: Any, pool: Pool) -> dict[str, float]:
    """Terms of the averaged model on held-out frames, with the same noise every time."""
    values = _values(stage, average, pool, jnp.asarray(2**30))
    return {name: float(jnp.mean(value)) for name, value in values.items()}


@eqx.filter_jit
def _values(
    stage: AbstractStage, parameters: Any, pool: Pool, step: Int[Array, ""]
) -> dict[str, Float[Array, " _"]]:
    return stage.values(parameters, pool, step)


def _diagnosis(
    stage: AbstractStage, before: tuple[Any, Pool], offset: int, dataset: Dataset
) -> str:
    """Repeat the steps up to the bad one and say which term, time and frame broke it."""
    stage, (state, pool) = stage.on_one_device(), before
    for _ in range(offset):
        state, _logs = run_block(stage, state, pool, 1)
    where = f"training stopped at step {int(state.step)}"
    remedy = "lower the learning rate or look at that frame; the last checkpoint is kept"
    if (found := stage.culprit(state.parameters, pool, state.step)) is not None:
        name, value, row, times = found
        t = ", ".join(f"{float(v):.3g}" for v in times)
        return (
            f"{where}: the term {name!r} is {value} at t = {t} for {dataset.name_of(row)}; "
            f"{remedy}."
        )
    return f"{where}: every term is finite but the gradient is not; {remedy}."


def _with_expert(model: Mixture, index: int, expert: Any) -> Mixture:
    return eqx.tree_at(lambda m: m.experts[index], model, expert)
