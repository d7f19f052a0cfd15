"""Many molecules behind one model: who they are, and which frames are whose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ..network import MoleculeInputs
from ..system import Skeleton, System, Vocabulary
from ..types import FAR, Features
from .pool import Shares, edges_of


@dataclass(frozen=True)
class Ranges:
    """Consecutive frames of molecules: `count[i]` of molecule `molecule[i]`, then the next.

    `weight` says how often each molecule is drawn, in any unit.
    """

    molecule: Int[np.ndarray, " molecules"]
    count: Int[np.ndarray, " molecules"]
    weight: Float[np.ndarray, " molecules"]

    @property
    def first(self) -> Int[np.ndarray, " molecules"]:
        """Where the frames of each begin."""
        return np.cumsum(self.count) - self.count

    @property
    def of_frames(self) -> Int[np.ndarray, " frames"]:
        """Molecule of each frame."""
        return np.repeat(self.molecule, self.count)

    @property
    def shares(self) -> Shares:
        """The same on the device."""
        return Shares(
            jnp.asarray(self.molecule, jnp.int32),
            jnp.asarray(self.first, jnp.int32),
            jnp.asarray(self.count, jnp.int32),
            jnp.asarray(edges_of(self.weight)),
        )

    def thinned(self, every: int) -> tuple[Int[np.ndarray, " rows"], Ranges]:
        """Every n-th frame of each molecule, and what is whose among them."""
        rows = [np.arange(f, f + n, every) for f, n in zip(self.first, self.count, strict=True)]
        counts = np.array([len(each) for each in rows])
        return np.concatenate(rows), Ranges(self.molecule, counts, self.weight)


@dataclass(frozen=True)
class Molecules:
    """The molecules of a data set.

    Attributes
    ----------
    systems
        Those trained on, then those that only validate.
    vocabulary
        Kinds of beads of those trained on.
    training, validation
        Which of the training and of the held-out frames are whose.
    skeleton
        What all of them share, or what a model that they are to fit has of its own; None if
        their beads differ.
    """

    systems: tuple[System, ...]
    vocabulary: Vocabulary
    training: Ranges
    validation: Ranges
    skeleton: Skeleton | None

    @property
    def largest(self) -> System:
        """The molecule with the most beads, which all others are padded to."""
        return max(self.systems, key=lambda system: system.n_beads)

    @cached_property
    def features(self) -> Features:
        """Features of all molecules, with a leading axis of molecules.

        Without padding, where all have one size, `present` is None.
        """
        return padded_features(self.systems, self.vocabulary)

    @property
    def inputs(self) -> MoleculeInputs:
        """What networks may measure on the training frames."""
        kinds, of_frames = self.vocabulary.kinds, self.training.of_frames
        return MoleculeInputs(kinds, self.features, of_frames, self.skeleton)

    def name_of(self, row: int) -> str:
        """Name of the molecule of a training frame."""
        return self.systems[int(self.training.of_frames[row])].name


def shared_skeleton(systems: Iterable[System]) -> Skeleton | None:
    """What molecules share; None if their beads differ."""
    first, *others = (system.skeleton for system in systems)
    found: Skeleton | None = first
    for other in others:
        found = None if found is None else found.shared(other)
    return found


def padded_features(systems: tuple[System, ...], vocabulary: Vocabulary) -> Features:
    """Stack the features of molecules.

    Raises
    ------
    FokkerError
        If the vocabulary does not have a bead.
    """
    size = max(system.n_beads for system in systems)
    shape = (len(systems), size)
    kind, present = np.zeros(shape, np.int32), np.zeros(shape, bool)
    separation = np.full((*shape, size), FAR, np.int32)
    separation[:, np.arange(size), np.arange(size)] = 0
    for row, system in enumerate(systems):
        n = system.n_beads
        kind[row, :n] = vocabulary.indices(system)
        present[row, :n] = True
        separation[row, :n, :n] = system.separations
    return Features(
        jnp.asarray(kind), None if present.all() else jnp.asarray(present), jnp.asarray(separation)
    )
