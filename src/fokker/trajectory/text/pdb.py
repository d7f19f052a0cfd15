"""PDB trajectories, one MODEL after another, in angstrom.

A frame ends at ENDMDL, END, the next MODEL or the end of the file. Of an atom with alternate
locations the first is taken, as `mdtraj` does for the topology.
"""

import re

import numpy as np

from ...units import ANGSTROM
from ..cell import box_vectors
from .lines import AbstractParser, Frame, Lines

_TIME = re.compile(r"\bt=\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)")


class PDBParser(AbstractParser):
    """Frames of a PDB file; a box holds until the next is given."""

    def __init__(self) -> None:
        self._cell: np.ndarray | None = None
        self._n_atoms = 0
        self._model = ""

    def name(self, number: int) -> str:
        """By the number that the file gives the model."""
        return f"MODEL {self._model}" if self._model else f"frame {number}"

    def parse(self, lines: Lines) -> Frame | None:
        """Records until the end of a model."""
        atoms: list[tuple[str, str, str]] = []
        seen = Seen()
        time, closed = None, False
        self._model = ""
        while (line := lines.start()) is not None:
            record = line[:6].rstrip()
            if record in ("ATOM", "HETATM"):
                if seen.is_new(line):
                    atoms.append((line[30:38], line[38:46], line[46:54]))
            elif record == "MODEL":
                if atoms:
                    lines.give_back(line)
                    closed = True
                    break
                self._model = line[6:].strip()
            elif record == "CRYST1":
                self._cell = _cell(line)
            elif record == "TITLE":
                time = _TIME.search(line) or time
            elif record in ("ENDMDL", "END") and atoms:
                closed = True
                break
        if not atoms:
            if not self._n_atoms:
                raise ValueError("no ATOM record")
            return None
        unfinished = not lines.last.endswith("\n") and lines.last.startswith(("ATOM", "HETATM"))
        if not closed and (
            len(atoms) < self._n_atoms or (unfinished and len(lines.last.rstrip()) < 54)
        ):
            raise EOFError
        self._n_atoms = self._n_atoms or len(atoms)
        positions = np.array(atoms, np.float64) * ANGSTROM
        return Frame(positions, self._cell, float(time[1]) if time else None)


class Seen:
    """Atoms of the present residue, and where each of them was met."""

    def __init__(self) -> None:
        self._place, self._kind = "", ""
        self._locations: dict[str, set[str]] = {}

    def is_new(self, line: str) -> bool:
        """Whether an atom is none that was met at another location."""
        name, location = line[12:16], line[16:17].strip()
        place, kind = line[21:27], line[17:21]
        # a residue of another name at an alternate location is a point mutation
        if place != self._place or (not location and kind != self._kind):
            self._place, self._kind, self._locations = place, kind, {}
        met = self._locations.setdefault(name, set())
        is_new = not met or location in met
        met.add(location)
        return is_new


def _cell(line: str) -> np.ndarray:
    edges = np.array([line[6:15], line[15:24], line[24:33]], np.float64) * ANGSTROM
    return box_vectors(edges, np.array([line[33:40], line[40:47], line[47:54]], np.float64))
