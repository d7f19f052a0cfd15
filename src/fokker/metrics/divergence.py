r"""Distances between two histograms: Jensen-Shannon divergence and free-energy (PMF) error.

Both follow the definitions of arXiv 2506.17139, with two additions. Its edges of the Jensen-Shannon
histogram depend on both sets (`joint_edges`); those of `data_edges` do not. And frames that failed
are never dropped but fill one bin of their own, the last. A frame that fails can then never lower
the Jensen-Shannon divergence from training data without failures: `d JS / d q_k = 1/2 log(q_k /
m_k)` is nowhere larger than in a bin that p leaves empty. The PMF error has no such bound: it also
depends on how many bins the misplaced frames are spread over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from ..system import CollectiveVariable

PMF_INNER_BINS = 62
"""Bins per axis of the PMF error between the limits; one outlier bin is added at each end."""

PMF_EMPTY = 1e-6
"""Probability given to a bin that only one of the two sets occupies."""

OUTLYING = 0.0005
"""Share of the data beyond each end of the inner bins of `data_edges`."""


def joint_edges(
    a: Float[np.ndarray, "frames_a variables"],
    b: Float[np.ndarray, "frames_b variables"],
    bins: int,
) -> list[Float[np.ndarray, " edges"]]:
    """Bin edges of the Jensen-Shannon histogram: `bins` equal bins over the range of both sets.

    Rows that are not finite have no say in the range, and the caller leaves failed frames out.
    Still a few outliers of a variable stretch the range until all other frames share a bin, which
    hides every error: a model is judged on `data_edges`.
    """
    edges = []
    for column in range(a.shape[1]):
        both = np.concatenate([a[:, column], b[:, column]])
        both = both[np.isfinite(both)]
        low, high = (float(both.min()), float(both.max())) if both.size else (0.0, 1.0)
        edges.append(np.linspace(low, high if high > low else low + 1.0, bins + 1))
    return edges


def data_edges(
    data: Float[np.ndarray, "frames variables"],
    variables: Sequence[CollectiveVariable],
    bins: int,
) -> list[Float[np.ndarray, " _"]]:
    """Bin edges that the evaluated frames have no say in.

    A periodic variable has `bins` equal bins over its period. Any other has them over the data but
    for the outermost 0.05 per cent at each end, which a few outliers cannot move, and one bin
    beyond each end, up to infinity.

    Parameters
    ----------
    data
        Values of the training and reference frames, shape (frames, variables); rows that are not
        finite have no say.
    variables
        Of the columns.
    bins
        Bins per variable, without the two outer ones.
    """
    edges = []
    for column, variable in zip(data.T, variables, strict=True):
        if variable.periodic:
            edges.append(np.linspace(*variable.limits, bins + 1))
            continue
        finite = column[np.isfinite(column)]
        low, high = np.quantile(finite, [OUTLYING, 1 - OUTLYING]) if finite.size else (0.0, 1.0)
        inner = np.linspace(low, high if high > low else low + 1.0, bins + 1)
        edges.append(np.concatenate([[-np.inf], inner, [np.inf]]))
    return edges


def joint_bins(
    values: Float[np.ndarray, "frames variables"],
    edges: Sequence[Float[np.ndarray, " _"]],
    failed: Bool[np.ndarray, " frames"],
) -> Int[np.ndarray, " frames"]:
    """Bin of each frame between the edges; failed or non-finite frames get the last index.

    Bins are half-open, the last one closed; values beyond the edges belong to the outer bins.
    """
    columns = [
        np.clip(np.searchsorted(edge, column, side="right") - 1, 0, len(edge) - 2)
        for edge, column in zip(edges, values.T, strict=True)
    ]
    return _flatten(columns, [len(edge) - 1 for edge in edges], values, failed)


def pmf_bins(
    values: Float[np.ndarray, "frames variables"],
    limits: Sequence[tuple[float, float]],
    failed: Bool[np.ndarray, " frames"],
) -> Int[np.ndarray, " frames"]:
    """Bin of each frame for the PMF error; failed or non-finite frames get the last index.

    62 bins per axis between the limits and one outlier bin at each end, arXiv 2506.17139.
    """
    columns = [
        np.searchsorted(np.linspace(low, high, PMF_INNER_BINS + 1), column, side="right")
        for (low, high), column in zip(limits, values.T, strict=True)
    ]
    return _flatten(columns, [PMF_INNER_BINS + 2] * len(columns), values, failed)


def joint_size(edges: Sequence[Float[np.ndarray, " _"]]) -> int:
    """Number of bins of the Jensen-Shannon histogram, the failed bin included."""
    return int(np.prod([len(edge) - 1 for edge in edges])) + 1


def pmf_size(variables: int) -> int:
    """Number of bins of the PMF histogram, outlier bins and the failed bin included."""
    return (PMF_INNER_BINS + 2) ** variables + 1


def jensen_shannon(
    p: Real[np.ndarray, "*draws bins"], q: Real[np.ndarray, "*draws bins"]
) -> Float[np.ndarray, "*draws"]:
    """Jensen-Shannon divergence (the squared distance), natural logarithm, in [0, ln 2].

    Parameters
    ----------
    p, q
        Counts or probabilities, shape (..., bins); each is normalised.

    Returns
    -------
    array of shape (...)
        `1/2 KL(p | m) + 1/2 KL(q | m)` with `m = (p + q) / 2`.
    """
    p, q = _normalise(p), _normalise(q)
    m = 0.5 * (p + q)
    divergence = 0.5 * (_relative_entropy(p, m) + _relative_entropy(q, m))
    return np.asarray(np.clip(divergence, 0.0, np.log(2.0)))


def pmf_error(
    p: Real[np.ndarray, "*draws bins"], q: Real[np.ndarray, "*draws bins"]
) -> Float[np.ndarray, "*draws"]:
    """Mean squared free-energy difference in units of (kT)^2, arXiv 2506.17139.

    The sum over occupied bins of `w (log p - log q)^2`, `w` proportional to `(p + q) / 2`. A bin
    that one set leaves empty has probability 1e-6 there, in the logarithm and in the weight; the
    weights, which sum to one without this filling, are divided by their sum. Bins that both sets
    leave empty do not count.

    Parameters
    ----------
    p, q
        Counts or probabilities, shape (..., bins); each is normalised.

    Returns
    -------
    array of shape (...)
        Zero for equal histograms.
    """
    p, q = _normalise(p), _normalise(q)
    occupied = (p > 0) | (q > 0)
    filled_p = np.where(p > 0, p, PMF_EMPTY)
    filled_q = np.where(q > 0, q, PMF_EMPTY)
    weight = np.where(occupied, filled_p + filled_q, 0.0)
    squared = np.log(filled_p / filled_q) ** 2
    return np.asarray(np.sum(weight * squared, axis=-1) / np.sum(weight, axis=-1))


def jensen_shannon_error(
    p: Int[np.ndarray, " bins"], frame_bins: Int[np.ndarray, " frames"], blocks: int = 20
) -> float:
    """Standard error of `jensen_shannon` from the evaluated frames, by the block jackknife.

    Frames are left out in contiguous blocks, so correlations within a block (neighbouring frames of
    a chain, or whole chains written one after another) count. The set p is taken as fixed.

    Parameters
    ----------
    p
        Histogram compared against, shape (bins,).
    frame_bins
        Bin of each evaluated frame, shape (frames,), in the order of the trajectory.
    blocks
        Number of blocks.

    Returns
    -------
    float
        Standard error; nan for a single frame.
    """
    n, size = len(frame_bins), len(p)
    blocks = min(blocks, n)
    if blocks < 2:
        return float("nan")
    block = np.arange(n) * blocks // n
    counts = np.bincount(block * size + frame_bins, minlength=blocks * size).reshape(blocks, size)
    left_out = jensen_shannon(np.broadcast_to(p, counts.shape), counts.sum(axis=0) - counts)
    return float(np.sqrt((blocks - 1) * np.var(left_out)))


def _flatten(
    columns: list[np.ndarray], shape: list[int], values: np.ndarray, failed: np.ndarray
) -> np.ndarray:
    flat = np.ravel_multi_index(tuple(columns), tuple(shape))
    return np.where(failed | ~np.isfinite(values).all(axis=1), int(np.prod(shape)), flat)


def _normalise(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum(axis=-1, keepdims=True, dtype=np.float64)


def _relative_entropy(p: np.ndarray, m: np.ndarray) -> np.ndarray:
    ratio = np.divide(p, m, out=np.ones_like(p), where=p > 0)
    return np.asarray(np.sum(p * np.log(ratio), axis=-1))
