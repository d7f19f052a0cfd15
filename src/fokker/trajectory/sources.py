"""Open a trajectory file of any known format as chunks of frames in nm."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..errors import FokkerError
from ..system import System
from . import dcd, hdf5, netcdf, npy, text, trr, xtc
from .contents import Contents, cut, cut_used, unreadable
from .library import ascii_path, calling_mdtraj, check_file, file_suffix
from .text import (
    AbstractParser,
    ARCParser,
    CutShort,
    GROParser,
    LAMMPSParser,
    PDBParser,
    XYZParser,
)

_Read: TypeAlias = Callable[
    [Path, Contents, np.ndarray, int], Iterator[tuple[np.ndarray, np.ndarray | None]]
]
"""Blocks of so many frames of some atoms: positions and box vectors, nm."""


class Chunk(NamedTuple):
    """Some frames of a file, nm.

    Attributes
    ----------
    frames
        Shape (frames, atoms, dim).
    cells
        Box vectors, shape (frames, 3, 3), NaN in frames without a box; None if no frame has one.
    times
        Shape (frames,), in the file's own unit, NaN where none is stated; None if none is.
    """

    frames: np.ndarray
    cells: np.ndarray | None
    times: np.ndarray | None = None


@dataclass(frozen=True)
class Source:
    """An opened file.

    Attributes
    ----------
    n_atoms
        Of every frame.
    chunks
        Its frames for given atoms.
    rounding
        Step between two coordinates that the file can hold, nm; 0 if not stated.
    elements
        Symbols that the first frame states; empty if it states none.
    notes
        What is to be said of the file, complete when its last chunk has been read.
    """

    n_atoms: int
    chunks: Callable[[np.ndarray], Iterator[Chunk]]
    rounding: float = 0.0
    elements: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def _by_library(
    path: Path, contents: Contents, atoms: np.ndarray, at_once: int
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Frames as mdtraj reads them, which is never shown what follows the last whole one."""
    topology = _nameless(contents.n_atoms)
    with ascii_path(path) as name:
        file = None
        try:
            for start in range(0, contents.n_frames, at_once):
                with calling_mdtraj(path, _REMEDY):
                    import mdtraj

                    file = file or mdtraj.open(name)
                    n = min(at_once, contents.n_frames - start)
                    part = file.read_as_traj(topology, n_frames=n, atom_indices=atoms)
                    cells = part.unitcell_vectors
                yield part.xyz, cells
        finally:
            if file is not None:
                file.close()


_BINARY: dict[str, tuple[Callable[[Path], Contents], _Read]] = {
    ".dcd": (dcd.inspect, _by_library),
    ".xtc": (xtc.inspect, _by_library),
    ".trr": (trr.inspect, trr.read),
    ".nc": (netcdf.inspect, netcdf.read),
    ".ncdf": (netcdf.inspect, netcdf.read),
    ".netcdf": (netcdf.inspect, netcdf.read),
}
"""Formats that are walked before a frame is read."""

_TEXT: dict[str, Callable[[], AbstractParser]] = {
    **dict.fromkeys((".xyz", ".xyz.gz", ".extxyz", ".extxyz.gz"), XYZParser),
    **dict.fromkeys((".lammpstrj", ".lammpstrj.gz"), LAMMPSParser),
    **dict.fromkeys((".pdb", ".pdb.gz"), PDBParser),
    **{".gro": GROParser, ".arc": ARCParser},
}

_HDF5 = (".h5", ".hdf5", ".h5md")
_WHOLE = (".cif", ".cif.gz", ".mmcif", ".mmcif.gz", ".pdbx", ".pdbx.gz")
"""Formats that mdtraj reads in one piece."""

READABLE = (*_BINARY, *_TEXT, *_HDF5, *_WHOLE, ".npy")

_NUMBERS_AT_ONCE = 6_000_000
_REMEDY = "check that it is complete and of the format that its suffix says"


def open_source(path: Path, system: System, *, allow_cut: bool = False) -> Source:
    """Open a file for a system; only the header or the first frame is read.

    Parameters
    ----------
    allow_cut
        Use the whole frames of a file that ends early, and note it.

    Raises
    ------
    FokkerError
        If the file is missing, empty, cut, corrupt, or of a format that is not known or cannot
        hold the system.
    """
    suffix = file_suffix(path)
    if path.is_dir():
        check_file(path, "trajectory")
    if suffix not in READABLE:
        raise FokkerError(
            f"{path}: trajectory suffix {suffix!r} is not known; use one of {', '.join(READABLE)}."
        )
    if system.dim != 3 and suffix != ".npy":
        raise FokkerError(
            f"{path}: system {system.name!r} has {system.dim} dimension(s), which a {suffix} file "
            f"cannot hold; give an .npy array of shape (frames, {system.n_beads}, {system.dim})."
        )
    check_file(path, "trajectory")
    if suffix == ".npy":
        return _open_array(path, system, allow_cut)
    if suffix in _TEXT:
        return _open_text(path, _TEXT[suffix], allow_cut)
    if suffix in _WHOLE:
        return _open_whole(path)
    if suffix in _HDF5:
        n_atoms = (system.n_beads, *([system.mapping.n_atoms] if system.mapping else []))
        contents, place = hdf5.inspect(path, n_atoms)
        return _blocks(path, contents, partial(_hdf5, place), allow_cut)
    inspect, read = _BINARY[suffix]
    return _blocks(path, inspect(path), read, allow_cut)


