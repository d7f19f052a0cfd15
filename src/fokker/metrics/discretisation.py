"""Common states of data and simulation: k-means in the space of the data's slowest components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ..errors import FokkerError
from ..system import System
from ..variables.tica import slow_features
from .geometry import lost_frames
from .markov import typical_length

COMPONENTS = 4
"""Slow components that span the space of the states, if there are as many features."""

MOST_STATES = 50
"""More than these gain little."""

_FRAMES_PER_STATE = 100
_FITTED = 20_000
"""Frames that the components and k-means are fitted to, evenly spread."""

_COMMON = 0.999
"""Share of the data's frames within the radius of the states."""


@dataclass(frozen=True)
class States:
    """Cells around centres in the space of slow components, scaled by their eigenvalues.

    Attributes
    ----------
    mean, weights
        Of the projection of features: `(features - mean) @ weights`.
    centres
        Shape (states, components).
    radius
        Distance to the nearest centre that hardly any frame of the data exceeds.
    """

    mean: Float[np.ndarray, " features"]
    weights: Float[np.ndarray, "features components"]
    centres: Float[np.ndarray, "states components"]
    radius: float

    @staticmethod
    def of(pieces: Sequence[Float[np.ndarray, "_frames features"]], seed: int = 0) -> States:
        """States of the data.

        The lag of the components is a hundredth of the typical length of a piece, the number of
        states a hundredth of that of frames, both within bounds.

        Parameters
        ----------
        pieces
            Features in real time order.
        seed
            Of k-means.

        Raises
        ------
        FokkerError
            If `deeptime` is missing.
        """
        try:
            from deeptime.clustering import KMeans
            from deeptime.decomposition import TICA
        except ImportError as error:
            raise FokkerError(
                "kinetics needs the package deeptime; install it with: pip install 'fokker[tica]'."
            ) from error
        lag = max(1, typical_length([len(piece) for piece in pieces]) // 100)
        long = [piece for piece in pieces if len(piece) > lag]
        every = -(-sum(map(len, pieces)) // _FITTED)
        pairs = [
            np.concatenate([piece[start : len(piece) + end : every] for piece in long])
            for start, end in ((0, -lag), (lag, 0))
        ]
        dim = min(COMPONENTS, pieces[0].shape[1])
        estimator = TICA(lagtime=lag, dim=dim, scaling=None)
        model = estimator.fit(tuple(pair.astype(np.float64) for pair in pairs)).fetch_model()
        found = np.real(model.singular_vectors_left[:, :dim])
        weights = found * np.abs(np.asarray(model.singular_values[: found.shape[1]]))
        mean = np.asarray(model.mean_0)
        points = np.concatenate([(piece - mean) @ weights for piece in pieces])
        n = int(np.clip(len(points) // _FRAMES_PER_STATE, 2, MOST_STATES))
        few = points[:: -(-len(points) // _FITTED)]
        n = min(n, len(np.unique(few, axis=0)))
        fixed: Any = seed + 1  # a seed, or True
        means: Any = KMeans(n, max_iter=200, fixed_seed=fixed).fit(few).fetch_model()
        centres = np.asarray(means.cluster_centers)
        radius = float(np.quantile(_nearest(points, centres)[1], _COMMON))
        return States(mean, weights, centres, radius)

    def assign(
        self, frames: Float[np.ndarray, "frames features"]
    ) -> tuple[Int[np.ndarray, " frames"], Bool[np.ndarray, " frames"]]:
        """Nearest state of each frame, and whether the frame is where the data hardly ever are."""
        points = (frames.astype(np.float64) - self.mean) @ self.weights
        state, distance = _nearest(points, self.centres)
        return state, distance > self.radius


def kinetic_features(
    system: System, frames: Float[np.ndarray, "frames beads dim"]
) -> Float[np.ndarray, "frames features"]:
    """What the slow components are sought in.

    Distances of pairs of beads, and cosines and sines of dihedrals along the bonds; positions where
    the place of the system matters. NaN in frames that hold no structure.
    """
    if not system.centred:
        found = np.array(frames.reshape(len(frames), -1), np.float32)
    else:
        found = slow_features(frames, system.neighbours, system.n_beads).astype(np.float32)
    found[lost_frames(frames)] = np.nan
    return found


def whole_pieces(
    pieces: Sequence[Float[np.ndarray, "_frames features"]],
) -> list[Float[np.ndarray, "_frames features"]]:
    """Pieces without the frames that failed: one that has any is cut there."""
    kept = []
    for piece in pieces:
        good = np.isfinite(piece).all(axis=1)
        edges = np.flatnonzero(np.diff(good)) + 1
        parts = zip(np.split(piece, edges), np.split(good, edges), strict=True)
        kept += [part for part, sound in parts if len(part) and sound[0]]
    return kept


def _nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.spatial import KDTree

    distance, state = KDTree(centres).query(points)
    return np.asarray(state, np.int64), np.asarray(distance)
