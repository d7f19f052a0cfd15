"""Time-lagged independent components: the slowest linear combinations of internal coordinates.

The projection is fitted once, on the training frames, and stored as weights; evaluating it needs
neither the data nor `deeptime`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from ..errors import FokkerError
from .base import KINDS, AbstractChoice, AbstractKind, CollectiveVariable, Context, finished
from .geometry import dihedral, distance

_MOST_FEATURES = 400
"""Pairs beyond this number are thinned out evenly: their covariance would cost too much."""


class DistanceProjection(AbstractKind):
    """`sum_k w_k r_k - offset`: pairs of beads as indices, the offset and the weights as values."""

    def compute(
        self, frames: np.ndarray, indices: tuple[int, ...], values: tuple[float, ...]
    ) -> np.ndarray:
        """Projection of the distances."""
        total = np.full(len(frames), -values[0])
        for i, j, weight in zip(indices[::2], indices[1::2], values[1:], strict=True):
            total += weight * distance(frames, (i, j))
        return total

    def fault(self, n_indices: int, n_values: int) -> str | None:
        """One weight a pair and the offset."""
        if n_values >= 2 and n_indices == 2 * (n_values - 1):
            return None
        return f"a projection of distances takes 1 weight a pair, got {n_values} values"

    def unit(self, length_unit: str) -> str:
        """Unit variance in the training frames."""
        return ""


class DihedralProjection(AbstractKind):
    """`sum_k (u_k cos a_k + v_k sin a_k) - offset`: the offset and u_1, v_1, u_2, ... as values."""

    spatial = True

    def compute(
        self, frames: np.ndarray, indices: tuple[int, ...], values: tuple[float, ...]
    ) -> np.ndarray:
        """Projection of cosines and sines of the dihedrals."""
        total = np.full(len(frames), -values[0])
        quads = zip(*(indices[k::4] for k in range(4)), strict=True)
        for quad, u, v in zip(quads, values[1::2], values[2::2], strict=True):
            a = dihedral(frames, quad)
            total += u * np.cos(a) + v * np.sin(a)
        return total

    def fault(self, n_indices: int, n_values: int) -> str | None:
        """Two weights a dihedral and the offset."""
        if n_values >= 3 and n_indices == 2 * (n_values - 1) and n_indices % 4 == 0:
            return None
        return f"a projection of dihedrals takes 2 weights each, got {n_values} values"

    def unit(self, length_unit: str) -> str:
        """Unit variance in the training frames."""
        return ""


KINDS["tica-distances"] = DistanceProjection()
KINDS["tica-dihedrals"] = DihedralProjection()


class TICAChoice(AbstractChoice):
    """Slow components, fitted on the training frames in the order of time."""

    kind: Literal["tica"] = "tica"
    features: Literal["dihedrals", "distances"] = Field(
        default="distances", description="distances of all pairs, or dihedrals along the bonds"
    )
    lag: int = Field(default=10, ge=1, description="frames")
    components: int = Field(default=2, ge=1, le=10)

    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Fit the projection."""
        kind = f"tica-{self.features}"
        groups = {"distances": _pairs, "dihedrals": _quads}[self.features](context)
        feature = {"distances": _distances, "dihedrals": _cosines_and_sines}[self.features]
        pieces = [feature(x, groups) for x in context.segments if len(x) > self.lag]
        if not groups or not pieces:
            raise FokkerError(
                f"tica: no {self.features} to fit, or no piece of the training trajectory is "
                f"longer than the lag of {self.lag} frames; choose other features or a shorter lag."
            )
        weights, offsets = _fit(pieces, self.lag, self.components)
        return _components(context, kind, groups, weights, offsets)


