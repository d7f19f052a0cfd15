"""What is modelled: beads, masses, bonds, temperature, collective variables. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from pydantic import Field, model_validator

from .errors import FokkerError
from .options import Options
from .variables import KINDS, CollectiveVariable, neighbours_of, separations

__all__ = [
    "Atom",
    "Bead",
    "CollectiveVariable",
    "Mapping",
    "Skeleton",
    "System",
    "Vocabulary",
    "bead_labels",
]


class Bead(Options):
    """One particle of the model and the atom or atoms it stands for."""

    name: str = Field(description="atom name, as in the topology, or that of a group of atoms")
    element: str = Field(default="C", description="element symbol, of the heaviest atom")
    residue: str = Field(default="MOL", description="residue name")
    residue_index: int = Field(default=1, description="residue number, as in the topology")
    insertion_code: str = Field(default="", description="letter after the residue number")
    chain: str = Field(default="", description="name of the chain, unique among those with it")
    chain_index: int = Field(default=0, description="number of the chain in the topology, from 0")
    mass: float = Field(default=12.011, gt=0, description="amu")

    @property
    def label(self) -> str:
        """Name in a chain, for example ``ALA2-CA``, or ``GLY100A-CA`` with an insertion code."""
        return f"{self.residue}{self.residue_index}{self.insertion_code}-{self.name}"

    @property
    def place(self) -> tuple[int, int, str, str]:
        """What the beads of one residue share."""
        return self.chain_index, self.residue_index, self.insertion_code, self.residue


def bead_labels(beads: Sequence[Bead]) -> tuple[str, ...]:
    """One name a bead: its label, or ``B:ALA2-CA`` where chains have equal labels.

    Names are equal only if one residue has two beads of one name.
    """
    plain = tuple(bead.label for bead in beads)
    if len(set(plain)) == len(plain) or len({bead.chain_index for bead in beads}) == 1:
        return plain
    return tuple(f"{bead.chain}:{bead.label}" for bead in beads)


class Atom(NamedTuple):
    """One atom of the source, as its topology names it."""

    name: str
    element: str
    residue: str
    residue_index: int

    @property
    def label(self) -> str:
        """For example ``ALA2-CA``."""
        return f"{self.residue}{self.residue_index}-{self.name}"


class Mapping(Options):
    """How beads were taken from the atoms of the source trajectory.

    A bead lies at the mass-weighted mean of its atoms.
    """

    n_atoms: int = Field(ge=1, description="atoms in the source topology")
    indices: tuple[int, ...] = Field(description="source atoms, bead after bead")
    sizes: tuple[int, ...] = Field(default=(), description="atoms of each bead; empty: one each")
    weights: tuple[float, ...] = Field(
        default=(), description="mass of each of the source atoms, amu; empty: one atom a bead"
    )
    bonds: tuple[tuple[int, int], ...] = Field(
        default=(), description="bonds of the source between all atoms of the molecules"
    )
    lengths: tuple[float, ...] = Field(
        default=(),
        description="covalent length of each of these bonds, nm; 0 where none is known",
    )
    atoms: tuple[Atom, ...] = Field(
        default=(), description="the atoms of `indices` and `bonds`, in ascending order"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Mapping:
        if self.sizes and sum(self.sizes) != len(self.indices):
            raise ValueError(f"{sum(self.sizes)} atoms in beads, {len(self.indices)} indices")
        if len(self.weights) != (len(self.indices) if self.sizes else 0):
            raise ValueError(f"{len(self.weights)} weights for {len(self.indices)} indices")
        return self

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Source atoms of each bead."""
        found, start = [], 0
        for size in self.sizes or (1,) * len(self.indices):
            found.append(self.indices[start : start + size])
            start += size
        return tuple(found)


