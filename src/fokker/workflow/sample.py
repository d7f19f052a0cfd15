"""Independent samples from a trained run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from ..config import SamplingOptions
from ..errors import FokkerError
from ..interruption import Interrupted, Stop
from ..sampler import generate
from ..trajectory import FrameWriter, check_output_path
from .folder import write_atomically
from .loaded import LoadedRun, load_run

SAMPLING_STREAM, SIMULATION_STREAM = 2, 3
"""Streams of a run's seed; training has the one below."""


def sample(
    run: Path,
    *,
    n: int | None = None,
    out: Path | None = None,
    options: SamplingOptions | None = None,
    seed: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    stop: Stop | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Draw independent samples and write them as a trajectory.

    Parameters
    ----------
    run
        Folder of a trained run.
    n
        Samples; by default those of the configuration.
    out
        XTC, DCD or NPY file; by default `samples.xtc` in the run folder.
    options
        Sampler and batch size; by default those of the configuration.
    seed
        By default that of the configuration.
    resume
        Continue a file that was interrupted; the result equals the uninterrupted one.
    overwrite
        Replace a file that exists.
    stop, on_progress
        For a display; `on_progress` gets samples done and in total.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    FokkerError
        On bad input.
    Interrupted
        If stopped; `resume` continues.
    """
    loaded = load_run(run)
    options = options or loaded.config.sampling
    n = n or options.n
    seed = loaded.config.seed if seed is None else seed
    target = out or loaded.folder.samples(loaded.system)
    settings = {"n": n, "seed": seed, **options.model_dump(mode="json", exclude={"n"})}
    position = _Position.find(target, settings) if resume else _Position(0, 0)
    if position.bytes == 0:
        check_output_path(target, loaded.system, overwrite or resume)
    sampler = options.sampler.build()
    began = time.monotonic()
    with (
        loaded.folder.locked(),
        FrameWriter(target, loaded.system, append_at=_start_at(target, position)) as writer,
    ):
        stream = generate(
            sampler,
            loaded.model,
            loaded.config.process.build(),
            loaded.features,
            n=n,
            shape=(loaded.system.n_beads, loaded.system.dim),
            centred=loaded.system.centred,
            key=jax.random.fold_in(jax.random.key(seed), SAMPLING_STREAM),
            batch_size=options.batch_size,
            first_batch=position.batch,
            on_batch=on_progress,
        )
        for batch, frames in enumerate(stream, start=position.batch + 1):
            writer.write(loaded.scaling.invert(frames))
            last = batch * options.batch_size >= n
            _Position(batch, writer.n_bytes).save(target, settings, finished=last)
            if stop is not None and stop() and not last:
                raise Interrupted
        failed = writer.n_failed
    if position.batch * options.batch_size < n:
        seconds = round(time.monotonic() - began, 2)
        _note(loaded, target, settings, seconds, sampler.evaluations, failed)
    return target


def _note(
    loaded: LoadedRun,
    target: Path,
    settings: dict[str, Any],
    seconds: float,
    evaluations: int | None,
    failed: int,
) -> None:
    """Record the samples of the run folder itself."""
    if target == loaded.folder.samples(loaded.system):
        loaded.folder.note(
            sampling={
                "n": settings["n"],
                "sampler": settings["sampler"]["name"],
                "evaluations": evaluations,
                "seconds": seconds,
                "not_finite": failed,
            }
        )


class _Position:
    """How far a file of samples is, kept beside it until it is finished."""

    def __init__(self, batch: int, n_bytes: int):
        self.batch = batch
        self.bytes = n_bytes

    @staticmethod
    def find(target: Path, settings: dict[str, Any]) -> _Position:
        file = _position_file(target)
        if not file.exists():
            return _Position(0, 0)
        try:
            stored = json.loads(file.read_bytes())
            same = stored["settings"] == settings
            position = _Position(int(stored["batch"]), int(stored["bytes"]))
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise FokkerError(f"{file}: not valid; delete it and sample again.") from error
        if not same:
            raise FokkerError(
                f"{target}: was sampled with other settings; use --overwrite to start again."
            )
        return position

    def save(self, target: Path, settings: dict[str, Any], *, finished: bool) -> None:
        stored = {
            "batch": self.batch,
            "bytes": self.bytes,
            "finished": finished,
            "settings": settings,
        }
        write_atomically(_position_file(target), json.dumps(stored))


def _position_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.position.json")


def _start_at(target: Path, position: _Position) -> int | None:
    return position.bytes if target.exists() else None
