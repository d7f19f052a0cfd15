"""HDF5: arrays at the top, as MDTraj has them, or the particles of H5MD.

At the top: `positions` or `coordinates` (frames, atoms, 3), and `cell_lengths`, `cell_angles`,
`time`. H5MD (https://www.nongnu.org/h5md/h5md.html): `particles/GROUP/position/value` with `time`
or `step` beside it, and `particles/GROUP/box/edges`. Lengths are in nm unless a unit is stated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import FokkerError
from ..units import ANGSTROM
from .cell import box_vectors
from .contents import Contents, corrupt

LENGTH_UNITS = {
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1.0),
    **dict.fromkeys(("angstrom", "angstroms", "a", "\u00c5".lower(), "\u212b".lower()), ANGSTROM),
    **dict.fromkeys(("pm", "picometer", "picometers"), 1e-3),
}
"""Units of length, nm."""

_MOST_EXPANSION = 100


class Places(NamedTuple):
    """Names of the arrays of one set of particles, whether they are there or not."""

    positions: str
    forces: str
    box: str
    times: tuple[str, ...]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file, for reading; whatever the library raises is told of it."""
    try:
        import h5py
    except ImportError as error:
        raise FokkerError(
            f"{path}: reading HDF5 needs h5py, pip install 'fokker[hdf5]'; or save another format."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FokkerError:
        raise
    except Exception as error:  # of the library, on any damage
        told = (str(error).splitlines() or [""])[0][:120]
        if "truncated file" in told or "h5clear" in told:
            raise FokkerError(
                f"{path}: HDF5 that was not closed, of which no part can be read; try `h5clear -s "
                "--increment` on a copy, or copy it again."
            ) from error
        raise FokkerError(
            f"{path}: not a readable {path.suffix} file, it cannot be read ({told}); write it "
            "again."
        ) from error


def places(path: Path, file: Any, *, forces: bool = False) -> list[Places]:
    """Where the arrays are: at the top, or in the groups of H5MD's particles.

    Raises
    ------
    FokkerError
        If there are no positions (and forces, if they are wanted), or they lie in another file.
    """
    particles = file.get("particles")
    groups = [f"particles/{name}" for name in particles] if particles is not None else []
    candidates = [
        *(
            Places(name, "forces", "cell_lengths", ("time",))
            for name in ("positions", "coordinates")
        ),
        *(
            Places(
                f"{at}/position/value",
                f"{at}/force/value",
                f"{at}/box/edges",
                (f"{at}/position/time", f"{at}/position/step"),
            )
            for at in groups
        ),
    ]
    found = [p for p in candidates if p.positions in file and (not forces or p.forces in file)]
    if not found:
        lacking = "forces" if any(p.positions in file for p in candidates) else "positions"
        there = ", ".join(sorted(file)[:12]) or "nothing"
        raise FokkerError(
            f"{path}: has no {lacking!r}, at the top or in the particles of H5MD ({there} are "
            f"there); save positions{' and forces' if forces else ''}."
        )
    for place in found:
        for name in (place.positions, *([place.forces] if forces else [])):
            check_array(path, file, name)
    return found


def check_array(path: Path, file: Any, name: str) -> None:
    """Refuse data that the file borrows from another, and sizes that it does not hold."""
    import h5py

    parts = name.split("/")
    for n in range(1, len(parts) + 1):
        link = file.get("/".join(parts[:n]), getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise FokkerError(f"{path}: {name} lie in another file; write them into this one.")
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
        raise FokkerError(f"{path}: {name} lie in another file; write them into this one.")
    if data.nbytes > _MOST_EXPANSION * path.stat().st_size:
        raise corrupt(path, f"{name} claim more than {_MOST_EXPANSION} times its size")


def checked_shape(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse what is no array of coordinates of atoms."""
    if dtype.kind != "f":
        raise FokkerError(f"{path}: {name} hold {dtype}; save floating-point numbers.")
    if len(shape) != 3 or shape[2] != 3 or not prod(shape):
        raise FokkerError(
            f"{path}: {name} have the shape {shape}; save (frames, atoms, 3), at least one frame."
        )


def unit_of(data: Any) -> str:
    """The unit that an array states; empty if it states none."""
    units = next((data.attrs[key] for key in ("units", "unit") if key in data.attrs), "")
    return text(units).strip()


def length_unit(path: Path, name: str, data: Any) -> float:
    """The unit of an array of lengths, nm.

    Raises
    ------
    FokkerError
        If it is none that is known.
    """
    unit = unit_of(data)
    if unit and unit.lower() not in LENGTH_UNITS:
        raise FokkerError(f"{path}: {name} are in {unit!r}; convert them to nm.")
    return LENGTH_UNITS[unit.lower()] if unit else 1.0


def text(value: Any) -> str:
    """Text of an attribute."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def inspect(path: Path, n_atoms: tuple[int, ...]) -> tuple[Contents, Places]:
    """What a file holds, and where; of several groups the first with such a number of atoms.

    Raises
    ------
    FokkerError
        If it is corrupt, not closed, or holds no positions of atoms in a known unit.
    """
    with opened(path) as file:
        found = places(path, file)
        fitting = [p for p in found if file[p.positions].shape[1:2] in [(n,) for n in n_atoms]]
        place = (fitting or found)[0]
        data = file[place.positions]
        checked_shape(path, place.positions, data.shape, data.dtype)
        length_unit(path, place.positions, data)
        n_frames = data.shape[0]
        times = next(
            (_clock(path, file, name, n_frames) for name in place.times if name in file), None
        )
        return Contents(data.shape[1], n_frames, times), place


def _clock(path: Path, file: Any, name: str, n_frames: int) -> np.ndarray | None:
    check_array(path, file, name)
    data = file[name]
    if data.shape != (n_frames,) or data.dtype.kind not in "iuf":
        return None  # H5MD may state a fixed interval, which says nothing of a restart
    return data[()].astype(np.float64)


def read(
    path: Path, contents: Contents, place: Places, atoms: np.ndarray, at_once: int
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Positions and box vectors, nm."""
    for start in range(0, contents.n_frames, at_once):
        part = slice(start, min(start + at_once, contents.n_frames))
        with opened(path) as file:
            data = file[place.positions]
            unit = length_unit(path, place.positions, data)
            with np.errstate(over="ignore", invalid="ignore"):
                frames = (data[part][:, atoms] * unit).astype(np.float32)
                cells = _cells(path, file, place, part)
        yield frames, cells


def _cells(path: Path, file: Any, place: Places, part: slice) -> np.ndarray | None:
    """Box vectors of some frames; None without a box."""
    n = part.stop - part.start
    edges = _edges(path, file, place.box, part, n)
    if edges is None:
        return None
    if place.box == "cell_lengths":
        angles = _edges(path, file, "cell_angles", part, n)
        return box_vectors(edges, np.full((n, 3), 90.0) if angles is None else angles)
    boundary = file[place.box.rpartition("/")[0]].attrs.get("boundary", ())
    if all(text(word) == "none" for word in boundary):
        return None
    return edges[:, None] * np.eye(3) if edges.ndim == 2 else edges


def _edges(path: Path, file: Any, name: str, part: slice, n: int) -> np.ndarray | None:
    """Numbers of a box for every frame, be it one for all or one each."""
    if name in file and f"{name}/value" in file:
        name = f"{name}/value"
    if name not in file:
        return None
    check_array(path, file, name)
    data = file[name]
    unit = 1.0 if name == "cell_angles" else length_unit(path, name, data)
    if data.shape in ((3,), (3, 3)) and name.endswith("edges"):
        return np.repeat(data[()][None] * unit, n, 0)
    if data.shape[1:] not in ((3,), (3, 3)) or data.shape[0] < part.stop:
        raise corrupt(path, f"{name} of shape {data.shape} is no box of the frames")
    return data[part] * unit
