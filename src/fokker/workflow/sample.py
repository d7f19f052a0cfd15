"""Independent samples from a trained run."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..config import SamplingOptions
from ..errors import FokkerError
from ..run.folder import write_atomically
from ..run.loaded import LoadedRun, load_run
from ..run.weights import forget_weights
from ..runtime import parallel
from ..runtime.interruption import Interrupted, Stop
from ..sampler import Annealed, EnergyPath, ReverseProcess, generate, generate_weighted
from ..trajectory import FrameWriter, check_output_path
from ..types import Key
from . import islands
from .tilting import tilted

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
    on_note: Callable[[str], None] = lambda _: None,
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
    stop, on_progress, on_note
        For a display; `on_progress` gets samples done and in total, `on_note` a sentence on what
        the samples are worth, if their sampler knows.

    Returns
    -------
    Path
        The file written. The annealed sampler writes `NAME.weights.npy` beside it as well.

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
    began = time.monotonic()
    # with several processes each draws everything: files are of process 0, the rest keeps in step
    with contextlib.ExitStack() as stack:
        stack.enter_context(loaded.folder.locked())
        last = first = _Position.find(target, settings) if ours else _Position()
        key = jax.random.fold_in(jax.random.key(seed), SAMPLING_STREAM)
        # before a file is touched: it says what cannot be sampled
        stream = _stream(loaded, options, n, key, first.batch, on_progress)
        writer = None
        if parallel.is_primary():
            if not ours:
                first.save(target, settings, finished=False)
                forget_weights(target)
            append_at = first.bytes if target.exists() or first.bytes else None
            writer = FrameWriter(target, loaded.system, append_at=append_at)
            stack.enter_context(writer)
        for batch, (frames, row, tilt) in enumerate(stream, start=first.batch + 1):
            finished = batch * options.batch_size >= n
            if writer is not None:
                writer.write(loaded.scaling.invert(frames))
                if tilt is not None:
                    islands.Tilts(target).add(tilt, (batch - 1) * options.batch_size)
                last = _Position(
                    batch,
                    writer.n_bytes,
                    first.failed + writer.n_failed,
                    round(first.seconds + time.monotonic() - began, 2),
                    last.islands if row is None else (*last.islands, row),
                )
                last.save(target, settings, finished=finished)
            if parallel.anywhere(stop is not None and stop()) and not finished:
                raise Interrupted
        if last.islands and parallel.is_primary():
            tilts = None if options.bias is None else islands.Tilts(target).first(n)
            islands.save_weights(target, last.islands, tilts)
            on_note(islands.sentence(islands.pooled(last.islands)))
        _note(loaded, target, settings, last, options.sampler.build().evaluations)
    return target


class _Batch(NamedTuple):
    """Frames, scaled; what is recorded of them if they are an island; the bias of each, kT."""

    frames: Float[np.ndarray, "frames beads dim"]
    row: dict[str, float] | None = None
    tilt: Float[np.ndarray, " frames"] | None = None


def _stream(
    loaded: LoadedRun,
    options: SamplingOptions,
    n: int,
    key: Key,
    first_batch: int,
    on_batch: Callable[[int, int], None],
) -> Iterator[_Batch]:
    """Batches of frames, as the sampler of the options draws them."""
    sampler, process = options.sampler.build(), loaded.config.process.build()
    shape, centred = (loaded.system.n_beads, loaded.system.dim), loaded.system.centred
    how: dict[str, Any] = {
        "n": n,
        "shape": shape,
        "key": key,
        "batch_size": options.batch_size,
        "first_batch": first_batch,
        "on_batch": on_batch,
    }
    if isinstance(sampler, Annealed):
        features = jax.tree.map(jnp.asarray, loaded.features)
        path = EnergyPath.of(
            ReverseProcess(loaded.model, process, features, centred), sampler.t_min
        )
        if options.bias is None:
            stream = generate_weighted(sampler, path, **how)
            return (_Batch(island.frames, islands.row_of(island)) for island in stream)
        biased = tilted(loaded, path, options.bias)
        stream, t = generate_weighted(sampler, biased, **how), jnp.asarray(sampler.t_min)
        return (
            _Batch(
                island.frames,
                islands.row_of(island),
                np.asarray(biased.tilts(jnp.asarray(island.frames), t), np.float64),
            )
            for island in stream
        )
    drawn = generate(sampler, loaded.model, process, loaded.features, centred=centred, **how)
    return (_Batch(frames) for frames in drawn)


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
                **(islands.pooled(position.islands) if position.islands else {}),
            }
        )


@dataclass(frozen=True)
class _Position:
    """How far a file of samples is, kept beside it."""

    batch: int = 0
    bytes: int = 0
    failed: int = 0
    seconds: float = 0.0
    islands: tuple[dict[str, float], ...] = ()

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
                islands.sound(stored.get("islands", ())),
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