def _hdf5(
    place: hdf5.Places, path: Path, contents: Contents, atoms: np.ndarray, at_once: int
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    return hdf5.read(path, contents, place, atoms, at_once)


def _blocks(path: Path, contents: Contents, read: _Read, allow_cut: bool) -> Source:
    """A file whose contents are known before it is read."""
    notes = _told(path, contents.fault, contents.n_frames, allow_cut)
    if contents.skipped:
        notes.append(
            f"{path}: {contents.skipped:,} of {contents.skipped + contents.n_frames:,} frames have "
            "no positions, only velocities or forces, and are left out."
        )
    times = contents.times

    def chunks(atoms: np.ndarray) -> Iterator[Chunk]:
        start = 0
        for frames, cells in read(path, contents, atoms, _frames_at_once(len(atoms))):
            stop = start + len(frames)
            yield Chunk(frames, cells, None if times is None else times[start:stop])
            start = stop

    return Source(contents.n_atoms, chunks, contents.rounding, notes=notes)


def _told(path: Path, fault: str, n_frames: int, allow_cut: bool) -> list[str]:
    """What is noted of a file that ends early; refuses it unless that is allowed."""
    if not fault:
        return []
    if not allow_cut:
        raise cut(path, fault, n_frames)
    return [cut_used(path, fault, n_frames)]


def _open_array(path: Path, system: System, allow_cut: bool) -> Source:
    """An .npy file; a single bead may leave out its axis."""
    contents = npy.inspect(path)
    shape = contents.shape
    if len(shape) == 2 and system.n_beads == 1:
        contents = contents._replace(shape=(shape[0], 1, shape[1]))
    if len(contents.shape) != 3 or contents.shape[2] != system.dim:
        raise FokkerError(
            f"{path}: array of shape {shape}; save (frames, beads, {system.dim}) for "
            f"system {system.name!r}."
        )
    notes = _told(path, contents.fault, contents.shape[0], allow_cut)

    def chunks(atoms: np.ndarray) -> Iterator[Chunk]:
        frames = npy.array(path, contents)
        at_once = _frames_at_once(len(atoms))
        for start in range(0, len(frames), at_once):
            with np.errstate(over="ignore", invalid="ignore"):
                yield Chunk(frames[start : start + at_once, atoms].astype(np.float32), None)

    return Source(contents.shape[1], chunks, notes=notes)


def _open_text(path: Path, parser: Callable[[], AbstractParser], allow_cut: bool) -> Source:
    """A text file; whether it ends early is seen when its last frame is read."""
    try:
        first = next(text.frames(path, parser()), None)
    except CutShort as error:
        raise cut(path, error.fault) from error
    if first is None:
        raise unreadable(path, "no frame in it")
    notes: list[str] = []

    def chunks(atoms: np.ndarray) -> Iterator[Chunk]:
        notes.clear()
        found = text.frames(path, parser())
        try:
            for block in text.blocks(found, atoms, _frames_at_once(len(atoms))):
                yield _stacked(block)
        except CutShort as error:
            notes.extend(_told(path, error.fault, error.n_frames, allow_cut))

    return Source(len(first.positions), chunks, elements=first.elements, notes=notes)


def _stacked(block: list[text.Frame]) -> Chunk:
    """Frames as arrays; a box or time that is not there is NaN."""
    cells = times = None
    if any(frame.cell is not None for frame in block):
        none = np.full((3, 3), np.nan)
        cells = np.stack([none if f.cell is None else f.cell for f in block]).astype(np.float32)
    if any(frame.time is not None for frame in block):
        times = np.array([np.nan if f.time is None else f.time for f in block])
    return Chunk(np.stack([frame.positions for frame in block]), cells, times)


def _open_whole(path: Path) -> Source:
    with calling_mdtraj(path, _REMEDY), ascii_path(path) as name:
        import mdtraj

        loaded = mdtraj.load(name)
        cells = loaded.unitcell_vectors

    def chunks(atoms: np.ndarray) -> Iterator[Chunk]:
        yield Chunk(loaded.xyz[:, atoms], cells)

    return Source(loaded.n_atoms, chunks)


def _frames_at_once(n_atoms: int) -> int:
    return max(1, _NUMBERS_AT_ONCE // (3 * n_atoms))


def _nameless(n_atoms: int) -> Any:
    """Topology that only counts: the library wants one to read formats that have none."""
    import mdtraj

    topology = mdtraj.Topology()
    residue = topology.add_residue("UNK", topology.add_chain())
    for _ in range(n_atoms):
        topology.add_atom("X", mdtraj.element.virtual, residue)
    return topology
