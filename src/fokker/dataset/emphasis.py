"""Rare frames more often, each for less: importance sampling of training frames.

Score matching and classification are means over frames. Where the plane of the collective variables
holds three frames in a thousand, a step sees less than one of them, and the free energy there is
what noise and a smooth network make of it. Frames drawn with probability `p_i ~ rho_i^-gamma`, with
`rho` the density of frames in that plane, and losses weighted by `1 / (N p_i)`, have the same mean
and less variance where frames are few.

Frames of a biased simulation have weights `w_i`, and means over frames are weighted by them. Then
`rho` is the weighted density, `p_i ~ w_i rho_i^-gamma`, and losses count `w_i / p_i`: without an
exponent frames are drawn by their weights and count alike.
"""

from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..metrics import compute
from ..system import System
from .pool import Emphasis, edges_of

BINS = 24
"""Per axis of the plane; coarse enough that the few frames of a rare state share bins."""

MOST = 20.0
"""Largest factor by which a frame is drawn more often than on average."""


def emphasis(
    molecules: Iterable[tuple[System, Float[np.ndarray, "_frames _beads dim"]]],
    shares: Sequence[float],
    exponent: float,
    weights: Float[np.ndarray, " frames"] | None = None,
) -> Emphasis | None:
    """Probability of each frame by how rare it is among those of its molecule.

    Parameters
    ----------
    molecules
        The first two collective variables of each span its plane; training frames in user units.
        Not looked at without an exponent.
    shares
        How often each molecule is drawn, in any unit; this stays as it is.
    exponent
        `gamma`, from 0, all alike, to 1, a flat density in the plane.
    weights
        Of the frames of one molecule, above zero; by default all count alike.

    Returns
    -------
    Emphasis or None
        None if all frames of a molecule are to be drawn alike.
    """
    if not exponent:
        return None if weights is None else emphasised(weights, [len(weights)], weights)
    factors = [_factors(*molecule, exponent, weights) for molecule in molecules]
    counts = [len(f) for f in factors]
    p = np.concatenate([s / n * f for s, n, f in zip(shares, counts, factors, strict=True)])
    return emphasised(p if weights is None else p * weights, counts, weights)


def emphasised(
    probability: Float[np.ndarray, " frames"],
    counts: Sequence[int],
    weights: Float[np.ndarray, " frames"] | None = None,
) -> Emphasis:
    """Frames drawn by their probability, each weighted for the whole number that it is rounded to.

    Parameters
    ----------
    probability
        Of each frame, in any unit, molecule after molecule.
    counts
        Frames of each molecule.
    weights
        What frames count for, in any unit; by default alike.
    """
    edges = edges_of(probability)
    drawn = np.diff(edges).astype(np.float64)
    wanted = np.ones(len(drawn)) if weights is None else weights
    starts = np.cumsum(counts, dtype=np.int64) - counts
    alike = np.add.reduceat(drawn, starts) / np.add.reduceat(wanted, starts)
    weight = np.repeat(alike, counts) * wanted / drawn
    return Emphasis(jnp.asarray(edges), jnp.asarray(weight, jnp.float32))


def _factors(
    system: System,
    frames: Float[np.ndarray, "frames beads dim"],
    exponent: float,
    weights: Float[np.ndarray, " frames"] | None,
) -> Float[np.ndarray, " frames"]:
    """How much more often than on average each frame of a molecule is drawn; their mean is one."""
    axes = system.collective_variables[:2]
    if not axes:
        return np.ones(len(frames))
    plane = np.column_stack([compute(axis, frames) for axis in axes])
    factors = _density(plane, weights) ** -exponent
    factors = np.minimum(factors / np.average(factors, weights=weights), MOST)
    return factors / np.average(factors, weights=weights)


def _density(
    plane: Float[np.ndarray, "frames axes"], weights: Float[np.ndarray, " frames"] | None
) -> Float[np.ndarray, " frames"]:
    """Frames in the bin of each frame and in those beside it."""
    low, high = plane.min(axis=0), plane.max(axis=0)
    place = (plane - low) / np.maximum(high - low, 1e-12) * BINS
    bins = np.clip(place.astype(int), 0, BINS - 1)
    counts = np.zeros((BINS,) * plane.shape[1])
    np.add.at(counts, tuple(bins.T), 1.0 if weights is None else weights)
    for axis in range(counts.ndim):
        padded = np.pad(counts, [(int(a == axis),) * 2 for a in range(counts.ndim)])
        shifted = [np.take(padded, np.arange(k, k + BINS), axis=axis) for k in range(3)]
        counts = np.mean(shifted, axis=0)
    return counts[tuple(bins.T)]
