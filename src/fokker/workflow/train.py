"""Train a model into a run folder."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Float

from ..config import Config, MoleculeOptions, MoleculesOptions
from ..dataset.corpus import load_corpus
from ..dataset.frames import Dataset, centre
from ..dataset.source import dataset_of, load_reference, load_trajectory
from ..dynamics import Predicate
from ..errors import FokkerError
from ..metrics import GeometryLimits
from ..model.force import Broken
from ..run.folder import RunFolder
from ..run.loaded import (
    NO_START_FRAMES,
    describe,
    describe_many,
    same_molecules,
    same_training,
    save_config,
    start_frames,
)
from ..run.pretrained import Pretrained, pretrained
from ..runtime import checkpoint, parallel
from ..runtime.interruption import Stop
from ..system import System
from ..training import Progress
from ..training import train as train_model
from ..trajectory import read_frames, write_topology


def train(
    config: Config,
    out: Path,
    *,
    resume: bool = False,
    stop: Stop | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_message: Callable[[str], None] = lambda _: None,
) -> None:
    """Train what a configuration describes.

    Parameters
    ----------
    config
        The whole configuration; it is written to the run folder.
    out
        Run folder, made if need be.
    resume
        Continue the run in `out` if there is one; a finished one is left as it is.
    stop
        Ends training at the next block.
    on_progress, on_message
        For a display.

    Raises
    ------
    FokkerError
        On bad data or settings, or if `out` already holds a run that is not resumed.
    Interrupted
        If stopped; `resume` continues.
    """
    folder = RunFolder(out)
    _continues(folder, config, resume)
    sharding, chain_sharding = _shardings(config)
    base = pretrained(config)
    subject = _many(config, base, folder, on_message) or _one(config, base, on_message)
    system = subject.system
    model = None
    if base is not None:
        many = subject.dataset.many
        model = base.model(config, system, None if many is None else many.inputs)
        on_message(f"starts from the weights of {base.path}")
    with folder.locked():
        exists = _continues(folder, config, resume)
        if parallel.is_primary():
            save_config(folder, config)
        if subject.structure is not None and parallel.is_primary():
            write_topology(folder.topology, system, subject.structure)
        n_devices = max(1 if s is None else s.num_devices for s in (sharding, chain_sharding))
        began = time.monotonic()
        before = folder.read_record().get("training", {}).get("seconds", 0.0) if exists else 0.0
        folder.note(system=subject.name, method=config.method)
        try:
            train_model(
                config,
                system,
                subject.dataset,
                folder=folder.checkpoint,
                log=folder.training_log,
                metadata=subject.metadata,
                start_frames=subject.start_frames,
                pretrained=model,
                is_broken=subject.is_broken,
                simulated=subject.simulated,
                resume=exists,
                sharding=sharding,
                chain_sharding=chain_sharding,
                on_progress=on_progress,
                on_message=on_message,
                should_stop=stop or (lambda: False),
            )
        except OSError as error:
            raise FokkerError(
                f"{out}: training ended because the disk failed ({error}); what was written is "
                "kept: mend that and continue with --resume."
            ) from error
        finally:
            seconds = round(before + time.monotonic() - began, 1)
            steps = sum(map(config.steps_of, range(config.n_stages)))
            # an error on its way out says more than a second one about the same disk
            with contextlib.suppress(*[FokkerError] if sys.exc_info()[0] else []):
                folder.note(training={"seconds": seconds, "steps": steps, "devices": n_devices})


def _shardings(config: Config) -> tuple[NamedSharding | None, NamedSharding | None]:
    """How experts, and how refinement and reweighting, are spread over devices."""
    batches = [e.training.batch_size for e in config.experts if e.training.steps]
    after = (
        (config.refinement, config.refinement.steps),
        (config.reweighting, config.reweighting.rounds),
    )
    simulated = [n for o, used in after if used for n in (o.chains, o.batch_size)]
    what = "frames or chains (the greatest divisor of all batches)"
    return (
        parallel.split(math.gcd(*batches), what) if batches else None,
        parallel.split(math.gcd(*simulated), what, per_core=1) if simulated else None,
    )


@dataclass(frozen=True)
class _Subject:
    """What is trained on, and what the checkpoint shall know of it."""

    name: str
    system: System
    dataset: Dataset
    metadata: dict[str, Any]
    start_frames: Float[np.ndarray, "frames beads dim"]
    structure: Float[np.ndarray, "beads dim"] | None
    is_broken: Predicate | None = None
    simulated: Float[np.ndarray, "times chains beads dim"] | None = None


def _one(config: Config, base: Pretrained | None, on_message: Callable[[str], None]) -> _Subject:
    trajectory = load_trajectory(config)
    system = trajectory.system
    if isinstance(config.system, MoleculeOptions):
        load_reference(config, trajectory)  # if it is bad, better known before than after training
    dataset = dataset_of(config, trajectory, None if base is None else base.scaling)
    limits = GeometryLimits.from_frames(system, dataset.scaling.invert(dataset.training))
    on_message(
        f"{system.name}: {system.n_beads} beads, {len(dataset.training):,} training and "
        f"{len(dataset.validation):,} validation frames, kT = {system.kT:.4g}"
        + (" kJ/mol" if system.dim == 3 else "")
        + _labelled(dataset)
    )
    return _Subject(
        system.name,
        system,
        dataset,
        describe(config, system, dataset, limits),
        start_frames(dataset),
        trajectory.positions[0] if system.dim == 3 else None,
        Broken.create(system, limits),
        _simulated(config, system, dataset),
    )


def _simulated(
    config: Config, system: System, dataset: Dataset
) -> Float[np.ndarray, "times chains beads dim"] | None:
    """Scaled frames of the simulation that is to be reweighted, if one is given."""
    options = config.reweighting
    if options.simulation is None:
        return None
    path = Path(options.simulation)
    frames = read_frames(path, system)
    if len(frames) != options.frames * options.chains:
        raise FokkerError(
            f"{path}: has {len(frames):,} frames, which are not {options.frames:,} of each of "
            f"{options.chains:,} chains; set reweighting.chains and reweighting.frames."
        )
    scaled = dataset.scaling.apply(centre(frames) if system.centred else frames)
    return scaled.reshape(options.frames, options.chains, *frames.shape[1:])


def _many(
    config: Config,
    base: Pretrained | None,
    folder: RunFolder,
    on_message: Callable[[str], None],
) -> _Subject | None:
    options = config.system
    if not isinstance(options, MoleculesOptions):
        return None
    corpus = load_corpus(
        options,
        known=None if base is None else base.known,
        scaling=None if base is None else base.scaling,
    )
    if checkpoint.exists(folder.checkpoint):
        same_molecules(folder, corpus)
    many, dataset = corpus.many, corpus.dataset
    sizes = [system.n_beads for system in many.systems]
    unseen = len(many.systems) - len(many.training.molecule)
    on_message(
        f"{options.name}: {len(many.training.molecule)} molecules of {min(sizes)} to {max(sizes)} "
        f"beads, {len(many.vocabulary.kinds)} kinds of beads, {len(dataset.training):,} training "
        f"and {len(dataset.validation):,} validation frames"
        + (f" of {unseen} others" if unseen else "")
        + f", kT = {many.largest.kT:.4g} kJ/mol"
    )
    limits = [Broken.create(each, corpus.limits.of_system(each)) for each in many.systems]
    return _Subject(
        options.name,
        many.largest,
        dataset,
        describe_many(config, corpus),
        NO_START_FRAMES,
        None,
        Broken.stacked(limits),
    )


def _labelled(dataset: Dataset) -> str:
    labels = dataset.training_labels
    return "" if labels is None else f", {int(labels.known.sum()):,} training frames with forces"


def _continues(folder: RunFolder, config: Config, resume: bool) -> bool:
    """Whether there is a checkpoint to go on from; raises if that was not asked for."""
    found = checkpoint.exists(folder.checkpoint)
    if found and not resume:
        raise FokkerError(
            f"{folder.path}: already holds a run; continue it with --resume or choose another "
            "--out."
        )
    if found:
        same_training(folder, config)
    return found
