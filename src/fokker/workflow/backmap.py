"""Atoms for the beads of a run, from the trajectory that it was trained on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..backmap import Atoms, Builder, Library, Minimiser, Quality, Yardstick
from ..errors import FokkerError
from ..metrics import lost_frames
from ..run.folder import write_atomically
from ..run.loaded import LoadedRun, load_run
from ..run.molecule import is_many
from ..runtime.interruption import Interrupted, Stop
from ..trajectory import FrameWriter, check_output_path, read_frames, write_topology
from .all_atom import AllAtom, all_atom

_BATCH = 32
"""Frames between two positions from which a file can be resumed."""

_YARDSTICK_FRAMES = 2000
"""Frames of the training trajectory that are judged like those made."""


@dataclass(frozen=True)
class Files:
    """What `backmap` reads and writes, where it is not what the run says.

    Attributes
    ----------
    frames
        Beads to put atoms to; by default the samples of the run or, without any, its simulation.
    out
        XTC, DCD or NPY file; by default `atoms.xtc` in the run folder. The topology (`.pdb`) and
        what was counted (`.json`) are written beside it.
    trajectory, topology
        Of all atoms; by default what the run was trained on.
    """

    frames: Path | None = None
    out: Path | None = None
    trajectory: Sequence[Path] = ()
    topology: Path | None = None


def backmap(
    run: Path,
    files: Files | None = None,
    *,
    minimise: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    stop: Stop | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_message: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Rebuild all atoms of frames of beads, and judge the result.

    Parameters
    ----------
    run
        Folder of a trained run, or of one molecule of a run of many.
    files
        What is read and written.
    minimise
        Minimise the energy in OpenMM with the beads held, if it is installed and knows the
        molecule; `on_message` tells if not.
    resume
        Continue a file that was interrupted.
    overwrite
        Replace files that exist.
    stop, on_progress, on_message
        For a display; `on_progress` gets frames done and in total.

    Returns
    -------
    dict
        What is written as JSON: `file`, `topology`, `frames`, `library_frames`, `force_field` (None
        if not minimised), `why_not_minimised`, `seconds`; `failed`, `not_minimised`,
        `broken_bonds`, `mirrored`: numbers of such frames, from 0; `training` and `rebuilt`, each
        with `frames`, `bond_outliers`, `clashes` (both a frame), `chirality_kept` (share of the
        frames), and what the beads had before: `bond_outliers_of_beads` (a frame),
        `mirrored_of_beads` (share of the frames).

    Raises
    ------
    FokkerError
        On bad input, and where the run knows of no trajectory of more atoms than its beads.
    Interrupted
        If stopped; `resume` continues.
    """
    given = files or Files()
    if is_many(run):
        raise FokkerError(
            f"{run}: a run of many molecules; give the folder of one in {run / 'molecules'}, which "
            "`fokker sample` makes."
        )
    loaded = load_run(run)
    if loaded.system.dim != 3 or loaded.system.length_unit != "nm":
        raise FokkerError(
            f"{run}: system {loaded.system.name!r} is a model potential, whose beads stand for no "
            "atoms."
        )
    source = given.frames or _own_frames(loaded)
    beads = read_frames(source, loaded.system, min_frames=1, allow_failed=True)
    training = all_atom(loaded, given.trajectory, given.topology)
    target = given.out or loaded.folder.path / "atoms.xtc"
    settings = {
        "frames": str(source),
        "n": len(beads),
        "minimise": minimise,
        "trajectory": [str(path) for path in training.trajectory],
        "topology": str(training.topology),
    }
    ours = resume and _position_file(target).exists()
    _check_outputs(target, training, source, overwrite or ours)
    several = f" and {len(training.trajectory) - 1} more" if training.trajectory[1:] else ""
    on_message(f"fragments from {training.trajectory[0]}{several}")
    frames = training.read(on_message)
    library = Library(training.atoms, frames)
    yardstick = Yardstick(training.atoms.system, library.frames, training.atoms.that_are_beads)
    minimiser, why_not = _minimiser(library, minimise)
    if why_not and minimise:
        on_message(f"not minimised: {why_not}; frames stay as they were joined.")
    with loaded.folder.locked():
        first = _Position.find(target, settings) if ours else _Position()
        last = _write(
            target,
            beads,
            _Maker(training.atoms, Builder(library, yardstick), minimiser),
            first,
            lambda position: position.save(target, settings),
            stop,
            on_progress,
        )
        written = read_frames(target, training.atoms.system, min_frames=1, allow_failed=True)
        failed = lost_frames(written)
        first_frame = library.frames[0] if failed.all() else written[~failed][0]
        write_topology(target.with_suffix(".pdb"), training.atoms.system, first_frame)
        quality, numbers = yardstick(written[~failed]), np.flatnonzero(~failed)
        step = max(1, len(library.frames) // _YARDSTICK_FRAMES)
        result = {
            "file": str(target),
            "topology": str(target.with_suffix(".pdb")),
            "frames": len(written),
            "library_frames": len(library.frames),
            "force_field": list(minimiser.force_field) if minimiser else None,
            "hydrogens_added_to_minimise": minimiser.added if minimiser else 0,
            "why_not_minimised": why_not or None,
            "seconds": last.seconds,
            "failed": np.flatnonzero(failed).tolist(),
            "not_minimised": list(last.not_minimised),
            "broken_bonds": numbers[quality.bonds > 0].tolist(),
            "mirrored": numbers[quality.mirrored > 0].tolist(),
            "training": _row(yardstick(library.frames[::step])),
            "rebuilt": _row(quality),
        }
        write_atomically(target.with_suffix(".json"), json.dumps(result, indent=1))
    return result


def _own_frames(loaded: LoadedRun) -> Path:
    """Samples of the run or, without any, its simulation."""
    own = loaded.folder.samples(loaded.system), loaded.folder.simulation(loaded.system)
    found = next((path for path in own if path.exists()), None)
    if found is None:
        raise FokkerError(
            f"{loaded.folder.path}: has no samples and no simulation; make some with `fokker "
            "sample`, or name a file of frames."
        )
    return found


def _check_outputs(target: Path, training: AllAtom, source: Path, overwrite: bool) -> None:
    """Refuse to write over what is read, or over other files without being told to."""
    check_output_path(target, training.atoms.system, overwrite)
    read = {path.resolve() for path in (source, training.topology, *training.trajectory)}
    for path in (target, target.with_suffix(".pdb"), target.with_suffix(".json")):
        if path.resolve() in read:
            raise FokkerError(f"{path}: would be written over, and is read; choose another --out.")
        if path.exists() and not (overwrite and path.is_file()):
            raise FokkerError(f"{path}: already exists; choose another name or allow overwriting.")


def _minimiser(library: Library, wanted: bool) -> tuple[Minimiser | None, str]:
    """The minimiser, or why there is none."""
    if not wanted:
        return None, "--no-minimise"
    try:
        return Minimiser(library.atoms, library.frames[0]), ""
    except FokkerError as error:
        return None, str(error)


def _row(quality: Quality) -> dict[str, float | int | None]:
    n = len(quality.bonds)
    return {
        "frames": n,
        "bond_outliers": float(quality.bonds.mean()) if n else None,
        "clashes": float(quality.clashes.mean()) if n else None,
        "chirality_kept": float(np.mean(quality.mirrored == 0)) if n else None,
        "bond_outliers_of_beads": float(quality.of_beads[0].mean()) if n else None,
        "mirrored_of_beads": float(np.mean(quality.of_beads[1] > 0)) if n else None,
    }


@dataclass(frozen=True)
class _Maker:
    """From beads to atoms, minimised if there is a minimiser."""

    atoms: Atoms
    builder: Builder
    minimiser: Minimiser | None

    def __call__(
        self, beads: Float[np.ndarray, "frames beads 3"]
    ) -> tuple[Float[np.ndarray, "frames atoms 3"], list[int]]:
        """Frames, NaN where the beads hold no structure; and which could not be minimised."""
        made = np.full((len(beads), self.atoms.system.n_beads, 3), np.nan)
        there = np.flatnonzero(~lost_frames(beads))
        built = self.builder(beads[there])
        made[there] = built
        if self.minimiser is None or not len(there):
            return made, []
        final = self.minimiser(built)
        lost = np.isnan(final).any(axis=(1, 2))
        made[there[~lost]] = final[~lost]
        return made, there[lost].tolist()


def _write(
    target: Path,
    beads: Float[np.ndarray, "frames beads 3"],
    make: _Maker,
    first: _Position,
    save: Callable[[_Position], None],
    stop: Stop | None,
    on_progress: Callable[[int, int], None],
) -> _Position:
    """Write all frames from a position on; each batch can be resumed from."""
    began, last = time.monotonic(), first
    save(first)  # before the file: where both are there, the file is ours to resume
    append_at = first.bytes if target.exists() or first.bytes else None
    with FrameWriter(target, make.atoms.system, append_at=append_at) as writer:
        for start in range(first.frames, len(beads), _BATCH):
            if stop is not None and stop():
                raise Interrupted
            on_progress(start, len(beads))
            made, lost = make(beads[start : start + _BATCH])
            writer.write(made)
            last = replace(
                last,
                frames=start + len(made),
                bytes=writer.n_bytes,
                seconds=round(first.seconds + time.monotonic() - began, 2),
                not_minimised=(*last.not_minimised, *(start + number for number in lost)),
            )
            save(last)
        on_progress(len(beads), len(beads))
    return last


@dataclass(frozen=True)
class _Position:
    """How far a file of atoms is, kept beside it."""

    frames: int = 0
    bytes: int = 0
    seconds: float = 0.0
    not_minimised: tuple[int, ...] = ()

    @staticmethod
    def find(target: Path, settings: dict[str, Any]) -> _Position:
        file = _position_file(target)
        try:
            stored = json.loads(file.read_bytes())
            same = stored["settings"] == settings
            position = _Position(
                int(stored["frames"]),
                int(stored["bytes"]),
                float(stored["seconds"]),
                tuple(int(number) for number in stored["not_minimised"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError) as error:
            raise FokkerError(
                f"{file}: not valid ({type(error).__name__}); start again with --overwrite."
            ) from error
        if min(position.frames, position.bytes) < 0:
            raise FokkerError(f"{file}: not valid (negative); start again with --overwrite.")
        if not same:
            raise FokkerError(
                f"{target}: was made from other frames or with other settings; repeat those, or "
                "start again with --overwrite."
            )
        return position

    def save(self, target: Path, settings: dict[str, Any]) -> None:
        stored = {**asdict(self), "settings": settings}
        write_atomically(_position_file(target), json.dumps(stored))


def _position_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.position.json")
