"""Collective variables of a molecule, chosen from its topology."""

from collections.abc import Mapping
from itertools import groupby, pairwise
from math import pi
from typing import Any

from ..system import CollectiveVariable, System
from ..variables import longest_path, separation
from .identity import insertion_code

_MOST = 32
"""Dihedrals of a peptide that are taken at most, the backbone first."""

_EXTENDED = (0.1, 0.15)
"""Length of a stretched chain, nm: a constant and a share a bond (carbon to carbon: 0.154)."""

_UNCONNECTED = 3.0
"""Histogram range of a distance that no bonds limit, nm."""


def collective_variables(topology: Any, system: System) -> tuple[CollectiveVariable, ...]:
    """At least one variable: the first of these that the beads can express.

    1. Backbone dihedrals phi and psi of each residue, then omega and chi1;
    2. of atoms that are no peptide, the first two dihedrals along the longest bonded path;
    3. of other chains, the distance of the ends and the radius of gyration;
    4. distances of the first and the last beads, inwards.

    Parameters
    ----------
    topology
        `mdtraj.Topology` of the source.
    system
        The system without collective variables.
    """
    assert system.mapping is not None
    groups = system.mapping.groups
    bead_of = {group[0]: bead for bead, group in enumerate(groups) if len(group) == 1}
    path = longest_path(system.neighbours)
    atoms = {frozenset((a.index, b.index)) for a, b in topology.bonds}
    chemical = all(frozenset((groups[i][0], groups[j][0])) in atoms for i, j in system.bonds)
    return (
        _peptide(topology, bead_of)
        or (_along(path, system) if chemical and not system.mapping.sizes else ())
        or _ends(topology, path, system)
    )


def _peptide(topology: Any, bead_of: Mapping[int, int]) -> tuple[CollectiveVariable, ...]:
    """Dihedrals of a peptide, phi and psi first: they span the plane of the metrics."""
    from mdtraj.geometry.dihedral import indices_chi1, indices_omega, indices_phi, indices_psi

    backbone = _dihedrals(
        topology, bead_of, (("phi", indices_phi(topology), 2), ("psi", indices_psi(topology), 1))
    )
    others = _dihedrals(
        topology,
        bead_of,
        (("omega", indices_omega(topology), 1), ("chi1", indices_chi1(topology), 1)),
    )
    return (*backbone, *others)[:_MOST]


def _dihedrals(
    topology: Any, bead_of: Mapping[int, int], kinds: tuple[tuple[str, Any, int], ...]
) -> list[CollectiveVariable]:
    """Those whose atoms are all beads, residue by residue; `kinds` tell the atom that names it."""
    found = []
    bonds = {frozenset((a.index, b.index)) for a, b in topology.bonds}
    for order, (kind, indices, centre) in enumerate(kinds):
        for atoms in indices:
            bonded = not bonds or all(
                frozenset(map(int, pair)) in bonds for pair in pairwise(atoms)
            )
            if bonded and all(int(atom) in bead_of for atom in atoms):
                residue = topology.atom(int(atoms[centre])).residue
                beads = tuple(bead_of[int(atom)] for atom in atoms)
                found.append((residue.index, order, kind, residue, beads))
    found.sort(key=lambda item: item[:2])
    residues = [next(group)[3] for _, group in groupby(found, key=lambda item: item[0])]
    labels = [f"{each.name}{each.resSeq}{insertion_code(each)}" for each in residues]
    name_of = {
        residue.index: label if labels.count(label) == 1 else f"{label} chain {residue.chain.index}"
        for residue, label in zip(residues, labels, strict=True)
    }
    return [
        _dihedral(kind if len(residues) == 1 else f"{kind} {name_of[index]}", beads)
        for index, _, kind, _, beads in found
    ]


def _along(path: list[int], system: System) -> tuple[CollectiveVariable, ...]:
    windows = [tuple(path[at : at + 4]) for at in range(len(path) - 3)][:2]
    names = ["-".join(system.beads[i].name for i in window) for window in windows]
    if len(set(names)) < len(names):
        names = [f"{name} {number}" for number, name in enumerate(names, start=1)]
    return tuple(_dihedral(name, window) for name, window in zip(names, windows, strict=True))


def _ends(topology: Any, path: list[int], system: System) -> tuple[CollectiveVariable, ...]:
    """Distance of the ends and extent of a chain, else of the first and the last beads, inwards."""
    assert system.mapping is not None
    n = system.n_beads
    groups = system.mapping.groups
    neighbours: list[list[int]] = [[] for _ in range(topology.n_atoms)]
    for a, b in topology.bonds:
        neighbours[a.index].append(b.index)
        neighbours[b.index].append(a.index)

    def between(i: int, j: int) -> float:
        """Largest distance of two beads that the bonds of their atoms allow, nm."""
        n_bonds = separation(neighbours, groups[i][0]).get(groups[j][0])
        return _UNCONNECTED if n_bonds is None else _EXTENDED[0] + _EXTENDED[1] * n_bonds

    def distance(name: str, i: int, j: int) -> CollectiveVariable:
        limits = (0.0, between(i, j))
        return CollectiveVariable(name=name, kind="distance", indices=(i, j), limits=limits)

    if len(path) < 2:
        pairs = [(i, n - 1 - i) for i in range(min(2, n // 2))]
        labels = system.labels
        return tuple(distance(f"{labels[i]} {labels[j]}", i, j) for i, j in pairs)
    first, last = path[0], path[-1]
    ends = distance("end to end", first, last)
    if n == 2:
        return (ends,)
    gyration = CollectiveVariable(
        name="radius of gyration",
        kind="radius-of-gyration",
        indices=tuple(range(n)),
        # All mass at the two ends would give half their distance.
        limits=(0.0, 0.5 * ends.limits[1]),
        values=system.masses,
    )
    return (ends, gyration)


def _dihedral(name: str, beads: tuple[int, ...]) -> CollectiveVariable:
    return CollectiveVariable(
        name=name, kind="dihedral", indices=beads, limits=(-pi, pi), periodic=True
    )
