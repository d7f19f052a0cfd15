"""Local motions of a molecule, each in one or two variables: what a model is judged by, place by place.

They follow from the beads, their names and their bonds, so every run has them, whatever its collective
variables are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import pi
from typing import NamedTuple

from ..system import Bead, CollectiveVariable, System


class Motion(NamedTuple):
    """One or two variables that belong together, and what they are called."""

    label: str
    variables: tuple[CollectiveVariable, ...]


def torsions_of(system: System) -> tuple[Motion, ...]:
    """Torsions of a molecule: the first of these that its beads have.

    1. (phi, psi) of every residue of a peptide; at its ends, the one that there is;
    2. of a chain of one bead a residue, the angle at a bead and the torsion about the bond to the
       next (the C-alpha map of Oldfield and Hubbard, Proteins 18, 324 (1994));
    3. one torsion about every bond between two beads that have other neighbours, hydrogen aside.

    Parameters
    ----------
    system
        Of any molecule; in the plane or on a line there are no torsions.
    """
    if system.dim != 3 or not system.bonds:
        return ()
    return tuple(_backbone(system)) or tuple(_of_residues(system)) or tuple(_about_bonds(system))


def _backbone(system: System) -> Iterator[Motion]:
    residues: dict[tuple[int, int, str, str], dict[str, int]] = {}
    for index, bead in enumerate(system.beads):
        residues.setdefault(bead.place, {}).setdefault(bead.name, index)
    near = system.neighbours
    several = len({bead.chain_index for bead in system.beads}) > 1
    for place, beads in residues.items():
        if not {"N", "CA", "C"} <= beads.keys():
            continue
        n, ca, c = beads["N"], beads["CA"], beads["C"]
        if ca not in near[n] or c not in near[ca]:
            continue
        found = {
            kind: quad
            for kind, name, middle, ends in (
                ("phi", "C", n, lambda i: (i, n, ca, c)),
                ("psi", "N", c, lambda i: (n, ca, c, i)),
            )
            for i in near[middle]
            if system.beads[i].name == name and system.beads[i].place != place
            for quad in (ends(i),)
        }
        if found:
            where = _residue(system.beads[ca], several)
            variables = (_dihedral(f"{kind} of {where}", quad) for kind, quad in found.items())
            yield Motion(f"{', '.join(found)} of {where}", tuple(variables))


def _of_residues(system: System) -> Iterator[Motion]:
    """Angle and torsion along chains, where every bead is a residue."""
    near = system.neighbours
    if len({bead.place for bead in system.beads}) < system.n_beads or max(map(len, near)) > 2:
        return
    bonded = set(system.bonds) | {(j, i) for i, j in system.bonds}
    several = len({bead.chain_index for bead in system.beads}) > 1
    for i in range(system.n_beads - 3):
        quad = (i, i + 1, i + 2, i + 3)
        if all(pair in bonded for pair in pairwise(quad)):
            where = _residue(system.beads[i + 1], several)
            angle = CollectiveVariable(
                name=f"angle at {where}", kind="angle", indices=quad[:3], limits=(0.0, pi)
            )
            torsion = _dihedral(f"torsion after {where}", quad)
            yield Motion(f"angle, torsion of {where}", (angle, torsion))


def _about_bonds(system: System) -> Iterator[Motion]:
    heavy = [
        [k for k in each if system.beads[k].element not in ("H", "D")] for each in system.neighbours
    ]
    labels = system.labels
    for j, k in sorted((min(bond), max(bond)) for bond in system.bonds):
        i = next((i for i in heavy[j] if i != k), None)
        m = next((m for m in heavy[k] if m not in (i, j)), None)
        if i is not None and m is not None:
            label = f"torsion about {labels[j]} {labels[k]}"
            yield Motion(label, (_dihedral(label, (i, j, k, m)),))


def _residue(bead: Bead, several: bool) -> str:
    """For example ``LEU 3``, or ``B:LEU 3`` in one of several chains."""
    name = f"{bead.residue} {bead.residue_index}{bead.insertion_code}"
    return f"{bead.chain or bead.chain_index}:{name}" if several else name


def _dihedral(name: str, beads: tuple[int, ...]) -> CollectiveVariable:
    return CollectiveVariable(
        name=name, kind="dihedral", indices=beads, limits=(-pi, pi), periodic=True
    )
