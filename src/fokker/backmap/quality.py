"""Whether frames of atoms could be frames of the training trajectory: bonds, clashes, chirality."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ..metrics import chiral_centres
from ..system import System
from ..trajectory import topology_of
from ..variables import triple_product

_SPREADS, _LEAST = 5.0, 0.01
"""A bond is broken if it is off its mean by so many standard deviations, and by so much, nm."""

_OVERLAP = 0.06
"""Overlap of two van der Waals spheres that is a clash, nm; 0.04 are a bad contact."""

_APART = 4
"""Fewest bonds between two atoms that may clash."""

_POLAR = frozenset(("N", "O", "S", "F"))

_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Quality:
    """What is wrong with each frame.

    Attributes
    ----------
    bonds
        Bonds of a wrong length.
    clashes
        Pairs of atoms, more than three bonds apart, that overlap by more than 0.06 nm. Pairs that
        may share a hydrogen bond are left out.
    mirrored
        Chiral centres with another hand than in the training trajectory.
    of_beads
        Those of `bonds` and `mirrored` whose atoms are all beads: the frames had them before.
    """

    bonds: Int[np.ndarray, " frames"]
    clashes: Int[np.ndarray, " frames"]
    mirrored: Int[np.ndarray, " frames"]
    of_beads: tuple[Int[np.ndarray, " frames"], Int[np.ndarray, " frames"]]

    @property
    def sound(self) -> Bool[np.ndarray, " frames"]:
        """Whether all bonds have their length and all centres their hand."""
        return (self.bonds == 0) & (self.mirrored == 0)


class Yardstick:
    """Bonds, chirality and smallest distances of a molecule, from frames of all its atoms.

    Parameters
    ----------
    system
        Whose beads are the atoms.
    frames
        Of the training trajectory, nm.
    beads
        Atoms that are beads.

    Attributes
    ----------
    lengths
        Mean length of each bond, nm.
    contacts
        Distance below which two atoms clash, nm; 0 for pairs that are not judged.
    centres
        Chiral centres of heavy atoms, and the sign of each.
    """

    def __init__(
        self,
        system: System,
        frames: Float[np.ndarray, "frames atoms 3"],
        beads: Iterable[int] = (),
    ):
        self._are_beads = np.isin(np.arange(system.n_beads), list(beads))
        self._bonds = np.array(system.bonds, int).reshape(-1, 2)
        lengths = self._of_bonds(frames)
        self.lengths = lengths.mean(axis=0)
        self._allowed = np.maximum(_SPREADS * lengths.std(axis=0), _LEAST)
        self.contacts = _contacts(system)
        self.centres = chiral_centres(_without_hydrogens(system), frames)
        self._pairs = np.argwhere(np.triu(self.contacts) > 0)

    def __call__(self, frames: Float[np.ndarray, "frames atoms 3"]) -> Quality:
        """Judge finite frames."""
        size = max(1, _NUMBERS_AT_ONCE // (3 * max(1, len(self._pairs))))
        parts = [frames[start : start + size] for start in range(0, len(frames), size)]
        clashes = np.concatenate([np.empty(0, int), *(self._clashes(part) for part in parts)])
        broken = abs(self._of_bonds(frames) - self.lengths) > self._allowed
        mirrored = np.stack(
            [triple_product(frames, centre) * sign <= 0 for centre, sign in self.centres.items()]
            or [np.zeros(len(frames), bool)],
            axis=1,
        )
        centres = np.array(list(self.centres) or [(0,) * 4])
        own = (
            broken[:, self._are_beads[self._bonds].all(axis=1)].sum(axis=1),
            mirrored[:, self._are_beads[centres].all(axis=1)].sum(axis=1),
        )
        return Quality(broken.sum(axis=1), clashes, mirrored.sum(axis=1), own)

    def _of_bonds(self, frames: np.ndarray) -> np.ndarray:
        i, j = self._bonds.T
        return np.linalg.norm(frames[:, i] - frames[:, j], axis=-1)

    def _clashes(self, frames: np.ndarray) -> np.ndarray:
        i, j = self._pairs.T
        apart = np.linalg.norm(frames[:, i] - frames[:, j], axis=-1)
        return (apart < self.contacts[i, j]).sum(axis=1)


def _without_hydrogens(system: System) -> System:
    """The same atoms, without bonds to hydrogens, whose order at a centre means nothing."""
    heavy = [bead.element != "H" for bead in system.beads]
    return system.model_copy(
        update={"bonds": tuple((i, j) for i, j in system.bonds if heavy[i] and heavy[j])}
    )


def _contacts(system: System) -> Float[np.ndarray, "atoms atoms"]:
    atoms = list(topology_of(system).atoms)
    radii = np.array([atom.element.radius or 0.0 for atom in atoms])
    limits = np.maximum(radii[:, None] + radii[None] - _OVERLAP, 0.0)
    symbols = [bead.element for bead in system.beads]
    hydrogen = np.array([symbol == "H" for symbol in symbols])
    polar = np.array([symbol in _POLAR for symbol in symbols])
    bridge = np.outer(hydrogen, polar)
    limits[bridge | bridge.T | _near(system)] = 0.0
    return limits


def _near(system: System) -> Bool[np.ndarray, "atoms atoms"]:
    """Pairs of atoms that few bonds join."""
    bonded = np.eye(system.n_beads, dtype=bool)
    for i, j in system.bonds:
        bonded[i, j] = bonded[j, i] = True
    near = bonded
    for _ in range(_APART - 2):
        near = near @ bonded
    return near
