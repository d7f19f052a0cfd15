"""Tinker archives, in angstrom."""

import numpy as np

from ...units import ANGSTROM
from ..cell import box_vectors
from .lines import AbstractParser, Frame, Lines, numbers


class ARCParser(AbstractParser):
    """Frames of an ARC file."""

    def parse(self, lines: Lines) -> Frame | None:
        """Count and title, a box that may be left out, one line an atom."""
        first = lines.start()
        if first is None:
            return None
        n_atoms = int(first.split()[0])
        if n_atoms < 1:
            raise ValueError(f"{n_atoms} atoms")
        cell = _cell(line := lines.get())
        rows = [*([line] if cell is None else []), *lines.take(n_atoms - (cell is None))]
        return Frame(numbers(rows, 2) * ANGSTROM, cell)


def _cell(line: str) -> np.ndarray | None:
    """Box of a line; None if it is that of an atom, whose second word is its name."""
    try:
        edges = np.array(line.split(), np.float64)
    except ValueError:
        return None
    return box_vectors(edges[:3] * ANGSTROM, edges[3:]) if edges.size == 6 else None
