"""Lengths that bonds of two elements have.

The covalent radii are those of Cordero et al., Dalton Trans. 2008, 2832 (Table 2).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

_RADII = {
    **{"H": 0.031, "B": 0.084, "C": 0.076, "N": 0.071, "O": 0.066, "F": 0.057, "Si": 0.111},
    **{"P": 0.107, "S": 0.105, "Cl": 0.102, "As": 0.119, "Se": 0.120, "Br": 0.120, "I": 0.139},
}
"""nm. Bonds to metals are left out: their lengths depend on what else is bound."""

PLAUSIBLE = (0.7, 1.35)
"""Shortest (a triple bond) and longest median length of a bond, in covalent lengths."""


class Structure(NamedTuple):
    """Positions of a topology file, and its periodic box if it states one; nm."""

    positions: Float[np.ndarray, "atoms 3"]
    cell: Float[np.ndarray, "3 3"] | None = None

    def distances(self, atoms: list[int]) -> Float[np.ndarray, "atoms atoms"]:
        """Distances among some atoms, nm, to the nearest image where there is a box."""
        apart = self.positions[atoms][:, None] - self.positions[atoms][None]
        if self.cell is not None and abs(np.linalg.det(self.cell)) > 0:
            turns = np.round(apart @ np.linalg.inv(self.cell))
            apart = apart - turns @ self.cell
        return np.linalg.norm(apart, axis=-1)


def covalent_length(a: str, b: str) -> float:
    """Sum of the covalent radii of two elements, nm; 0 where it says nothing.

    Two hydrogens count among those: rigid water has a bond that holds its angle.
    """
    if a == b == "H" or a not in _RADII or b not in _RADII:
        return 0.0
    return _RADII[a] + _RADII[b]


def expected_lengths(
    topology: Any, named: set[frozenset[int]], read: Callable[[], Structure | None]
) -> dict[frozenset[int], float]:
    """Covalent length of every bond of atoms, nm; bonds of coarse beads are left out.

    A bond that neither the names of its residues imply nor its own length in the topology bears out
    may be one of beads that have the elements of atoms.

    Parameters
    ----------
    topology
        `mdtraj.Topology` with elements.
    named
        Bonds that follow from names.
    read
        Reads the positions of the topology file if they are needed; None if it has none.
    """
    found, unsure = {}, []
    for a, b in topology.bonds:
        pair = frozenset((a.index, b.index))
        length = covalent_length(a.element.symbol, b.element.symbol)
        single = a.residue.n_atoms == b.residue.n_atoms == 1
        if pair in named and length:
            found[pair] = length
        elif length and not single and not a.name == b.name == "CA":
            unsure.append((pair, length))
    structure = read() if unsure else None
    for pair, length in unsure:
        apart = length if structure is None else structure.distances(sorted(pair))[0, 1]
        if PLAUSIBLE[0] < apart / length < PLAUSIBLE[1]:
            found[pair] = length
    return found
