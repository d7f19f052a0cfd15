"""Standard errors by the block bootstrap.

Frames near in time are alike, so whole blocks of a correlation time are drawn with replacement,
from the training and from the evaluated frames; the error of a metric is its standard deviation
over the draws. Near its floor a distance cannot spread freely, and the error is a little too large.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

_MOST_BLOCKS = 256
"""More blocks than this are joined: the error is hardly better for them, only slower."""

DRAWS = 64
"""Draws of an error: its own relative error is 9 per cent."""

_CELLS = 128
"""Equal cells in which a distribution is counted for the error of its Wasserstein distance."""


class Blocks(NamedTuple):
    """Block of each frame, shape (frames,), and how often each block is drawn, (draws, blocks)."""

    index: Int[np.ndarray, " frames"]
    drawn: Float32[np.ndarray, "draws blocks"]


def blocks_of(n_frames: int, inefficiency: float, chains: int = 1, seed: int = 0) -> Blocks:
    """Cut frames into blocks of time, chain by chain, and draw from them.

    Parameters
    ----------
    n_frames
        In the order of a simulation: all chains at one time, then all at the next.
    inefficiency
        Frames of a chain to an independent one.
    chains
        Number of chains; 1 for one trajectory.
    seed
        Of the draws.
    """
    times = -(-n_frames // chains)
    per_chain = max(1, min(int(times / inefficiency), _MOST_BLOCKS // chains, times))
    time, chain = np.divmod(np.arange(n_frames), chains)
    index = chain * per_chain + time * per_chain // times
    n_blocks = chains * per_chain
    drawn = np.random.default_rng(seed).multinomial(
        n_blocks, np.full(n_blocks, 1 / n_blocks), DRAWS
    )
    return Blocks(index, drawn.astype(np.float32))


def histogram_error(
    metric: Callable[[np.ndarray, np.ndarray], np.ndarray],
    training: tuple[Int[np.ndarray, " training"], Blocks],
    evaluated: tuple[Int[np.ndarray, " frames"], Blocks],
) -> float | None:
    """Standard error of a metric of two histograms.

    Parameters
    ----------
    metric
        Of two stacks of counts, each (draws, bins).
    training, evaluated
        Bin of each frame, and the blocks of the frames.

    Returns
    -------
    float or None
        None if there is a single block.
    """
    if not _enough(training[1], evaluated[1]):
        return None
    # Bins that are empty in both sets stay so in every draw.
    occupied, joint = np.unique(np.concatenate([training[0], evaluated[0]]), return_inverse=True)
    parts = joint[: len(training[0])], joint[len(training[0]) :]
    p, q = (
        _drawn_counts(bins, blocks, len(occupied))
        for bins, (_, blocks) in zip(parts, (training, evaluated), strict=True)
    )
    return float(np.std(metric(p, q)))


def wasserstein_error(
    training: tuple[Float[np.ndarray, " training"], Blocks],
    evaluated: tuple[Float[np.ndarray, " frames"], Blocks],
    period: float | None = None,
) -> float | None:
    """Standard error of `wasserstein_1d`, in the unit of the values.

    Returns
    -------
    float or None
        None if there is a single block, or a value that is not finite.
    """
    both = np.concatenate([training[0], evaluated[0]]).astype(np.float64)
    if not (np.isfinite(both).all() and _enough(training[1], evaluated[1])):
        return None
    if period is not None:
        both = np.mod(both, period)
    low, high = (0.0, period) if period is not None else (float(both.min()), float(both.max()))
    width = (high - low) / _CELLS
    if not width > 0:
        return 0.0
    cells = np.minimum(((both - low) / width).astype(np.int64), _CELLS - 1)
    parts = cells[: len(training[0])], cells[len(training[0]) :]
    cumulative = []
    for bins, (_, blocks) in zip(parts, (training, evaluated), strict=True):
        counts = _drawn_counts(bins, blocks, _CELLS)
        cumulative.append(np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True))
    difference = cumulative[0] - cumulative[1]
    if period is not None:
        difference = difference - np.median(difference, axis=1, keepdims=True)
    distances = width * np.abs(difference).sum(axis=1)
    error = float(np.std(distances))
    return error if math.isfinite(error) else None


def mean_error(values: Float[np.ndarray, " frames"], blocks: Blocks) -> float | None:
    """Standard error of the mean of finite values, in their unit; None if there is one block."""
    if not _enough(blocks):
        return None
    n_blocks = blocks.drawn.shape[1]
    sizes = np.bincount(blocks.index, minlength=n_blocks)
    sums = np.bincount(blocks.index, weights=values, minlength=n_blocks)
    return float(np.std((blocks.drawn @ sums) / (blocks.drawn @ sizes)))


def _enough(*sets: Blocks) -> bool:
    return all(blocks.drawn.shape[1] > 1 for blocks in sets)


def _drawn_counts(bins: np.ndarray, blocks: Blocks, size: int) -> np.ndarray:
    """Histogram of each draw, shape (draws, size)."""
    n_blocks = blocks.drawn.shape[1]
    counts = np.bincount(blocks.index * size + bins, minlength=n_blocks * size)
    # Not `@`: the threads of a BLAS cost far more than they gain at this size. Single precision
    # holds counts up to 2^24 exactly.
    table = counts.reshape(n_blocks, size).astype(np.float32)
    return np.einsum("db,bk->dk", blocks.drawn, table)
