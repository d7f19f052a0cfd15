"""Open a trajectory file of any known format as chunks of frames in nm."""

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..errors import FokkerError
from ..system import System
from . import dcd, netcdf, npy, trr, xtc
from .contents import Contents, cut
from .library import ascii_path, calling_mdtraj, check_file, file_suffix

Chunk: TypeAlias = tuple[np.ndarray, np.ndarray | None]
"""Frames, shape (frames, atoms, dim), and box vectors, shape (frames, 3, 3), if there are any."""

_WALKED: dict[str, Callable[[Path], Contents]] = {
    ".dcd": dcd.inspect,
    ".xtc": xtc.inspect,
    ".trr": trr.inspect,
    ".nc": netcdf.inspect,
    ".ncdf": netcdf.inspect,
    ".netcdf": netcdf.inspect,
}
"""Binary formats that are walked before the library sees them."""

_EXTRA_LINES = {".xyz": 2, ".xyz.gz": 2, ".lammpstrj": 9}
"""Lines of a frame besides one line an atom; a cut last frame is otherwise dropped silently."""

_STREAMED = (*_EXTRA_LINES, ".h5", ".hdf5")
_WHOLE = (
    *(".pdb", ".pdb.gz", ".gro", ".arc"),
    *(".cif", ".cif.gz", ".mmcif", ".mmcif.gz", ".pdbx", ".pdbx.gz"),
)
"""Formats that mdtraj reads in one piece."""

READABLE = (*_WALKED, *_STREAMED, *_WHOLE, ".npy")

_NUMBERS_AT_ONCE = 6_000_000
_REMEDY = "check that it is complete and of the format that its suffix says"


class Source(NamedTuple):
    """An opened file: number of atoms, frames for given atoms, and what it calls its atoms."""

    n_atoms: int
    chunks: Callable[[np.ndarray], Iterator[Chunk]]
    elements: tuple[str, ...] = ()


def open_source(path: Path, system: System) -> Source:
    """Open a file for a system; only the header or the first frame is read.

    Raises
    ------
    FokkerError
        If the file is missing, empty, cut, corrupt, or of a format that is not known or cannot
        hold the system.
    """
    suffix = file_suffix(path)
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
        return _open_array(path, system)
    if suffix in _WALKED:
        n_atoms, n_frames = _WALKED[suffix](path)
        if n_frames == 0:
            return Source(n_atoms, lambda atoms: iter(()))
    elif suffix in _STREAMED:
        n_atoms = _first_frame_atoms(path)
        if suffix in _EXTRA_LINES:
            _check_lines(path, n_atoms + _EXTRA_LINES[suffix])
    else:
        return _open_whole(path)
    elements = _first_symbols(path, n_atoms) if suffix in (".xyz", ".xyz.gz") else ()
    return Source(n_atoms, partial(_streamed, path, n_atoms), elements)


def _first_symbols(path: Path, n_atoms: int) -> tuple[str, ...]:
    """First column of the first frame of an XYZ file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", errors="replace") as file:
        rows = [line.split() for line in islice(file, 2, 2 + n_atoms)]
    return tuple(row[0] if row else "" for row in rows)


def _open_array(path: Path, system: System) -> Source:
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

    def chunks(atoms: np.ndarray) -> Iterator[Chunk]:
        frames = npy.array(path, contents)
        at_once = _frames_at_once(len(atoms))
        for start in range(0, len(frames), at_once):
            with np.errstate(over="ignore", invalid="ignore"):
                yield frames[start : start + at_once, atoms].astype(np.float32), None

    return Source(contents.shape[1], chunks)


def _open_whole(path: Path) -> Source:
    with calling_mdtraj(path, _REMEDY), ascii_path(path) as name:
        import mdtraj

        loaded = mdtraj.load(name)
        cells = loaded.unitcell_vectors

    def chunks(atoms: np.ndarray) -> Iterator[Chunk]:
        yield loaded.xyz[:, atoms], cells

    return Source(loaded.n_atoms, chunks)


def _first_frame_atoms(path: Path) -> int:
    with calling_mdtraj(path, _REMEDY), ascii_path(path) as name:
        import mdtraj

        with mdtraj.open(name) as file:
            read = file.read(n_frames=1)
        return (read[0] if isinstance(read, tuple) else read).shape[1]


def _check_lines(path: Path, lines_a_frame: int) -> None:
    """Raise if a text trajectory does not end with a whole frame."""
    opened = gzip.open if path.suffix == ".gz" else open
    last = 0
    with calling_mdtraj(path, _REMEDY), opened(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            last = number if line.strip() else last
    if last % lines_a_frame:
        raise cut(path, f"{last} lines are not a multiple of {lines_a_frame} lines a frame")


def _streamed(path: Path, n_atoms: int, atoms: np.ndarray) -> Iterator[Chunk]:
    with ascii_path(path) as name:
        parts = None
        while True:
            with calling_mdtraj(path, _REMEDY):
                import mdtraj

                parts = parts or mdtraj.iterload(
                    name,
                    chunk=_frames_at_once(len(atoms)),
                    top=_nameless(n_atoms),
                    atom_indices=atoms,
                )
                part = next(parts, None)
                cells = None if part is None else part.unitcell_vectors
            if part is None:
                return
            yield part.xyz, cells


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
