"""The atoms that the beads of a run were taken from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..system import Bead, Mapping, System
from ..trajectory import system_from_topology
from ..trajectory.identity import insertion_code
from ..trajectory.topology import load_topology
from ..units import BOLTZMANN


@dataclass(frozen=True)
class Atoms:
    """All atoms of the molecules that have a bead; solvent is left out.

    Attributes
    ----------
    system
        Its beads are the atoms.
    groups
        Atoms of each bead of the run, as numbered in `system`.
    weights
        Of these atoms; they sum to one for each bead.
    """

    system: System
    groups: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...], ...]

    def beads(
        self, frames: Float[np.ndarray, "frames atoms 3"]
    ) -> Float[np.ndarray, "frames beads 3"]:
        """Where the beads are in frames of the atoms."""
        return np.stack(
            [
                np.einsum("fad,a->fd", frames[:, list(group)], np.array(weights))
                for group, weights in zip(self.groups, self.weights, strict=True)
            ],
            axis=1,
        )

    @property
    def that_are_beads(self) -> tuple[int, ...]:
        """Atoms that are a bead each."""
        return tuple(group[0] for group in self.groups if len(group) == 1)

    def anchored(
        self,
        frames: Float[np.ndarray, "frames atoms 3"],
        beads: Float[np.ndarray, "frames beads 3"],
    ) -> Float[np.ndarray, "frames atoms 3"]:
        """Frames with the atoms of each bead moved, as one, to where the bead is."""
        moved = frames.copy()
        shifts = beads - self.beads(frames)
        for bead, group in enumerate(self.groups):
            moved[:, list(group)] += shifts[:, bead, None]
        return moved


def atoms_of(system: System, topology: Path) -> Atoms:
    """Find the atoms of the beads in a topology, and all atoms bonded to these.

    Parameters
    ----------
    system
        The beads of a run.
    topology
        That of the run, or another one with all atoms of its molecule, in which the beads are found
        by chain, residue and name.

    Raises
    ------
    FokkerError
        If the topology is bad, is of another molecule, or has no more atoms than beads.
    """
    groups = _source_atoms(system, topology)
    beads = sorted({atom for group in groups for atom in group})
    mapping = _select(system, topology, beads).mapping
    assert mapping is not None
    inside = sorted({*beads, *(atom for bond in mapping.bonds for atom in bond)})
    if len(inside) <= system.n_beads:
        raise FokkerError(
            f"{topology}: has the beads only, so there are no atoms to go back to; give the files "
            "with all atoms with --trajectory and --topology."
        )
    number = {atom: i for i, atom in enumerate(inside)}
    return Atoms(
        _select(system, topology, inside),
        tuple(tuple(number[atom] for atom in group) for group in groups),
        _weights(system.mapping, groups),
    )


def _select(system: System, topology: Path, atoms: Sequence[int]) -> System:
    """System of some atoms of a topology."""
    ranges = groupby(enumerate(atoms), key=lambda pair: pair[1] - pair[0])
    ends = [[atom for _, atom in run] for _, run in ranges]
    select = " or ".join(f"index {run[0]} to {run[-1]}" for run in ends)
    temperature = system.kT / BOLTZMANN
    return system_from_topology(topology, select=select, temperature=temperature, name=system.name)


def _weights(
    mapping: Mapping | None, groups: Sequence[tuple[int, ...]]
) -> tuple[tuple[float, ...], ...]:
    masses = iter(mapping.weights if mapping and mapping.sizes else ())
    found = []
    for group in groups:
        own = [next(masses, 1.0) for _ in group]
        found.append(tuple(mass / sum(own) for mass in own))
    return tuple(found)


def _source_atoms(system: System, topology: Path) -> tuple[tuple[int, ...], ...]:
    """Atoms of each bead, as numbered in the topology."""
    found = load_topology(topology)
    mapping = system.mapping
    if mapping is not None and mapping.n_atoms == found.n_atoms:
        _check_names(topology, mapping, found)
        return mapping.groups
    if mapping is not None and mapping.sizes:
        raise FokkerError(
            f"{topology}: has {found.n_atoms} atoms, but the beads are groups of atoms of a "
            f"topology of {mapping.n_atoms}; give that one with --topology."
        )
    known = {_place(atom): atom.index for atom in found.atoms}
    missing = next((bead for bead in system.beads if _place_of(bead) not in known), None)
    if missing is not None:
        raise FokkerError(
            f"{topology}: has no atom {missing.label}, which is a bead of the run; give the "
            "topology of all atoms of its molecule."
        )
    return tuple((known[_place_of(bead)],) for bead in system.beads)


def _check_names(path: Path, mapping: Mapping, topology: Any) -> None:
    """Refuse another molecule that has as many atoms."""
    numbers = sorted({*mapping.indices, *(atom for bond in mapping.bonds for atom in bond)})
    for number, atom in zip(numbers, mapping.atoms, strict=False):
        found = topology.atom(number)
        if (found.name, found.residue.name) != (atom.name, atom.residue):
            raise FokkerError(
                f"{path}: atom {number} (from 0) is {found.residue.name}-{found.name}, in the "
                f"run's own topology {atom.residue}-{atom.name}; give the topology of the run's "
                "molecule."
            )


def _place(atom: Any) -> tuple[int, int, str, str, str]:
    residue = atom.residue
    code = insertion_code(residue)
    return residue.chain.index, residue.resSeq, code, residue.name, atom.name


def _place_of(bead: Bead) -> tuple[int, int, str, str, str]:
    return (*bead.place, bead.name)
