"""Train a model into a run folder."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .. import checkpoint, parallel
from ..config import Config
from ..data import Dataset, prepare
from ..errors import FokkerError
from ..interruption import Stop
from ..metrics import GeometryLimits
from ..training import Progress
from ..training import train as train_model
from ..trajectory import write_topology
from .folder import RunFolder
from .loaded import describe, same_training, save_config, start_frames
from .source import load_trajectory


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
    common = math.gcd(*(expert.training.batch_size for expert in config.experts))
    sharding = parallel.split(common, "frames (the greatest divisor of all batch sizes)")
    trajectory = load_trajectory(config)
    system = trajectory.system
    dataset = prepare(
        trajectory.positions,
        system,
        validation_fraction=config.system.validation_fraction,
        forces=trajectory.forces,
    )
    limits = GeometryLimits.from_frames(system, dataset.scaling.invert(dataset.training))
    on_message(
        f"{system.name}: {system.n_beads} beads, {len(dataset.training):,} training and "
        f"{len(dataset.validation):,} validation frames, kT = {system.kT:.4g}"
        + (" kJ/mol" if system.dim == 3 else "")
        + _labelled(dataset)
    )
    with folder.locked():
        exists = _continues(folder, config, resume)
        if parallel.is_primary():
            save_config(folder, config)
        if system.dim == 3 and parallel.is_primary():
            write_topology(folder.topology, system, trajectory.positions[0])
        n_devices = 1 if sharding is None else sharding.num_devices
        began = time.monotonic()
        before = folder.read_record().get("training", {}).get("seconds", 0.0) if exists else 0.0
        folder.note(system=system.name, method=config.method)
        try:
            train_model(
                config,
                system,
                dataset,
                folder=folder.checkpoint,
                log=folder.training_log,
                metadata=describe(config, system, dataset, limits),
                start_frames=start_frames(dataset),
                resume=exists,
                sharding=sharding,
                on_progress=on_progress,
                should_stop=stop or (lambda: False),
            )
        except OSError as error:
            raise FokkerError(
                f"{out}: training ended because the disk failed ({error}); what was written is "
                "kept: mend that and continue with --resume."
            ) from error
        finally:
            seconds = round(before + time.monotonic() - began, 1)
            steps = sum(expert.training.steps for expert in config.experts)
            # an error on its way out says more than a second one about the same disk
            with contextlib.suppress(*[FokkerError] if sys.exc_info()[0] else []):
                folder.note(training={"seconds": seconds, "steps": steps, "devices": n_devices})


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
