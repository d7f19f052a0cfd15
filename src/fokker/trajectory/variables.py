"""Collective variables of a molecule, chosen from its topology."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import pi
from typing import Any

from ..system import CollectiveVariable, System

_EXTENDED = (0.1, 0.15)
"""Length of a stretched chain, nm: a constant and a share a bond (carbon to carbon: 0.154)."""

_UNCONNECTED = 3.0
"""Histogram range of a distance that no bonds limit, nm."""


def collective_variables(
    topology: Any, bead_of: Mapping[int, int], system: System
) -> tuple[CollectiveVariable, ...]:
    """At least one variable: the first of these that the beads can express.

    1. Backbone dihedrals phi and psi of each residue;
    2. the first two dihedrals along the longest bonded path;
    3. distances of the first and the last beads, within what the bonds of the source allow.

    Parameters
    ----------
    topology
        `mdtraj.Topology` of the source.
    bead_of
        Bead of each source atom that is one.
    system
        The system without collective variables.
    """
    path = longest_path(system.neighbours)
    return (
        _backbone(topology, bead_of)
        or _along(path, system)
        or _ends(topology, bead_of, path, system)
    )


def _backbone(topology: Any, bead_of: Mapping[int, int]) -> tuple[CollectiveVariable, ...]:
    from mdtraj.geometry.dihedral import indices_phi, indices_psi

    found = []
    for order, (kind, indices, centre) in enumerate(
        (("phi", indices_phi(topology), 2), ("psi", indices_psi(topology), 1))
    ):
        for atoms in indices:
            if all(int(atom) in bead_of for atom in atoms):
                residue = topology.atom(int(atoms[centre])).residue
                beads = tuple(bead_of[int(atom)] for atom in atoms)
                found.append((residue.index, order, kind, residue, beads))
    found.sort(key=lambda item: item[:2])
    residues = [next(group)[3] for _, group in groupby(found, key=lambda item: item[0])]
    labels = [f"{residue.name}{residue.resSeq}" for residue in residues]
    name_of = {
        residue.index: label if labels.count(label) == 1 else f"{label} chain {residue.chain.index}"
        for residue, label in zip(residues, labels, strict=True)
    }
    return tuple(
        _dihedral(kind if len(residues) == 1 else f"{kind} {name_of[index]}", beads)
        for index, _, kind, _, beads in found
    )


def _along(path: list[int], system: System) -> tuple[CollectiveVariable, ...]:
    windows = [tuple(path[at : at + 4]) for at in range(len(path) - 3)][:2]
    names = ["-".join(system.beads[i].name for i in window) for window in windows]
    if len(set(names)) < len(names):
        names = [f"{name} {number}" for number, name in enumerate(names, start=1)]
    return tuple(_dihedral(name, window) for name, window in zip(names, windows, strict=True))


def _ends(
    topology: Any, bead_of: Mapping[int, int], path: list[int], system: System
) -> tuple[CollectiveVariable, ...]:
    """Distance of the ends of a short chain, else of the first and the last beads, inwards."""
    n = system.n_beads
    chain = len(path) == n
    pairs = [(path[0], path[-1])] if chain else [(i, n - 1 - i) for i in range(min(2, n // 2))]
    atom_of = {bead: atom for atom, bead in bead_of.items()}
    neighbours: list[list[int]] = [[] for _ in range(topology.n_atoms)]
    for a, b in topology.bonds:
        neighbours[a.index].append(b.index)
        neighbours[b.index].append(a.index)
    return tuple(
        CollectiveVariable(
            name=f"{system.beads[i].label} {system.beads[j].label}",
            kind="distance",
            indices=(i, j),
            limits=(0.0, _longest(neighbours, atom_of[i], atom_of[j])),
        )
        for i, j in pairs
    )


def _longest(neighbours: Sequence[Sequence[int]], i: int, j: int) -> float:
    """Largest distance of two atoms that their bonds allow, nm."""
    _, parent = _sweep(neighbours, i)
    if j not in parent:
        return _UNCONNECTED
    n_bonds = 0
    while j != i:
        j, n_bonds = parent[j], n_bonds + 1
    return _EXTENDED[0] + _EXTENDED[1] * n_bonds


def _dihedral(name: str, beads: tuple[int, ...]) -> CollectiveVariable:
    return CollectiveVariable(
        name=name, kind="dihedral", indices=beads, limits=(-pi, pi), periodic=True
    )


def longest_path(neighbours: Sequence[Sequence[int]]) -> list[int]:
    """Find the longest of the shortest paths between two beads.

    Two breadth-first sweeps a connected part; exact for parts without rings.
    """
    best: list[int] = []
    seen: set[int] = set()
    for start in range(len(neighbours)):
        if start not in seen:
            order, _ = _sweep(neighbours, start)
            seen.update(order)
            order, parent = _sweep(neighbours, order[-1])
            path = [order[-1]]
            while path[-1] != order[0]:
                path.append(parent[path[-1]])
            best = max(best, min(path, path[::-1]), key=len)
    return best


def _sweep(neighbours: Sequence[Sequence[int]], start: int) -> tuple[list[int], dict[int, int]]:
    """Beads connected to one, nearest first, and the bead each was reached from."""
    order, parent = [start], {start: start}
    for i in order:  # grows while it is walked
        for j in neighbours[i]:
            if j not in parent:
                parent[j] = i
                order.append(j)
    return order, parent