class System(Options):
    """A set of beads at a temperature.

    Lengths are in nm and energies in kJ/mol for molecules; the two-dimensional model potentials are
    in their own dimensionless units (`length_unit` is empty).
    """

    name: str
    dim: int = Field(ge=1, le=3, description="spatial dimensions of a bead")
    beads: tuple[Bead, ...] = Field(min_length=1)
    kT: float = Field(gt=0, description="thermal energy, kJ/mol (or the potential's unit)")
    bonds: tuple[tuple[int, int], ...] = ()
    collective_variables: tuple[CollectiveVariable, ...] = ()
    plane: str = Field(
        default="", description="why the first two collective variables span that of the metrics"
    )
    histogram_bins: int = Field(default=64, ge=2, description="bins per axis of the JS histogram")
    length_unit: str = "nm"
    centred: bool = Field(
        default=True,
        description="translation is removed: positions live in the centre-of-mass-free subspace",
    )
    mapping: Mapping | None = None

    @model_validator(mode="after")
    def _indices_exist(self) -> System:
        used = [i for bond in self.bonds for i in bond]
        for variable in self.collective_variables:
            bound = self.dim if KINDS[variable.kind].of_axes else self.n_beads
            if any(not 0 <= i < bound for i in variable.indices):
                raise ValueError(
                    f"collective variable {variable.name!r} uses index {max(variable.indices)}, "
                    f"the system has {bound}"
                )
        if any(not 0 <= i < self.n_beads for i in used):
            raise ValueError(f"a bond names bead {max(used)}, the system has {self.n_beads}")
        return self

    @property
    def n_beads(self) -> int:
        """Number of beads N."""
        return len(self.beads)

    @property
    def degrees_of_freedom(self) -> int:
        """Dimension D of the space the density lives in: dim * N, or dim * (N - 1) if centred."""
        return self.dim * (self.n_beads - (1 if self.centred else 0))

    @property
    def masses(self) -> tuple[float, ...]:
        """Bead masses in amu."""
        return tuple(bead.mass for bead in self.beads)

    @property
    def labels(self) -> tuple[str, ...]:
        """One name a bead; see `bead_labels`."""
        return bead_labels(self.beads)

    @property
    def bond_labels(self) -> tuple[str, ...]:
        """One readable name a bond, for example ``ALA2-N ALA2-CA``."""
        labels = self.labels
        return tuple(f"{labels[i]} {labels[j]}" for i, j in self.bonds)

    def unit_of(self, variable: CollectiveVariable) -> str:
        """Unit of a collective variable; empty for a pure number."""
        return KINDS[variable.kind].unit(self.length_unit)

    @property
    def angles(self) -> tuple[tuple[int, int, int], ...]:
        """Every triple i-j-k of two bonds that share bead j."""
        return tuple(
            (i, j, k)
            for j, neighbours in enumerate(self.neighbours)
            for i, k in combinations(neighbours, 2)
        )

    @property
    def neighbours(self) -> tuple[tuple[int, ...], ...]:
        """Bonded neighbours of each bead, in ascending order."""
        return neighbours_of(self.n_beads, self.bonds)

    @property
    def skeleton(self) -> Skeleton:
        """Names and bonds of the beads."""
        bonds = sorted((min(bond), max(bond)) for bond in self.bonds)
        return Skeleton(names=tuple(bead.name for bead in self.beads), bonds=tuple(bonds))

    @property
    def chiral_centres(self) -> tuple[tuple[int, int, int, int], ...]:
        """Beads with at least three bonded neighbours: (centre, a, b, c).

        The sign of the triple product of the three bond vectors tells the two mirror images apart
        only for a pyramidal centre; whether a centre keeps one sign is a question for the data.
        """
        return tuple(
            (centre, *neighbours[:3])
            for centre, neighbours in enumerate(self.neighbours)
            if len(neighbours) >= 3
        )

    @property
    def bead_types(self) -> tuple[int, ...]:
        """Integer identity of each bead, the feature that networks embed."""
        return tuple(range(self.n_beads))

    @property
    def separations(self) -> Int[np.ndarray, "beads beads"]:
        """Bonds along the shortest path between two beads, at most `FAR`."""
        from .types import FAR  # with JAX, which metrics do without

        return separations(self.neighbours, FAR)


class Skeleton(Options):
    """What molecules that are alike share: names of beads, and bonds that all of them have.

    Some may have more bonds: a ring through atoms that are no beads, such as that of proline.
    """

    names: tuple[str, ...]
    bonds: tuple[tuple[int, int], ...]

    def shared(self, other: Skeleton) -> Skeleton | None:
        """What it shares with another one; None if their beads differ."""
        if self.names != other.names:
            return None
        common = set(self.bonds) & set(other.bonds)
        return Skeleton(names=self.names, bonds=tuple(sorted(common)))

    def fits(self, system: System) -> bool:
        """Whether a molecule has these beads and at least these bonds."""
        return self.shared(system.skeleton) == self


class Vocabulary(Options):
    """The kinds of beads that a model of many molecules knows: a residue and a name in it.

    Where a bead is in the chain is no part of its kind: the bonds tell, and an amino acid seen
    inside a chain is known at its ends.
    """

    kinds: tuple[tuple[str, str], ...] = Field(min_length=1, description="residue, name of bead")

    @staticmethod
    def of(systems: Iterable[System]) -> Vocabulary:
        """All kinds that occur, in alphabetical order."""
        found = {(bead.residue, bead.name) for system in systems for bead in system.beads}
        return Vocabulary(kinds=tuple(sorted(found)))

    def indices(self, system: System) -> tuple[int, ...]:
        """Kind of every bead of a molecule.

        Raises
        ------
        FokkerError
            If a kind is not known.
        """
        known = {kind: index for index, kind in enumerate(self.kinds)}
        for bead in system.beads:
            if (bead.residue, bead.name) not in known:
                raise FokkerError(self._unknown(system, bead))
        return tuple(known[bead.residue, bead.name] for bead in system.beads)

    def _unknown(self, system: System, bead: Bead) -> str:
        names = sorted(name for residue, name in self.kinds if residue == bead.residue)
        what = "beads" if names else "residues"
        known = names or sorted({residue for residue, _ in self.kinds})
        return (
            f"molecule {system.name!r}: the model was never trained on bead {bead.label}; of "
            f"{bead.residue if names else 'all residues'} it knows the {what} "
            f"{', '.join(known)}: train with a molecule that has it."
        )
