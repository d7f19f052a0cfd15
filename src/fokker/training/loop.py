"""The training loop: stage after stage, block after block, checkpoint after checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Float

from ..config import Config
from ..dataset.frames import Dataset
from ..dataset.pool import Pool
from ..dynamics import Predicate
from ..errors import FokkerError
from ..model import AbstractScore, Mixture
from ..runtime import checkpoint, parallel
from ..runtime.interruption import Interrupted
from ..system import System
from . import held_out
from . import log as training_log
from .block import MAX_BLOCK, AbstractStage, TrainingState, ready_block, run_block
from .held_out import Best
from .schedule import Stages, initial_model

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
    simulated: Float[np.ndarray, "times chains beads dim"] | None = None,
    resume: bool = False,
    sharding: NamedSharding | None = None,
    chain_sharding: NamedSharding | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_message: Callable[[str], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Mixture:
    """Train every expert, then refine and reweight the one that simulates, or what is left of it.

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
    simulated
        For a reweighting: scaled frames of a simulation by the pretrained weights.
    resume
        Continue from the newest checkpoint in `folder`; the result equals the uninterrupted run.
    sharding, chain_sharding
        Spread over devices each batch of an expert, and what a refinement or reweighting does.
    on_progress, should_stop
        Called after every block; should_stop also within one whose steps are slow.
    on_message
        Told of an expert whose last weights are not the ones that are kept, and of a refinement or
        reweighting that ends because its chains break; training goes on from the weights before.

    Returns
    -------
    Mixture
        The model with averaged weights, of every expert those to keep; see `held_out`.

    Raises
    ------
    Interrupted
        If `should_stop` said so; the checkpoint is whole.
    FokkerError
        If the loss stops being finite, with the step, the term, the time and the frame.
    """
    many = dataset.many
    inputs = None if many is None else many.inputs
    first = pretrained or initial_model(config, system, dataset.training, inputs)
    model, begin, newest = first, _Position(), None
    if resume:
        newest = checkpoint.latest(folder)
        progress = checkpoint.read_manifest(newest)["progress"]
        begin = _Position(**{name: progress.get(name, 0) for name in _Position._fields})
        model = checkpoint.load(newest, "model", inference_group(first, start_frames))["model"]
    if parallel.is_primary() and resume:
        training_log.rewind(log, begin.stage, begin.step)
    elif parallel.is_primary():
        log.unlink(missing_ok=True)
    saver = _Saver(folder, metadata, start_frames, begin.counter)
    stages = Stages(config, system, dataset, is_broken, sharding, chain_sharding, simulated)
    validation = dataset.validation_pool(held_out.FRAMES) if len(dataset.validation) else None
    for index in filter(config.steps_of, range(begin.stage, len(stages))):
        origin = first if index < len(config.experts) else model
        expert, stage, state, pool = stages.create(index, origin)
        continued = newest if begin.step and index == begin.stage else None
        best = None
        if stage.keeps_best and validation is not None:
            loss = np.inf
            if pretrained is not None and continued is None:
                loss = held_out.losses(stage, state.average, validation)["loss"]
            best = Best.create(state.average, loss)
        if continued is not None:
            state = checkpoint.load(continued, "training", state)
            if best is not None:
                best = checkpoint.load(continued, "best", best)

        name, total = config.name_of(index), int(stage.n_steps)
        following = config.next_stage(index + 1)
        lost = begin.lost if continued is not None else 0.0
        for block in _blocks(stage, state, pool, validation, dataset, should_stop, lost):
            state, record, step = block.state, block.record, block.record["step"]
            ended = record.get("ended")
            done = step == total or ended is not None
            if ended is None and (block.whole or not stage.is_judged):
                best, kept = _keep(best, state, record)
                model = _with_expert(model, expert, stage.model(kept))
            elif ended is not None:
                on_message(f"{name} ended at step {step:,} of {total:,}: {ended}.")
            if done and best is not None:
                record["kept"] = int(best.step)
            saver.counter += block.length
            if parallel.is_primary():
                training_log.append(log, {"stage": index, "name": name, **record})
            on_progress(Progress(index, len(stages), step, total, record["terms"]))
            if done and best is not None and best.step < total:
                on_message(_better_before(name, best, record["validation"]["loss"], total))
            stop = parallel.anywhere(should_stop())
            if (done or stop or saver.is_due) and parallel.is_primary():
                place = (following, 0) if done else (index, step)
                saver.save(_Position(*place, saver.counter, block.lost), model, state, best)
            if stop and not (done and following == len(stages)):
                raise Interrupted
    return model


class _Position(NamedTuple):
    """Where a checkpoint is.

    Attributes
    ----------
    stage, step, counter
        Its stage, the steps of this one, and those of all stages.
    lost
        Chains that broke since the last whole block.
    """

    stage: int = 0
    step: int = 0
    counter: int = 0
    lost: float = 0.0


@dataclass
class _Saver:
    """Writes checkpoints, numbered by the optimiser steps of all stages."""

    folder: Path
    metadata: dict[str, Any]
    start_frames: Float[np.ndarray, "start beads dim"]
    counter: int
    last: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self.last > CHECKPOINT_SECONDS

    def save(self, at: _Position, model: Mixture, state: TrainingState, best: Best | None) -> None:
        groups = {"model": inference_group(model, self.start_frames), "training": state}
        groups |= {} if best is None else {"best": best}
        metadata = {**self.metadata, "progress": at._asdict()}
        checkpoint.save(self.folder, at.counter, groups, metadata)
        self.last = time.monotonic()


def _keep(
    best: Best | None, state: TrainingState, record: dict[str, Any]
) -> tuple[Best | None, AbstractScore]:
    """Return the best weights so far, of which the record may tell, and those to keep by now."""
    average = parallel.local(state.average)
    if best is None:
        return None, average
    if "validation" in record:
        best = best.updated(average, record["step"], record["validation"]["loss"])
    return best, best.weights if np.isfinite(best.lowest) else average


@dataclass(frozen=True)
class _Block:
    """Steps and what to write of them; `lost` chains broke since the last whole block."""

    state: Any
    length: int
    record: dict[str, Any]
    lost: float
    whole: bool


def _blocks(
    stage: AbstractStage,
    state: Any,
    pool: Pool,
    validation: Pool | None,
    dataset: Dataset,
    stop: Callable[[], bool],
    lost: float,
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
                yield _Block(state, at - step, record, lost, whole)
                return
        if validation is not None and whole and held_out.is_due(at, total, BLOCK):
            average = parallel.local(state.average)
            record["validation"] = held_out.losses(stage, average, validation)
        yield _Block(state, at - step, record, lost, whole)


def _better_before(name: str, best: Best, loss: float, total: int) -> str:
    """Say that the end of an expert's training is not what is kept."""
    return (
        f"{name}: the weights of step {int(best.step):,} of {total:,} are kept. The loss on "
        f"held-out frames rose from {float(best.lowest):.4g} to {loss:.4g}: these are few "
        "frames for so many steps. See experts.*.training.keep."
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