def tica_of_dihedrals(
    context: Context,
    quads: Sequence[tuple[int, ...]],
    pieces: Sequence[Float[np.ndarray, "_frames beads 3"]],
    lag: int,
    components: int = 2,
) -> tuple[CollectiveVariable, ...]:
    """Slow components of given dihedrals, as `TICAChoice` has them of all.

    Parameters
    ----------
    context
        Of the molecule, for the limits of the variables.
    quads
        Four beads of each dihedral.
    pieces
        Frames to fit, without gaps in time; those that are no longer than the lag have no say.
    lag
        In frames.
    components
        At most so many.

    Raises
    ------
    FokkerError
        If deeptime is not installed.
    """
    features = [_cosines_and_sines(x, list(quads)) for x in pieces if len(x) > lag]
    weights, offsets = _fit(features, lag, components)
    return _components(context, "tica-dihedrals", quads, weights, offsets)


def _components(
    context: Context,
    kind: str,
    groups: Sequence[tuple[int, ...]],
    weights: np.ndarray,
    offsets: np.ndarray,
) -> tuple[CollectiveVariable, ...]:
    indices = tuple(i for group in groups for i in group)
    return tuple(
        finished(context, f"TICA {k + 1}", kind, indices, (offset, *column))
        for k, (column, offset) in enumerate(zip(weights.T.tolist(), offsets.tolist(), strict=True))
    )


def _fit(pieces: list[np.ndarray], lag: int, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights, shape (features, components), and offsets, shape (components,)."""
    try:
        from deeptime.decomposition import TICA
    except ImportError as error:
        raise FokkerError(
            "tica needs the package deeptime; install it with: pip install 'fokker[tica]'."
        ) from error
    estimator = TICA(lagtime=lag, dim=components, scaling=None)
    model = estimator.fit(pieces, lagtime=lag).fetch_model()
    weights = np.real(model.singular_vectors_left[:, :components])
    # An eigenvector has no sign of its own; the largest weight is made positive.
    largest = np.abs(weights).argmax(axis=0)
    weights = weights * np.sign(weights[largest, np.arange(weights.shape[1])])
    return weights, np.asarray(model.mean_0) @ weights


def slow_features(
    frames: np.ndarray, neighbours: Sequence[Sequence[int]], n_beads: int
) -> np.ndarray:
    """Internal coordinates: distances of pairs, cosines and sines of dihedrals, side by side.

    Shape (frames, features); both are thinned out evenly where there are very many.
    """
    found = [_distances(frames, _pairs_of(n_beads))]
    if quads := _quads_of(neighbours):
        found.append(_cosines_and_sines(frames, quads))
    return np.concatenate(found, axis=1)


def _distances(frames: np.ndarray, pairs: list[tuple[int, ...]]) -> np.ndarray:
    return np.stack([distance(frames, (i, j)) for i, j in pairs], axis=1)


def _cosines_and_sines(frames: np.ndarray, quads: list[tuple[int, ...]]) -> np.ndarray:
    angles = [dihedral(frames, (i, j, k, m)) for i, j, k, m in quads]
    return np.stack([f(a) for a in angles for f in (np.cos, np.sin)], axis=1)


def _pairs(context: Context) -> list[tuple[int, ...]]:
    return _pairs_of(len(context.labels))


def _pairs_of(n: int) -> list[tuple[int, ...]]:
    return _thinned([(i, j) for i in range(n) for j in range(i + 1, n)], _MOST_FEATURES)


def _quads(context: Context) -> list[tuple[int, ...]]:
    return _quads_of(context.neighbours)


def _quads_of(near: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """One dihedral about every bond between two beads that have other neighbours."""
    found = []
    for j in range(len(near)):
        for k in (k for k in near[j] if k > j):
            i = next((i for i in near[j] if i != k), None)
            m = next((m for m in near[k] if m not in (i, j)), None)
            if i is not None and m is not None:
                found.append((i, j, k, m))
    return _thinned(found, _MOST_FEATURES // 2)


def _thinned(groups: list[tuple[int, ...]], most: int) -> list[tuple[int, ...]]:
    return groups[:: -(-len(groups) // most)] if groups else []
