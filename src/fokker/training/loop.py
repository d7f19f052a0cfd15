"""The training loop: stage after stage, block after block, checkpoint after checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

from ..config import Config
from ..dataset.pool import Pool
from ..dataset.subject import Subject
from ..model import AbstractScore, Mixture
from ..runtime import checkpoint, parallel
from ..runtime.interruption import Interrupted
from . import held_out
from . import log as training_log
from .block import Job, blocks
from .held_out import Best
from .saver import Position, Saver, inference_group
from .schedule import Devices, Stages, initial_model
from .stage import TrainingState
from .watch import Progress, Watch


@dataclass(frozen=True)
class Files:
    """Where a training writes.

    Attributes
    ----------
    checkpoints
        Folder of checkpoints.
    log
        One JSON line a block.
    """

    checkpoints: Path
    log: Path


def train(
    config: Config,
    subject: Subject,
    files: Files,
    *,
    pretrained: Mixture | None = None,
    resume: bool = False,
    devices: Devices | None = None,
    watch: Watch | None = None,
) -> Mixture:
    """Train every expert, then refine and reweight the one that simulates, or what is left of it.

    Parameters
    ----------
    config, subject
        What to train, and on what.
    files
        Where checkpoints and the log go.
    pretrained
        Weights to start from, in place of random ones.
    resume
        Continue from the newest checkpoint; the result equals the uninterrupted run.
    devices
        How batches and chains are spread; by default they are not.
    watch
        A display, and somebody who may stop it.

    Returns
    -------
    Mixture
        The model with averaged weights, of every expert those to keep; see `held_out`.

    Raises
    ------
    Interrupted
        If the watch said so; the checkpoint is whole.
    FokkerError
        If the loss stops being finite, with the step, the term, the time and the frame.
    """
    dataset = subject.dataset
    inputs = None if dataset.molecules is None else dataset.molecules.inputs
    first = pretrained or initial_model(config, subject.system, dataset.alike, inputs)
    newest = checkpoint.latest(files.checkpoints) if resume else None
    model, begin = first, Position()
    if newest is not None:
        begin, like = Position.read(newest), inference_group(first, subject.start_frames)
        model = checkpoint.load(newest, "model", like)["model"]
    _begin_log(files.log, begin if resume else None)
    stages = Stages(config, subject, devices or Devices())
    saver = Saver(files.checkpoints, subject, begin.counter)
    loop = _Loop(config, saver, files.log, watch or Watch(), _validation(subject))
    for index in filter(config.steps_of, range(begin.stage, len(stages))):
        job = stages.create(index, first if index < len(config.experts) else model)
        continued = newest if begin.step and index == begin.stage else None
        job, best = loop.started(job, continued, tuned=pretrained is not None)
        job = replace(job, lost=begin.lost if continued else 0.0)
        model = loop.run(index, job, best, model)
    return model


def _validation(subject: Subject) -> Pool | None:
    dataset = subject.dataset
    return dataset.validation_pool(held_out.FRAMES) if len(dataset.validation) else None


def _begin_log(log: Path, at: Position | None) -> None:
    """Leave only lines of before the checkpoint that training goes on from; none if it begins."""
    if not parallel.is_primary():
        return
    if at is None:
        log.unlink(missing_ok=True)
    else:
        training_log.rewind(log, at.stage, at.step)


@dataclass
class _Loop:
    """What every stage is trained with."""

    config: Config
    saver: Saver
    log: Path
    watch: Watch
    validation: Pool | None

    def started(self, job: Job, continued: Path | None, *, tuned: bool) -> tuple[Job, Best | None]:
        """A stage at its checkpoint, if there is one, and the best weights of it so far.

        Weights that are tuned have to be bettered; random ones do not.
        """
        best = None
        if job.stage.keeps_best and self.validation is not None:
            loss = np.inf
            if tuned and continued is None:
                loss = held_out.losses(job.stage, job.state.average, self.validation)["loss"]
            best = Best.create(job.state.average, loss)
        if continued is None:
            return job, best
        if best is not None:
            best = checkpoint.load(continued, "best", best)
        return replace(job, state=checkpoint.load(continued, "training", job.state)), best

    def run(self, index: int, job: Job, best: Best | None, model: Mixture) -> Mixture:
        """Train a stage to its end; returns the model with what is kept of it."""
        name, total = self.config.name_of(index), int(job.stage.n_steps)
        for block in blocks(job, self.validation, self.watch.should_stop):
            record, step = block.record, block.record["step"]
            ended = record.get("ended")
            done = step == total or ended is not None
            if ended is None and (block.whole or not job.stage.is_judged):
                best, kept = _keep(best, block.state, record)
                model = _with_expert(model, job.expert, job.stage.model(kept))
            elif ended is not None:
                self.watch.on_message(f"{name} ended at step {step:,} of {total:,}: {ended}.")
            if done and best is not None:
                record["kept"] = int(best.step)
            self.saver.counter += block.length
            if parallel.is_primary():
                training_log.append(self.log, {"stage": index, "name": name, **record})
            n_stages = self.config.n_stages
            self.watch.on_progress(Progress(index, n_stages, step, total, record["terms"]))
            if done and best is not None and best.step < total:
                loss = record["validation"]["loss"]
                self.watch.on_message(_better_before(name, best, loss, total))
            following = self.config.next_stage(index + 1)
            place = (following, 0) if done else (index, step)
            at = Position(*place, self.saver.counter, block.lost)
            self._save(at, model, block.state, best, done=done)
        return model

    def _save(
        self, at: Position, model: Mixture, state: TrainingState, best: Best | None, *, done: bool
    ) -> None:
        """Write a checkpoint at the end of a stage, or if one is due.

        Raises
        ------
        Interrupted
            If the watch says stop, unless there is nothing left to do.
        """
        stop = parallel.anywhere(self.watch.should_stop())
        if (done or stop or self.saver.is_due) and parallel.is_primary():
            self.saver.save(at, model, state, best)
        if stop and not (done and at.stage == self.config.n_stages):
            raise Interrupted


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


def _better_before(name: str, best: Best, loss: float, total: int) -> str:
    """Say that the end of an expert's training is not what is kept."""
    return (
        f"{name}: the weights of step {int(best.step):,} of {total:,} are kept. The loss on "
        f"held-out frames rose from {float(best.lowest):.4g} to {loss:.4g}: these are few "
        "frames for so many steps. See experts.*.training.keep."
    )


def _with_expert(model: Mixture, index: int, expert: Any) -> Mixture:
    return eqx.tree_at(lambda m: m.experts[index], model, expert)
