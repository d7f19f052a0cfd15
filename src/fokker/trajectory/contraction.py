"""Bonds of a coarse molecule, from those of its atoms."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int


def contracted_bonds(
    chemical: Int[np.ndarray, "bonds 2"], groups: Sequence[Sequence[int]], n_atoms: int
) -> tuple[tuple[int, int], ...]:
    """Bead pairs that are bonded where the atoms between them are.

    Atoms of no bead are given to the nearest bead along the bonds, the lower one in a tie; two
    beads are then bonded if an atom of one is bonded to an atom of the other. So C-alpha beads
    form a chain, and side-chain atoms that are left out change nothing.

    Parameters
    ----------
    chemical
        Bonded atoms.
    groups
        Atoms of each bead; no atom is in two of them.
    n_atoms
        Atoms in the topology.

    Returns
    -------
        Pairs (i, j), i < j, in ascending order.
    """
    neighbours: list[list[int]] = [[] for _ in range(n_atoms)]
    for i, j in chemical.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    owner = {atom: bead for bead, group in enumerate(groups) for atom in group}
    queue = deque(owner)
    while queue:
        atom = queue.popleft()
        for other in neighbours[atom]:
            if other not in owner:
                owner[other] = owner[atom]
                queue.append(other)
    pairs = {
        tuple(sorted((owner[i], owner[j])))
        for i, j in chemical.tolist()
        if i in owner and owner[i] != owner[j]
    }
    return tuple((i, j) for i, j in sorted(pairs))
