"""LAMMPS dumps in text (https://docs.lammps.org/dump.html).

Coordinates may be scaled by the box (`xs`, the default of `dump atom`), unwrapped (`xu`, `xsu`) or
wrapped with image flags (`x ix`), atoms in any order, boxes orthogonal or triclinic. Lengths are
those of the units `real` and `metal`, angstrom, unless the dump names its units.
"""

from typing import NamedTuple

import numpy as np

from .lines import AbstractParser, Frame, Lines
from .xyz import without_period

_NM = {
    "real": 0.1,
    "metal": 0.1,
    "nano": 1.0,
    "electron": 0.0529177210903,
    "micro": 1e3,
    "cgs": 1e7,
    "si": 1e9,
}
"""Unit of length of each style of units, nm."""

_STYLES = (
    (("xu", "yu", "zu"), False),
    (("xsu", "ysu", "zsu"), True),
    (("x", "y", "z"), False),
    (("xs", "ys", "zs"), True),
)
"""Columns of coordinates, the best first, and whether they are scaled by the box."""

_IMAGES = ("ix", "iy", "iz")


class _Box(NamedTuple):
    origin: np.ndarray
    vectors: np.ndarray
    free: np.ndarray


def _box(header: list[str], rows: list[str]) -> _Box:
    """Box of the words behind `BOX BOUNDS` and the three lines below."""
    table = np.array([row.split() for row in rows], np.float64)
    boundaries = header[-3:] if len(header) >= 3 and len(header[-1]) == 2 else ["pp"] * 3
    free = np.array([word != "pp" for word in boundaries])
    if header[:2] == ["abc", "origin"]:
        return _Box(table[:, 3], table[:, :3], free)
    low, high = table[:, 0].copy(), table[:, 1].copy()
    xy, xz, yz = table[:, 2] if table.shape[1] == 3 else np.zeros(3)
    # the bounds are those of the box that encloses the tilted one
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    x, y, z = high - low
    return _Box(low, np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]]), free)


class LAMMPSParser(AbstractParser):
    """Frames of a dump; the units are named in the first alone."""

    def __init__(self) -> None:
        self._nm = _NM["real"]
        self._ids: np.ndarray | None = None

    def parse(self, lines: Lines) -> Frame | None:
        """Items until that of the atoms."""
        line = lines.start()
        if line is None:
            return None
        time, n_atoms, box = None, 0, None
        while True:
            item, *words = line.removeprefix("ITEM:").split()
            if not line.startswith("ITEM:"):
                raise ValueError("a line that begins with ITEM: is missing")
            if item == "ATOMS":
                break
            if item == "BOX":
                box = _box(words[1:], lines.take(3))
            elif item == "NUMBER":
                n_atoms = int(lines.get())
            elif item == "UNITS":
                self._nm = _length(lines.get().strip())
            elif item == "TIMESTEP":
                time = float(lines.get())
            else:
                lines.get()
            line = lines.get()
        if n_atoms < 1 or box is None:
            raise ValueError("no number of atoms, or no box")
        positions, elements = self._atoms(words, [r.split() for r in lines.take(n_atoms)], box)
        cell = None
        if not box.free.all():
            cell = without_period(box.vectors, box.free) * self._nm
        return Frame(positions * self._nm, cell, time, elements)

    def _atoms(
        self, columns: list[str], rows: list[list[str]], box: _Box
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Positions and symbols in the order of the ids."""
        place = {name: at for at, name in enumerate(columns)}
        style = next((s for s in _STYLES if all(name in place for name in s[0])), None)
        if style is None or "id" not in place:
            raise ValueError(
                f"columns {' '.join(columns)}; an id and coordinates are needed, for example with "
                "`dump ... custom ... id type xu yu zu`"
            )
        names, scaled = style
        wrapped = names[0] in ("x", "xs") and all(name in place for name in _IMAGES)
        wanted = [place[name] for name in ("id", *names, *(_IMAGES if wrapped else ()))]
        table = np.array([[row[at] for at in wanted] for row in rows], np.float64)
        order = np.argsort(table[:, 0], kind="stable")
        table = table[order]
        self._check_ids(table[:, 0])
        positions = table[:, 1:4]
        if scaled:
            positions = box.origin + positions @ box.vectors
        if wrapped:
            positions = positions + table[:, 4:7] @ box.vectors
        at = place.get("element")
        elements = () if at is None else tuple(rows[i][at] for i in order)
        return positions, elements

    def _check_ids(self, ids: np.ndarray) -> None:
        twice = np.flatnonzero(np.diff(ids) == 0)
        if len(twice):
            raise ValueError(f"atom id {ids[twice[0]]:.0f} is there twice")
        if self._ids is not None and len(ids) == len(self._ids) and (ids != self._ids).any():
            first = ids[(ids != self._ids).argmax()]
            raise ValueError(f"atom id {first:.0f} is not one of the first frame")
        self._ids = ids if self._ids is None else self._ids


def _length(style: str) -> float:
    if style not in _NM:
        raise ValueError(f"units {style} have no length in nm; scale the coordinates to real units")
    return _NM[style]
