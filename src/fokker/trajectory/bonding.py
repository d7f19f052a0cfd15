"""Bonds that a topology file leaves out: those of names, then those of short distances."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .lengths import Structure, covalent_length
from .residues import BACKBONE, Template, template_of

_REACH = 1.25
"""Two atoms nearer than this many covalent lengths are bonded."""

_MOST_ATOMS = 2000
"""Atoms of a residue whose distances are all looked at."""


_AMMONIUM = {"H2", "H3"}
"""On the N that begins a chain. Further on mdtraj means others by them: HT2 of an acid's end."""


def named_bonds(topology: Any) -> Iterator[tuple[Any, Any]]:
    """Bonds that the names of residues and atoms imply, also of names that mdtraj does not know."""
    for chain in topology.chains:
        before: dict[str, Any] = {}
        for residue in chain.residues:
            template = template_of(residue.name) or _amino_acid(residue)
            atoms = _by_standard_name(residue, template)
            inside = before.get("C") is not None
            for pair in template.bonds if template else ():
                if inside and "N" in pair and not _AMMONIUM.isdisjoint(pair):
                    continue
                ends = [
                    before.get(name[1:]) if name[0] == "-" else atoms.get(name) for name in pair
                ]
                if ends[0] is not None and ends[1] is not None:
                    yield ends[0], ends[1]
            before = atoms


def _amino_acid(residue: Any) -> Template | None:
    names = {atom.name for atom in residue.atoms}
    return BACKBONE if {"N", "CA", "C"} <= names else None


def _by_standard_name(residue: Any, template: Template | None) -> dict[str, Any]:
    return {template.standard(a.name) if template else a.name: a for a in residue.atoms}


def complete_bonds(topology: Any, read: Callable[[], Structure | None]) -> list[str]:
    """Add the bonds that names imply, then those of atoms that have none, by their distances.

    Parameters
    ----------
    topology
        `mdtraj.Topology` with elements.
    read
        Reads the positions of the topology file if they are needed; None if it has none.

    Returns
    -------
    list of str
        Names of the residues in which distances were needed for more than hydrogens.
    """
    bonded = {index for pair in _add_named(topology) for index in pair}
    open_ends = []
    for residue in topology.residues:
        lone = [atom.index not in bonded for atom in residue.atoms]
        if any(lone) and 1 < residue.n_atoms <= _MOST_ATOMS:
            open_ends.append((residue, lone))
    structure = read() if open_ends else None
    if structure is None:
        return []
    found = []
    for residue, lone in open_ends:
        near = _near(list(residue.atoms), lone, structure)
        for a, b in near:
            topology.add_bond(a, b)
        if any("H" not in (a.element.symbol, b.element.symbol) for a, b in near):
            found.append(residue.name)
    return list(dict.fromkeys(found))


def _add_named(topology: Any) -> set[frozenset[int]]:
    """All bonds, after those that names imply have been added."""
    inner = {
        atom.index
        for bond in topology.bonds
        for atom in bond
        if atom.name == "N" and bond[0].residue is not bond[1].residue
    }
    topology._bonds = [
        bond
        for bond in topology.bonds
        if not any(a.index in inner and b.name in _AMMONIUM for a, b in (bond, bond[::-1]))
    ]
    known = {frozenset((a.index, b.index)) for a, b in topology.bonds}
    for a, b in named_bonds(topology):
        pair = frozenset((a.index, b.index))
        if pair not in known:
            known.add(pair)
            topology.add_bond(a, b)
    return known


def _near(atoms: list[Any], lone: list[bool], structure: Structure) -> list[tuple[Any, Any]]:
    """Pairs with an atom that has no bond yet; a hydrogen has only one."""
    apart = structure.distances([atom.index for atom in atoms])
    symbols = [atom.element.symbol for atom in atoms]
    found = []
    for i, atom in enumerate(atoms):
        ratios = [
            (apart[i, j] / (covalent_length(symbols[i], symbols[j]) or np.inf), j)
            for j in range(len(atoms))
            if j != i and (lone[i] or lone[j]) and symbols[j] != "H"
        ]
        near = sorted((ratio, j) for ratio, j in ratios if 0 < ratio < _REACH)
        if symbols[i] == "H":
            found += [(atom, atoms[j]) for _, j in near[:1] if lone[i]]
        else:
            found += [(atom, atoms[j]) for _, j in near if j > i]
    return found
