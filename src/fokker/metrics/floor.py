"""Floors: the metric that a perfect model would get at the given numbers of frames.

Two finite samples of one distribution differ. The floor is the expected metric of two independent
samples of the pooled frames, one as large as the training set, one as large as the evaluated set.
A metric says something about a model only as far as it exceeds its floor.

The floor is itself a little low, for two reasons: rare bins that the pool has not visited are empty
in every draw, and frames are drawn independently of each other although those of a trajectory are
correlated. For alanine dipeptide (72,380 pooled frames) a perfect model is expected at a ratio of
1.08 at 20,000 evaluated frames and of 1.15 at 120,000, with a standard deviation of 0.03 from one
set of training frames to another (`benchmarks/accuracy/perfect.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .divergence import jensen_shannon, pmf_error
from .wasserstein import area


class Floor(NamedTuple):
    """Mean of a metric over the draws, and its standard deviation from draw to draw."""

    mean: float
    std: float


def js_floor(
    counts: Int[np.ndarray, " bins"],
    n_training: int,
    n_evaluated: int,
    draws: int = 64,
    seed: int = 0,
) -> Floor:
    """Jensen-Shannon divergence of two independent samples of one histogram.

    Parameters
    ----------
    counts
        Histogram of the pooled training and reference frames, shape (bins,).
    n_training, n_evaluated
        Sizes of the two samples, in frames.
    draws
        Number of pairs of samples.
    seed
        Of the random draws.
    """
    return histogram_floor(jensen_shannon, counts, n_training, n_evaluated, draws, seed)


def pmf_floor(
    counts: Int[np.ndarray, " bins"],
    n_training: int,
    n_evaluated: int,
    draws: int = 64,
    seed: int = 0,
) -> Floor:
    """PMF error of two independent samples of one histogram; arguments as in `js_floor`."""
    return histogram_floor(pmf_error, counts, n_training, n_evaluated, draws, seed)


def wasserstein_floor(
    pool: Float[np.ndarray, " frames"],
    n_training: int,
    n_evaluated: int,
    period: float | None = None,
    draws: int = 8,
    seed: int = 0,
) -> Floor:
    """Wasserstein-1 distance of two independent samples, drawn with replacement from the pool.

    Parameters
    ----------
    pool
        Values of the pooled training and reference frames, shape (frames,); values that are not
        finite are not drawn.
    n_training, n_evaluated
        Sizes of the two samples, in frames.
    period
        As in `wasserstein_1d`.
    draws
        Number of pairs of samples.
    seed
        Of the random draws.
    """
    finite = pool[np.isfinite(pool)].astype(np.float64)
    points = np.sort(finite if period is None else np.mod(finite, period))
    rng = np.random.default_rng(seed)

    def distribution(n: int) -> np.ndarray:
        drawn = np.bincount(rng.integers(len(points), size=n), minlength=len(points))
        return np.cumsum(drawn) / n

    distances = [
        area(distribution(n_training) - distribution(n_evaluated), points, period)
        for _ in range(draws)
    ]
    return Floor(float(np.mean(distances)), float(np.std(distances)))


def histogram_floor(
    metric: Callable[[np.ndarray, np.ndarray], np.ndarray],
    counts: Int[np.ndarray, " bins"],
    n_training: int,
    n_evaluated: int,
    draws: int = 64,
    seed: int = 0,
) -> Floor:
    """Any distance of two histograms, of two independent samples of one histogram.

    Parameters
    ----------
    metric
        Distance of two arrays of counts, each of shape (draws, bins), of shape (draws,).
    counts, n_training, n_evaluated, draws, seed
        As in `js_floor`.
    """
    # Empty bins stay empty in every draw: leaving them out changes nothing but the cost.
    occupied = counts[counts > 0]
    probability = occupied / occupied.sum()
    rng = np.random.default_rng(seed)
    values = metric(
        rng.multinomial(n_training, probability, size=draws),
        rng.multinomial(n_evaluated, probability, size=draws),
    )
    return Floor(float(np.mean(values)), float(np.std(values)))
