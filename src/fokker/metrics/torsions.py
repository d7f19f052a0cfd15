"""Local motions of a molecule, each in one or two variables, that a model is judged by.

They follow from the beads, their names and their bonds, so every run has them, whatever its
collective variables are.
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

    1. (phi, psi) of every residue of a peptide; of its ends, the one that there is, with the next
       one along the chain;
    2. of a chain of one bead a residue, the angle at a bead and the torsion about the bond to the
       next (the C-alpha map of Oldfield and Hubbard, Proteins 18, 324 (1994));
    3. one torsion about every bond between two beads that have other neighbours, hydrogen aside.

    Parameters
    ----------
    system
        Of any molecule; in the plane or on a line there are no torsions.
    """
    if system.dim != 3:
        return ()
    return tuple(_backbone(system)) or tuple(_of_residues(system)) or tuple(_about_bonds(system))


def _backbone(system: System) -> Iterator[Motion]:
    """Phi and psi of each residue; where one is missing, that of the neighbour along the chain.

    All are in two variables where that can be: the floor of one variable is lower, so that its
    multiples are larger and would always be the worst.
    """
    several = len({bead.chain_index for bead in system.beads}) > 1
    found = {t.beads: t for t in _phi_and_psi(system)}
    phi_of = {t.beads[1:]: t for t in found.values() if t.kind == "phi"}
    psi_of = {t.beads[:3]: t for t in found.values() if t.kind == "psi"}
    pairs: dict[tuple[_Torsion, ...], None] = {}
    for torsion in found.values():
        if torsion.kind == "phi":
            # with the psi of its residue, or with the one before it, which shares C, N
            before = (psi for psi in psi_of.values() if psi.beads[2:] == torsion.beads[:2])
            own = psi_of.get(torsion.beads[1:])
            pair = (torsion, own) if own else (next(before, None), torsion)
        elif torsion.beads[:3] in phi_of:
            continue
        else:
            after = (phi for phi in phi_of.values() if phi.beads[:2] == torsion.beads[2:])
            pair = (torsion, next(after, None))
        pairs[tuple(each for each in pair if each is not None)] = None
    for pair in pairs:
        where = [_residue(system.beads[torsion.middle], several) for torsion in pair]
        names = [f"{t.kind} of {w}" for t, w in zip(pair, where, strict=True)]
        alike = len(pair) == 2 and where[0] == where[1]
        label = f"phi, psi of {where[0]}" if alike else ", ".join(names)
        variables = (_dihedral(n, t.beads) for n, t in zip(names, pair, strict=True))
        yield Motion(label, tuple(variables))


class _Torsion(NamedTuple):
    kind: str
    beads: tuple[int, int, int, int]

    @property
    def middle(self) -> int:
        """The C-alpha of its residue."""
        return self.beads[2 if self.kind == "phi" else 1]


def _phi_and_psi(system: System) -> Iterator[_Torsion]:
    residues: dict[tuple[int, int, str, str], dict[str, int]] = {}
    for index, bead in enumerate(system.beads):
        residues.setdefault(bead.place, {}).setdefault(bead.name, index)
    near = system.neighbours

    def beyond(bead: int, name: str) -> int | None:
        """Bonded bead of that name in another residue."""
        beads, place = system.beads, system.beads[bead].place
        there = (i for i in near[bead] if beads[i].name == name and beads[i].place != place)
        return next(there, None)

    for names in residues.values():
        if not {"N", "CA", "C"} <= names.keys():
            continue
        n, ca, c = names["N"], names["CA"], names["C"]
        if ca in near[n] and c in near[ca]:
            before, after = beyond(n, "C"), beyond(c, "N")
            if before is not None:
                yield _Torsion("phi", (before, n, ca, c))
            if after is not None:
                yield _Torsion("psi", (n, ca, c, after))


def _of_residues(system: System) -> Iterator[Motion]:
    """Angle and torsion along chains, where every bead is a residue."""
    near = system.neighbours
    if len({bead.place for bead in system.beads}) < system.n_beads or max(map(len, near)) > 2:
        return
    bonded = set(system.bonds) | {(j, i) for i, j in system.bonds} or _successive(system.beads)
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


def _successive(beads: tuple[Bead, ...]) -> set[tuple[int, int]]:
    """C-alphas of successive residues: a file of these alone states no bonds."""
    return {
        (i, i + 1)
        for i, (a, b) in enumerate(pairwise(beads))
        if a.name == b.name == "CA"
        and a.chain_index == b.chain_index
        and b.residue_index == a.residue_index + 1
    }


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
