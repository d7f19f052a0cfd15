"""Train a model into a run folder."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..config import Config
from ..dataset.subject import load_subject
from ..dataset.suspicions import doubt_temperature, doubt_weights
from ..errors import FokkerError
from ..run.folder import RunFolder
from ..run.loaded import same_molecules, same_training, save_config
from ..run.pretrained import pretrained
from ..runtime import checkpoint, parallel
from ..runtime.interruption import Stop
from ..training import Devices, Files, Progress, Watch
from ..training import train as train_model
from ..trajectory import write_topology


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
    devices = Devices.of(config)
    base = pretrained(config)
    subject = load_subject(
        config,
        known=None if base is None else base.known,
        scaling=None if base is None else base.scaling,
        on_message=on_message,
    )
    if subject.system.mapping is not None:
        doubt = doubt_temperature(subject.system.kT)
        if doubt is not None:
            on_message(f"warning: {doubt}")
    if subject.dataset.weights is not None:
        doubt = doubt_weights(subject.dataset.weights)
        if doubt is not None:
            on_message(f"warning: {doubt}")
    model = None
    if base is not None:
        model = base.model(config, subject)
        on_message(f"starts from the weights of {base.path}")
    with folder.locked():
        exists = _continues(folder, config, resume)
        if exists:
            same_molecules(folder, subject)
        if parallel.is_primary():
            save_config(folder, config)
            if subject.structure is not None:
                cut = write_topology(folder.topology, subject.system, subject.structure)
                if cut is not None:
                    on_message(cut)
        folder.note(system=config.system.name, method=config.method)
        with _recorded(folder, config, devices, exists):
            train_model(
                config,
                subject,
                Files(folder.checkpoint, folder.training_log),
                pretrained=model,
                resume=exists,
                devices=devices,
                watch=Watch(on_progress, on_message, stop or (lambda: False)),
            )


@contextlib.contextmanager
def _recorded(folder: RunFolder, config: Config, devices: Devices, resumed: bool) -> Iterator[None]:
    """Write down how long training took, however it ends.

    Raises
    ------
    FokkerError
        If the disk failed meanwhile.
    """
    began = time.monotonic()
    before = folder.read_record().get("training", {}).get("seconds", 0.0) if resumed else 0.0
    try:
        yield
    except OSError as error:
        raise FokkerError(
            f"{folder.path}: training ended because the disk failed ({error}); what was written is "
            "kept: mend that and continue with --resume."
        ) from error
    finally:
        seconds = round(before + time.monotonic() - began, 1)
        steps = sum(map(config.steps_of, range(config.n_stages)))
        # an error on its way out says more than a second one about the same disk
        with contextlib.suppress(*[FokkerError] if sys.exc_info()[0] else []):
            folder.note(training={"seconds": seconds, "steps": steps, "devices": len(devices)})


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
