"""GRO frames of GROMACS, in nm: columns of fixed width that grow with the precision."""

import re
from itertools import pairwise

import numpy as np

from .lines import AbstractParser, Frame, Lines

_FIRST = 20
"""Column where the coordinates begin."""

_TIME = re.compile(r"\bt=\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)")


class GROParser(AbstractParser):
    """Frames of a GRO file."""

    def parse(self, lines: Lines) -> Frame | None:
        """Title, count, one line an atom, box."""
        title = lines.start()
        if title is None:
            return None
        n_atoms = int(lines.get())
        if n_atoms < 1:
            raise ValueError(f"{n_atoms} atoms")
        rows = lines.take(n_atoms)
        width = _width(rows[0])
        ends = [_FIRST + k * width for k in range(4)]
        positions = np.array(
            [[row[a:b] for a, b in pairwise(ends)] for row in rows],
            np.float64,
        )
        time = _TIME.search(title)
        return Frame(positions, _cell(lines.get()), float(time[1]) if time else None)


def _width(row: str) -> int:
    """Distance of two decimal points, which is the width of a column."""
    first = row.index(".", _FIRST)
    return row.index(".", first + 1) - first


def _cell(line: str) -> np.ndarray | None:
    edges = np.array(line.split(), np.float64)
    if edges.size not in (3, 9):
        raise ValueError("the box is neither three nor nine numbers")
    x, y, z, xy, xz, yx, yz, zx, zy = np.pad(edges, (0, 9 - edges.size))
    return np.array([[x, xy, xz], [yx, y, yz], [zx, zy, z]]) if edges.any() else None
