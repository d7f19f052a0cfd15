"""XYZ and extended XYZ, in angstrom.

The second line of a frame may hold `Lattice="ax ay az bx by bz cx cy cz"`, the box vectors, and
`Properties=species:S:1:pos:R:3`, the columns (https://github.com/libAtoms/extxyz).
"""

import re

import numpy as np

from ...units import ANGSTROM
from .lines import AbstractParser, Frame, Lines, numbers

_KEY = r'(?:^|\s){}\s*=\s*(?:"([^"]*)"|\'([^\']*)\'|\{{([^}}]*)\}}|(\S+))'
_WIDE = 1000.0
"""A direction without a period has a box vector so many times longer than the others allow."""


def _value(comment: str, key: str) -> str | None:
    found = re.search(_KEY.format(key), comment, re.IGNORECASE)
    return None if found is None else next(v for v in found.groups() if v is not None)


def _cell(comment: str) -> np.ndarray | None:
    lattice = _value(comment, "Lattice")
    if lattice is None:
        return None
    cell = np.array(lattice.replace(",", " ").split(), np.float64)
    if cell.size == 3:
        cell = np.diag(cell)
    if cell.size != 9:
        raise ValueError(f'Lattice="{lattice}" is not three vectors')
    cell = cell.reshape(3, 3) * ANGSTROM
    periodic = (_value(comment, "pbc") or "T T T").replace(",", " ").split()
    free = np.array([word[:1].upper() in ("F", "0") for word in periodic])
    return None if len(free) != 3 or free.all() else without_period(cell, free)


def without_period(cell: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Box vectors, those of free directions so long that nothing can cross them."""
    return np.where(free[:, None], _WIDE * cell, cell)


def _columns(comment: str) -> tuple[int | None, int]:
    """Columns of the symbol and of the first coordinate."""
    properties = _value(comment, "Properties")
    if properties is None:
        return 0, 1
    fields = properties.split(":")
    at, found = 0, {}
    for name, count in zip(fields[::3], fields[2::3], strict=True):
        found[name.lower()] = at
        at += int(count)
    place = found.get("pos", found.get("positions"))
    if place is None:
        raise ValueError("Properties name no column pos")
    return found.get("species"), place


class XYZParser(AbstractParser):
    """Frames of an XYZ file."""

    def parse(self, lines: Lines) -> Frame | None:
        """Count, comment, one line an atom."""
        first = lines.start()
        if first is None:
            return None
        n_atoms = int(first)
        if n_atoms < 1:
            raise ValueError(f"{n_atoms} atoms")
        comment = lines.get()
        rows = lines.take(n_atoms)
        symbol, place = _columns(comment)
        elements = () if symbol is None else tuple(row.split()[symbol] for row in rows)
        time = _value(comment, "time")
        return Frame(
            numbers(rows, place) * ANGSTROM,
            _cell(comment),
            None if time is None else float(time),
            elements,
        )
