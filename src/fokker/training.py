"""The training loop: stage after stage, block after block, checkpoint after checkpoint."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int

from . import checkpoint, parallel
from .config import Config, ExpertOptions
from .data import Dataset
from .emphasis import emphasis
from .errors import FokkerError
from .interruption import Interrupted
from .many import Many
from .model import Mixture, build_model
from .network import ManyInputs, NetworkInputs
from .objective import Molecule
from .pool import Pool
from .stage import MAX_BLOCK, Stage, TrainingState, ready_block, run_block
from .system import System, Vocabulary
from .training_options import TrainingOptions
from .types import Features

BLOCK = MAX_BLOCK
"""Optimiser steps between two lines of the log; fewer if these take longer than a minute."""

FIRST_PIECE, PIECE_SECONDS = 10, 5.0
"""Optimiser steps before the first look at a signal to stop, and about the time between two."""

STATISTICS_FRAMES = 10_000
"""Frames that networks measure their standardisation on, evenly spread."""

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


def features_of(system: System, vocabulary: Vocabulary | None = None) -> Features:
    """What networks know of the beads of one molecule, none of them padded.

    Parameters
    ----------
    system
        The molecule.
    vocabulary
        That of a model of many molecules; in a model of one, every bead is its own kind.

    Raises
    ------
    FokkerError
        If the vocabulary does not have all of its beads.
    """
    kinds = system.bead_types if vocabulary is None else vocabulary.indices(system)
    return Features(jnp.asarray(kinds, jnp.int32), None, jnp.asarray(system.separations))


def initial_model(
    config: Config,
    system: System,
    frames: np.ndarray | None = None,
    many: ManyInputs | None = None,
) -> Mixture:
    """Build the model of a configuration.

    Parameters
    ----------
    config
        Process and experts.
    system
        Beads, bonds, dimension.
    frames
        Scaled training frames, shape (frames, beads, dim). Without them the constants that networks
        take from data are placeholders, to be read from a checkpoint.
    many
        Given for a model of many molecules; `system` is then the largest of them.
    """
    if frames is None:
        shape = (4, system.n_beads, system.dim)
        frames = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    every = max(1, len(frames) // STATISTICS_FRAMES)
    bonds = system.bonds
    if many is not None:
        bonds, many = (), many._replace(molecule=many.molecule[::every])
    inputs = NetworkInputs(frames[::every], bonds, system.degrees_of_freedom, many)
    return build_model(
        config.experts,
        config.process.build(),
        inputs,
        centred=system.centred,
        key=jax.random.fold_in(jax.random.key(config.seed), 0),
    )


def subjects(system: System, many: Many | None) -> tuple[Features, tuple[Molecule, ...]]:
    """Features and bonds of what is trained on: the one system, or many, with a leading axis."""
    features = features_of(system) if many is None else many.features
    bonded = (system,) if many is None else many.systems
    return features, tuple(Molecule(each.n_beads, each.bonds) for each in bonded)


def with_rotation(expert: ExpertOptions, system: System) -> TrainingOptions:
    """Training options of an expert with the choice of random rotations made."""
    rotate = expert.training.rotate
    if rotate is None:
        rotate = system.dim == 3 and not expert.network.rotation_invariant
    return expert.training.model_copy(update={"rotate": rotate})


def with_emphasis(
    pool: Pool,
    expert: ExpertOptions,
    system: System,
    dataset: Dataset,
    sharding: NamedSharding | None = None,
) -> Pool:
    """Frames to train an expert on, the rare ones emphasised if its options say so."""
    shares = [1.0] if dataset.many is None else dataset.many.training.weight.tolist()
    found = emphasis(_by_molecule(system, dataset), shares, expert.training.rare)
    return dataclasses.replace(pool, emphasis=parallel.share(found, sharding))


def _by_molecule(
    system: System, dataset: Dataset
) -> Iterator[tuple[System, Float[np.ndarray, "_frames _beads dim"]]]:
    """Training frames of each molecule in user units, without padding."""
    if dataset.many is None:
        yield system, dataset.scaling.invert(dataset.training)
        return
    ranges = dataset.many.training
    for molecule, first, n in zip(ranges.molecule, ranges.first, ranges.count, strict=True):
        own = dataset.many.systems[molecule]
        yield own, dataset.scaling.invert(dataset.training[first : first + n, : own.n_beads])


def labelled_frames(dataset: Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Scaled training frames whose forces are known, and these; None if there are none."""
    labels = dataset.training_labels
    if labels is None:
        return None
    known = np.asarray(labels.known)
    return dataset.training[known], np.asarray(labels.force)[known]


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
    resume: bool = False,
    sharding: NamedSharding | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Mixture:
    """Train every expert, or what is left to train.

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
        If the loss stops being finite, with the step, the term, the time and the frame.
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
            _rewind(log, start, progress["step"])
    features, molecules = subjects(system, many)
    whole = parallel.share(dataset.pool, sharding)
    for index in range(start, len(config.experts)):
        expert = config.experts[index]
        stage, state = Stage.create(
            first.experts[index],
            config.process.build(),
            features,
            expert.interval,
            with_rotation(expert, system),
            centred=system.centred,
            seed=config.seed * 1000 + index,
            molecules=molecules,
            labelled=labelled_frames(dataset),
            sharding=sharding,
        )
        if restored is not None:
            state = checkpoint.load(restored, "training", state)
            restored = None

        pool = with_emphasis(whole, expert, system, dataset, sharding)
        last_saved = time.monotonic()
        for block in _blocks(stage, state, pool, dataset, should_stop):
            state = block.state
            counter += block.length
            model = _with_expert(model, index, stage.model(parallel.local(state.average)))
            if primary:
                _append(log, {"stage": index, **block.record})
            on_progress(
                Progress(
                    index,
                    len(config.experts),
                    block.record["step"],
                    expert.training.steps,
                    block.record["terms"],
                )
            )
            done = block.record["step"] == expert.training.steps
            stop = parallel.anywhere(should_stop())
            due = done or stop or time.monotonic() - last_saved > CHECKPOINT_SECONDS
            if due and primary:
                step = 0 if done else block.record["step"]
                position = {"stage": index + done, "step": step, "counter": counter}
                groups = {"model": inference_group(model, start_frames), "training": state}
                checkpoint.save(folder, counter, groups, {**metadata, "progress": position})
                last_saved = time.monotonic()
            if stop and not (done and index + 1 == len(config.experts)):
                raise Interrupted
    return model


@dataclass(frozen=True)
class _Block:
    state: TrainingState
    length: int
    record: dict[str, Any]


def _blocks(
    stage: Stage, state: TrainingState, pool: Pool, dataset: Dataset, stop: Callable[[], bool]
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
            "terms": {name: mean[name] for name in stage.objectives},
            "gradient_norm": mean["gradient_norm"],
            "learning_rate": float(stage.learning_rate(jnp.asarray(step))),
            "seconds": round(time.monotonic() - began, 4),
        }
        if len(dataset.validation) and at == end and ((step // BLOCK) % 8 == 0 or at == total):
            held_out = dataset.validation_pool(VALIDATION_FRAMES)
            record["validation"] = _validate(stage, parallel.local(state), held_out)
        yield _Block(state, at - step, record)


def _validate(stage: Stage, state: TrainingState, pool: Pool) -> dict[str, float]:
    """Terms of the averaged model on held-out frames, with the same noise every time."""
    values = _terms_at(stage, state.average, pool, jnp.asarray(2**30))
    return {name: float(jnp.mean(value)) for name, value in values.items()}


@eqx.filter_jit
def _terms_at(
    stage: Stage, parameters: Any, pool: Pool, step: Int[Array, ""]
) -> dict[str, Float[Array, " _"]]:
    return stage.terms(stage.model(parameters), stage.draw(pool, step))


def _diagnosis(
    stage: Stage, before: tuple[TrainingState, Pool], offset: int, dataset: Dataset
) -> str:
    """Repeat the steps up to the bad one and say which term, time and frame broke it."""
    stage, (state, pool) = dataclasses.replace(stage, sharding=None), before
    for _ in range(offset):
        state, _logs = run_block(stage, state, pool, 1)
    batch = stage.draw(pool, state.step)
    where = f"training stopped at step {int(state.step)}"
    remedy = "lower the learning rate or look at that frame; the last checkpoint is kept"
    for name, term in stage.objectives.items():
        alone = eqx.tree_at(lambda s: s.objectives, stage, {name: term})
        model = stage.model(state.parameters)
        values = alone.terms(model, batch)[name]
        broken = ~np.isfinite(np.asarray(values))
        if broken.any():
            row = int(np.argmax(broken))
            frame = dataset.name_of(int(batch.index[row]))
            t = ", ".join(f"{float(v):.3g}" for v in batch.times[row])
            return (
                f"{where}: the term {name!r} is {float(values[row])} at t = {t} for {frame}; "
                f"{remedy}."
            )
    return f"{where}: every term is finite but the gradient is not; {remedy}."


def _with_expert(model: Mixture, index: int, expert: Any) -> Mixture:
    return eqx.tree_at(lambda m: m.experts[index], model, expert)


def _append(log: Path, record: dict[str, Any]) -> None:
    try:
        with log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
    except OSError as error:
        raise FokkerError(
            f"{log}: could not be written ({error.strerror}); the last checkpoint is kept: mend "
            "that and continue with --resume."
        ) from error


def _rewind(log: Path, stage: int, step: int) -> None:
    """Drop log lines of steps that the checkpoint does not hold."""
    if not log.exists():
        return
    lines = log.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _position(line) <= (stage, step)]
    temporary = log.with_name(f".{log.name}.tmp")
    temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    os.replace(temporary, log)


def _position(line: str) -> tuple[float, float]:
    try:
        record = json.loads(line)
        return float(record["stage"]), float(record["step"])
    except (ValueError, KeyError):
        return float("inf"), float("inf")
