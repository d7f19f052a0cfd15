"""Wasserstein-1 distance of two samples on the line or on a circle."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def wasserstein_1d(
    a: Float[np.ndarray, " frames_a"],
    b: Float[np.ndarray, " frames_b"],
    period: float | None = None,
) -> float:
    """Exact Wasserstein-1 distance of two samples, which may differ in size.

    On the line it is the area between the two cumulative distributions; on a circle the smallest
    area after one of them is shifted by a constant (arXiv 2310.06002), so that mass near -pi and
    mass near pi are close.

    Parameters
    ----------
    a, b
        Samples, shapes (frames_a,) and (frames_b,).
    period
        Circumference of the circle; None for the line.

    Returns
    -------
    float
        Distance in the unit of the samples; infinite if any value is not finite (a diverged
        frame is infinitely far away, it is not left out).
    """
    both = np.concatenate([a, b]).astype(np.float64)
    if not np.isfinite(both).all():
        return float("inf")
    if period is not None:
        both = np.mod(both, period)
    order = np.argsort(both)
    step = np.where(order < len(a), 1.0 / len(a), -1.0 / len(b))
    return area(np.cumsum(step), both[order], period)


def area(
    difference: Float[np.ndarray, " points"],
    points: Float[np.ndarray, " points"],
    period: float | None,
) -> float:
    """Area between two cumulative distributions, given their difference after each sorted point."""
    # Sums, not dot products: the threads of a BLAS cost far more than they gain at this size.
    gaps = np.diff(points)
    if period is None:
        return float(np.sum(np.abs(difference[:-1]) * gaps))
    gaps = np.append(gaps, points[0] + period - points[-1])
    return float(np.sum(np.abs(difference - _weighted_median(difference, gaps)) * gaps))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(cumulative, 0.5 * cumulative[-1])]])
