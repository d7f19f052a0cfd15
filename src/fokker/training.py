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
from jaxtyping import Float

from . import checkpoint, held_out, parallel, training_log
from .block import MAX_BLOCK, AbstractStage, ready_block, run_block
from .config import Config
from .data import Dataset
from .dynamics import Predicate
from .errors import FokkerError
from .held_out import Best
from .interruption import Interrupted
from .model import Mixture
from .pool import Pool
from .stages import Stages, initial_model
from .system import System

BLOCK = MAX_BLOCK
"""Optimiser steps between two lines of the log; fewer if these take longer than a minute."""

FIRST_PIECE, PIECE_SECONDS = 10, 5.0
"""Optimiser steps before the first look at a signal to stop, and about the time between two."""

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
    on_message: Callable[[str], None] = lambda _: None,
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
    on_message
        Told of an expert whose last weights are not the ones that are kept.

    Returns
    -------
    Mixture
        The model with averaged weights, of every expert those to keep; see `held_out`.

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
    validation = dataset.validation_pool(held_out.FRAMES) if len(dataset.validation) else None
    for index in filter(config.steps_of, range(start, len(stages))):
        origin = first if index < len(config.experts) else model
        expert, stage, state, pool = stages.create(index, origin)
        best = None
        if stage.keeps_best and validation is not None:
            loss = np.inf
            if pretrained is not None and restored is None:
                loss = held_out.losses(stage, state.average, validation)["loss"]
            best = Best.create(state.average, loss)
        if restored is not None:
            state = checkpoint.load(restored, "training", state)
            if best is not None:
                best = checkpoint.load(restored, "best", best)
            restored = None

        name, total = config.name_of(index), int(stage.n_steps)
        following, last_saved = config.next_stage(index + 1), time.monotonic()
        for block in _blocks(stage, state, pool, validation, dataset, should_stop):
            state, record = block.state, block.record
            counter += block.length
            done = record["step"] == total
            kept = average = parallel.local(state.average)
            if best is not None:
                if "validation" in record:
                    loss = record["validation"]["loss"]
                    best = best.updated(average, record["step"], loss)
                kept = best.weights if np.isfinite(best.lowest) else average
                if done:
                    record["kept"] = int(best.step)
            model = _with_expert(model, expert, stage.model(kept))
            if primary:
                training_log.append(log, {"stage": index, "name": name, **record})
            on_progress(Progress(index, len(stages), record["step"], total, record["terms"]))
            if done and best is not None and best.step < total:
                on_message(_better_before(name, best, record["validation"]["loss"], total))
            stop = parallel.anywhere(should_stop())
            due = done or stop or time.monotonic() - last_saved > CHECKPOINT_SECONDS
            if due and primary:
                step = 0 if done else record["step"]
                position = {"stage": following if done else index, "step": step, "counter": counter}
                groups = {"model": inference_group(model, start_frames), "training": state}
                groups |= {} if best is None else {"best": best}
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
    stage: AbstractStage,
    state: Any,
    pool: Pool,
    validation: Pool | None,
    dataset: Dataset,
    stop: Callable[[], bool],
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
        if validation is not None and at == end and held_out.is_due(at, total, BLOCK):
            average = parallel.local(state.average)
            record["validation"] = held_out.losses(stage, average, validation)
        yield _Block(state, at - step, record)


def _better_before(name: str, best: Best, loss: float, total: int) -> str:
    """Say that the end of an expert's training is not what is kept."""
    return (
        f"{name}: the weights of step {int(best.step):,} of {total:,} are kept. The loss on "
        f"held-out frames rose from {float(best.lowest):.4g} to {loss:.4g}: these are few "
        "frames for so many steps. See training.keep."
    )


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
