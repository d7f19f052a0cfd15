"""Frames of all atoms, looked through for those whose beads lie like given ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ..errors import FokkerError
from ..metrics import lost_frames
from ..variables import neighbours_of
from .atoms import Atoms

MOST_FRAMES = 20_000
"""Frames that are looked through, evenly spread over the trajectory."""

_RING_WEIGHT = 0.2
"""Weight of a bead of a neighbouring residue; squared for its neighbour, and so on."""

_FEWEST_BEADS = 4
"""Beads that tell the two mirror images of a place apart."""


@dataclass(frozen=True)
class Fragment:
    """The atoms of one residue, and the beads that say where they are.

    Attributes
    ----------
    atoms
        Of the residue, ascending.
    beads
        Of the residue and of those around it.
    weights
        Of these beads: 1 in the residue, less around it.
    """

    atoms: Int[np.ndarray, " atoms"]
    beads: Int[np.ndarray, " beads"]
    weights: Float[np.ndarray, " beads"]

    def features(
        self, beads: Float[np.ndarray, "frames all 3"], length: float
    ) -> Float[np.ndarray, "frames features"]:
        """Numbers that are the same however a frame is turned, but not if it is mirrored.

        Weighted distances of all pairs of the beads, and the volumes that four beads in a row span,
        divided by `length` squared. All are in nm.
        """
        x = beads[:, self.beads].astype(np.float32)
        i, j = np.triu_indices(len(self.beads), 1)
        pair = np.sqrt(np.sqrt(self.weights[i] * self.weights[j]))
        distances = np.linalg.norm(x[:, i] - x[:, j], axis=-1) * pair
        steps = np.diff(x, axis=1)
        volumes = np.sum(np.cross(steps[:, :-2], steps[:, 1:-1]) * steps[:, 2:], axis=-1)
        four = np.stack([self.weights[k : len(self.weights) - 3 + k] for k in range(4)])
        volumes = volumes * np.sqrt(four.mean(axis=0)) / length**2
        return np.concatenate([distances, volumes], axis=1, dtype=np.float32)


class Library:
    """All-atom frames and the features of their fragments.

    Parameters
    ----------
    atoms
        The atoms and their beads.
    frames
        Whole frames of all atoms, nm.

    Raises
    ------
    FokkerError
        If no frame holds a structure.
    """

    def __init__(self, atoms: Atoms, frames: Float[np.ndarray, "frames atoms 3"]):
        frames = frames[~lost_frames(frames)]
        if not len(frames):
            raise FokkerError(
                "trajectory: no frame of all atoms holds a structure; give another with "
                "--trajectory."
            )
        if len(frames) > MOST_FRAMES:
            rows = np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int)
            frames = frames[rows]
        self.atoms = atoms
        self.frames = frames
        self.beads = atoms.beads(frames).astype(np.float32)
        self.fragments = fragments(atoms)
        self.length = _step(self.beads)
        self._features = [f.features(self.beads, self.length) for f in self.fragments]

    def nearest(
        self, fragment: int, beads: Float[np.ndarray, "frames beads 3"], n: int
    ) -> Int[np.ndarray, "frames n"]:
        """Numbers of the frames in which the beads around a fragment lie most like given ones."""
        wanted = self.fragments[fragment].features(beads, self.length)
        known = self._features[fragment]
        squares = np.sum(known**2, axis=1) - 2.0 * wanted @ known.T
        n = min(n, len(known))
        return np.argpartition(squares, n - 1, axis=1)[:, :n]


def _step(beads: Float[np.ndarray, "frames beads 3"]) -> float:
    """Root mean square distance of a bead and the next one, nm."""
    if beads.shape[1] < 2:
        return 1.0
    return float(np.sqrt(np.mean(np.sum(np.diff(beads, axis=1) ** 2, axis=-1)))) or 1.0


def fragments(atoms: Atoms) -> tuple[Fragment, ...]:
    """One fragment a residue, with the beads around it.

    The residues bonded to it are taken in, then those bonded to them, until there are four beads.
    """
    places = [atom.place for atom in atoms.system.beads]
    residues = list(dict.fromkeys(places))
    residue = np.array([residues.index(place) for place in places])
    joined = {(int(residue[i]), int(residue[j])) for i, j in atoms.system.bonds}
    neighbours = neighbours_of(len(residues), [pair for pair in joined if pair[0] != pair[1]])
    home = np.array([residue[group[0]] for group in atoms.groups])
    return tuple(_fragment(number, residue, home, neighbours) for number in range(len(residues)))


def _fragment(
    number: int,
    residue: Int[np.ndarray, " atoms"],
    home: Int[np.ndarray, " beads"],
    neighbours: tuple[tuple[int, ...], ...],
) -> Fragment:
    weight = np.zeros(len(neighbours))
    weight[number] = 1.0
    edge, ring = {number}, 1
    while edge and (ring == 1 or np.count_nonzero(weight[home]) < _FEWEST_BEADS):
        edge = {j for i in edge for j in neighbours[i] if not weight[j]}
        weight[list(edge)] = _RING_WEIGHT**ring
        ring += 1
    if np.count_nonzero(weight[home]) < min(_FEWEST_BEADS, len(home)):
        weight[weight == 0] = _RING_WEIGHT**ring  # other molecules are all that is left
    beads = np.flatnonzero(weight[home])
    return Fragment(np.flatnonzero(residue == number), beads, weight[home][beads])
