"""A peptide backbone N, CA, C with dihedrals as wished: frames whose distribution is known."""

from math import pi

import numpy as np

from fokker.system import Bead, CollectiveVariable, System

LENGTHS = (0.133, 0.146, 0.153)
"""C-N, N-CA and CA-C, nm."""

ANGLES = (2.13, 2.03, 1.94)
"""At C, N and CA, rad: CA-C-N, C-N-CA and N-CA-C."""


def peptide(residues: int) -> System:
    """Alanines but for a leucine, residue 3; the plane is that of residue 2."""
    beads = tuple(
        Bead(name=name, element=name[0], residue="LEU" if i == 2 else "ALA", residue_index=i + 1)
        for i in range(residues)
        for name in ("N", "CA", "C")
    )
    system = System(
        name="peptide",
        dim=3,
        beads=beads,
        kT=2.494,
        bonds=tuple((i, i + 1) for i in range(len(beads) - 1)),
        collective_variables=tuple(
            CollectiveVariable(
                name=f"{name} ALA2", kind="dihedral", indices=beads, limits=(-pi, pi), periodic=True
            )
            for name, beads in (("phi", (2, 3, 4, 5)), ("psi", (3, 4, 5, 6)))
        ),
    )
    return system


def build(phi: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """Frames, nm, of phi of the residues 2, 3, ... and psi of 1, 2, ..., (frames, residues - 1).

    Each atom is placed by the three before it; omega is pi.
    """
    n, pairs = phi.shape
    length, angle = LENGTHS, ANGLES
    first = np.array([[0.0, 0.0, 0.0], [length[1], 0.0, 0.0], [0.0, 0.0, 0.0]])
    first[2] = first[1] + length[2] * np.array([-np.cos(angle[2]), np.sin(angle[2]), 0.0])
    atoms = [np.broadcast_to(atom, (n, 3)) for atom in first]
    omega = np.full(n, pi)
    for i in range(pairs):
        for turn, k in ((psi[:, i], 0), (omega, 1), (phi[:, i], 2)):
            a, b, c = atoms[-3:]
            along = _unit(c - b)
            normal = _unit(np.cross(b - a, along))
            across = np.cross(normal, along)
            atoms.append(
                c
                + length[k]
                * (
                    -np.cos(angle[k]) * along
                    + np.sin(angle[k])
                    * (np.cos(turn)[:, None] * across + np.sin(turn)[:, None] * normal)
                )
            )
    return np.stack(atoms, axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
