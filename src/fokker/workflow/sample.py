"""Independent samples from a trained run."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from ..config import SamplingOptions
from ..errors import FokkerError
from ..run.folder import write_atomically
from ..run.loaded import LoadedRun, load_run
from ..runtime import parallel
from ..runtime.interruption import Interrupted, Stop
from ..sampler import generate
from ..trajectory import FrameWriter, check_output_path

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
    # the position is written before the file: where both are there, the file is ours to resume
    ours = resume and _position_file(target).exists()
    if parallel.is_primary():  # which may have made it before another process looks
        check_output_path(target, loaded.system, overwrite or ours)
    sampler = options.sampler.build()
    began = time.monotonic()
    # with several processes each draws everything: files are of process 0, the rest keeps in step
    with contextlib.ExitStack() as stack:
        stack.enter_context(loaded.folder.locked())
        first = _Position()
        if ours:
            first = _Position.find(target, settings)
        elif parallel.is_primary():
            first.save(target, settings, finished=False)
        writer = None
        if parallel.is_primary():
            append_at = first.bytes if target.exists() or first.bytes else None
            writer = FrameWriter(target, loaded.system, append_at=append_at)
            stack.enter_context(writer)
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
            first_batch=first.batch,
            on_batch=on_progress,
        )
        last = first
        for batch, frames in enumerate(stream, start=first.batch + 1):
            finished = batch * options.batch_size >= n
            if writer is not None:
                writer.write(loaded.scaling.invert(frames))
                last = _Position(
                    batch,
                    writer.n_bytes,
                    first.failed + writer.n_failed,
                    round(first.seconds + time.monotonic() - began, 2),
                )
                last.save(target, settings, finished=finished)
            if parallel.anywhere(stop is not None and stop()) and not finished:
                raise Interrupted
        _note(loaded, target, settings, last, sampler.evaluations)
    return target


def _note(
    loaded: LoadedRun,
    target: Path,
    settings: dict[str, Any],
    position: _Position,
    evaluations: int | None,
) -> None:
    """Record the samples of the run folder itself."""
    if target == loaded.folder.samples(loaded.system):
        loaded.folder.note(
            sampling={
                "n": settings["n"],
                "sampler": settings["sampler"]["name"],
                "evaluations": evaluations,
                "seconds": position.seconds,
                "not_finite": position.failed,
            }
        )


@dataclass(frozen=True)
class _Position:
    """How far a file of samples is, kept beside it."""

    batch: int = 0
    bytes: int = 0
    failed: int = 0
    seconds: float = 0.0

    @staticmethod
    def find(target: Path, settings: dict[str, Any]) -> _Position:
        file = _position_file(target)
        try:
            stored = json.loads(file.read_bytes())
            same = stored["settings"] == settings
            position = _Position(
                int(stored["batch"]),
                int(stored["bytes"]),
                int(stored["failed"]),
                float(stored["seconds"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError) as error:
            raise FokkerError(
                f"{file}: not valid ({type(error).__name__}); sample again with --overwrite."
            ) from error
        if min(position.batch, position.bytes) < 0:
            raise FokkerError(f"{file}: not valid (negative); sample again with --overwrite.")
        if not same:
            raise FokkerError(
                f"{target}: was sampled with other settings; repeat those, or start again with "
                "`fokker sample` and --overwrite."
            )
        return position

    def save(self, target: Path, settings: dict[str, Any], *, finished: bool) -> None:
        stored = {**asdict(self), "finished": finished, "settings": settings}
        write_atomically(_position_file(target), json.dumps(stored))


def _position_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.position.json")
