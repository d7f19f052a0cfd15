r"""Errors by the block bootstrap: half the width of an interval that holds 68 per cent.

Frames near in time are alike, so whole blocks of time are drawn with replacement, from the training
and from the evaluated frames; the error of a metric is its standard deviation over the draws. Near
its floor a distance cannot spread freely, and the error is a little too large.

Three things make such an error too small, and it is widened by what they cost the mean of a set of
n blocks:

- The end of a block goes on in the next. If the correlation decays exponentially, the variance of
  the mean of a block of length L times L is short of its limit by the factor `1 - b / L`, with
  `b = (g^2 - 1) / (2 g)` and g the statistical inefficiency (Flyvbjerg and Petersen, J. Chem. Phys.
  91, 461 (1989)). Blocks are far longer than g where there are the frames for it: of n independent
  frames there are `n^(1/2)` blocks. Whole chains, where there are many, have no such ends.
- Blocks are compared with their own mean, which takes 1/n from their variance.
- Few blocks do not know their spread: Student's t of n - 1 degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

_MOST_BLOCKS = 256
"""More blocks than this are joined: the error is hardly better for them, only slower."""

_MANY_CHAINS = 16
"""From so many chains on each is a block, whatever is known of the correlation within it."""

DRAWS = 64
"""Draws of an error: its own relative error is 9 per cent."""

_CELLS = 128
"""Equal cells in which a distribution is counted for the error of its Wasserstein distance."""


class Blocks(NamedTuple):
    """Blocks of frames, none of them empty, or one for no frames.

    Attributes
    ----------
    index
        Block of each frame, shape (frames,).
    drawn
        How often each block is drawn, shape (draws, blocks).
    widening
        By which a standard deviation over the draws becomes an error; see the module.
    """

    index: Int[np.ndarray, " frames"]
    drawn: Float32[np.ndarray, "draws blocks"]
    widening: float


def blocks_of(
    n_frames: int,
    inefficiency: float,
    chains: int = 1,
    seed: int = 0,
    kept: Bool[np.ndarray, " frames"] | None = None,
) -> Blocks:
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
    kept
        Frames that the blocks are of; by default all.
    """
    times = -(-n_frames // chains)
    wanted = min(math.sqrt(n_frames / inefficiency), _MOST_BLOCKS)
    per_chain = 1 if chains >= _MANY_CHAINS else max(1, min(int(wanted / chains), times))
    time, chain = np.divmod(np.arange(n_frames), chains)
    joined = max(1, -(-chains // _MOST_BLOCKS))
    index = chain // joined * per_chain + time * per_chain // times
    if kept is not None:
        index = index[kept]
    occupied, index = np.unique(index, return_inverse=True)
    n_blocks = max(len(occupied), 1)
    drawn = np.random.default_rng(seed).multinomial(
        n_blocks, np.full(n_blocks, 1 / n_blocks), DRAWS
    )
    widening = _widening(n_blocks, inefficiency, times, per_chain)
    return Blocks(index, drawn.astype(np.float32), widening)


def _widening(n_blocks: int, inefficiency: float, times: int, per_chain: int) -> float:
    """What the errors of the module make of a standard deviation; infinite for a single block."""
    if n_blocks < 2:
        return math.inf
    # Chains are independent, so only the ends within a chain count.
    seen = 1.0
    if per_chain > 1:
        ends = (inefficiency**2 - 1) / (2 * inefficiency * times)
        seen = (1 - ends * per_chain) / (1 - ends)
    return student(n_blocks - 1) / math.sqrt(seen - 1 / n_blocks)


def student(freedom: int) -> float:
    """Half width that holds 68.27 per cent (one standard deviation of a normal distribution).

    The series of Abramowitz and Stegun, 26.7.5, right to 1.4 per cent at one degree of freedom and
    to 0.1 beyond.
    """
    return 1 + 1 / (2 * freedom) + 1 / (4 * freedom**2) + 1 / (16 * freedom**3)


def histogram_error(
    metric: Callable[[np.ndarray, np.ndarray], np.ndarray],
    training: tuple[Int[np.ndarray, " training"], Blocks],
    evaluated: tuple[Int[np.ndarray, " frames"], Blocks],
) -> float | None:
    """Error of a metric of two histograms.

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
        drawn_counts(bins, blocks, len(occupied))[1]
        for bins, (_, blocks) in zip(parts, (training, evaluated), strict=True)
    )
    return _widened(metric(p, q), training[1], evaluated[1])


def wasserstein_error(
    training: tuple[Float[np.ndarray, " training"], Blocks],
    evaluated: tuple[Float[np.ndarray, " frames"], Blocks],
    period: float | None = None,
) -> float | None:
    """Error of `wasserstein_1d`, in the unit of the values.

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
        counts = drawn_counts(bins, blocks, _CELLS)[1]
        cumulative.append(np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True))
    difference = cumulative[0] - cumulative[1]
    if period is not None:
        difference = difference - np.median(difference, axis=1, keepdims=True)
    distances = width * np.abs(difference).sum(axis=1)
    error = _widened(distances, training[1], evaluated[1])
    return error if math.isfinite(error) else None


def mean_error(values: Float[np.ndarray, " frames"], blocks: Blocks) -> float | None:
    """Error of the mean of finite values, in their unit; None if there is a single block.

    What infinitely many draws would give.
    """
    if not _enough(blocks):
        return None
    deviations = np.bincount(blocks.index, weights=values - values.mean())
    return blocks.widening * float(np.sqrt(np.sum(deviations**2))) / len(values)


def rms_error(
    training: tuple[Float[np.ndarray, "training_blocks columns"], Blocks],
    evaluated: tuple[Float[np.ndarray, "blocks columns"], Blocks],
) -> float | None:
    """Error of the root mean square of the differences of many means.

    Parameters
    ----------
    training, evaluated
        Sum over the frames of each block, and the blocks.
    """
    if not _enough(training[1], evaluated[1]):
        return None
    means = [
        blocks.drawn @ sums / (blocks.drawn @ np.bincount(blocks.index))[:, None]
        for sums, blocks in (training, evaluated)
    ]
    distances = np.sqrt(np.mean((means[0] - means[1]) ** 2, axis=1))
    return _widened(distances, training[1], evaluated[1])


def _enough(*sets: Blocks) -> bool:
    return all(blocks.drawn.shape[1] > 1 for blocks in sets)


def _widened(values: Float[np.ndarray, " draws"], *sets: Blocks) -> float:
    # The set with fewer blocks is nearly always the one that the error comes from.
    return max(blocks.widening for blocks in sets) * float(np.std(values))


def drawn_counts(
    bins: Int[np.ndarray, " frames"], blocks: Blocks, size: int
) -> tuple[Int[np.ndarray, "blocks bins"], Float32[np.ndarray, "draws bins"]]:
    """Histogram of each block, and of each draw.

    Parameters
    ----------
    bins
        Bin of each frame, from 0.
    blocks
        Of the frames.
    size
        Number of bins.
    """
    n_blocks = blocks.drawn.shape[1]
    flat = np.bincount(blocks.index * size + bins, minlength=n_blocks * size)
    counts = flat.reshape(n_blocks, size)
    # Not `@`: the threads of a BLAS cost far more than they gain at this size. Single precision
    # holds counts up to 2^24 exactly.
    return counts, np.einsum("db,bk->dk", blocks.drawn, counts.astype(np.float32))
