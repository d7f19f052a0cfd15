"""Frames that do not count alike: how many they are worth, and as many that do."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def evenly(weights: Float[np.ndarray, " frames"]) -> Int[np.ndarray, " frames"]:
    """As many frames, in their order, drawn in proportion to their weights; some are repeated."""
    cumulative = np.cumsum(weights / weights.sum())
    position = (np.arange(len(weights)) + 0.5) / len(weights)
    return np.searchsorted(cumulative / cumulative[-1], position)


def effective_number(weights: Float[np.ndarray, " frames"]) -> float:
    """Number of frames, all alike, whose mean scatters as the weighted mean does.

    `(sum w)^2 / sum w^2` (Kish, Survey Sampling, 1965), from 1 to the number of frames.
    """
    w = weights.astype(np.float64) / weights.max()
    return float(w.sum() ** 2 / np.sum(w**2))


def scatter_of(rows: Int[np.ndarray, " frames"]) -> float:
    """Effective number of frames that were drawn `evenly`, by how often each of them was.

    It is that of their weights, or a little less: whole numbers are not quite in proportion.
    """
    return effective_number(np.bincount(rows).astype(np.float64))
