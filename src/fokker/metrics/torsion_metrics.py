r"""Jensen-Shannon divergence of every torsion, each with its floor, and the worst of them.

The plane of two variables says little of a molecule of many: a residue that is wrong may be in
neither. So every motion of `torsions_of` is judged by itself.

The floor is by the effective number of frames. What counts for a histogram is how fast frames
change bins, not how slow the slowest motion is: with the counts `c_bk` of bin k in block b,

    g = chi^2 / ((B - 1) (K - 1)),  chi^2 = sum_bk (c_bk - e_bk)^2 / e_bk,

e the counts expected if all blocks were alike, is 1 for independent frames and else the factor by
which the histogram scatters more than theirs. `n / g` frames are drawn for the floor.

The largest of many noisy ratios is above 1 even for a perfect model. What is above 1 by noise alone
is, to second order, a sum of squares of the many ways in which bins fluctuate. Most are fast and
alike, their sum nearly normal, with the standard deviation `s` of the floor's draws. Slow ones are
few: what their standard deviation `t` is beyond that follows from how much the blocks are alike
(`_slow_spread`), and the square of a single one is chi^2 of one degree of freedom. Of N independent
ratios of a perfect model all are below `1 + noise` in 19 of 20 cases,

    noise^2 = (z s)^2 + ((z'^2 - 1) t / sqrt(2))^2,

with the quantile z of `0.95^(1/N)` of the normal distribution, and z' that of its magnitude. The
worst motion is that of the largest `ratio - noise`.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..system import System
from .bootstrap import drawn_counts
from .divergence import data_edges, jensen_shannon, joint_bins, joint_size
from .floor import js_floor
from .measured import Measured
from .torsions import Motion, torsions_of

BINS = 24
"""Bins of a variable, 15 degrees of an angle.

Fewer than in the plane: with the floor of finer bins, which rises with their number, a wrong weight
of a state would be hidden, and shapes within a state are in the tables of Wasserstein distances.
"""

CONFIDENCE = 0.95
"""Share of perfect models whose largest ratio is within the noise."""

_MOST_BLOCKS = 64
"""More are joined where each is compared with each other."""

_DRAWS = 32
"""Draws of a floor; also of its spread."""


def torsion_metrics(
    system: System, training: Measured, evaluated: Measured, reference: Measured | None, seed: int
) -> dict[str, Any] | None:
    """Every motion of a molecule; None if the plane of the metrics is the only one, or none.

    Parameters
    ----------
    system
        The system of all sets.
    training, evaluated
        What is compared.
    reference
        Pooled with the training frames for the floors and the edges of the bins.
    seed
        Of the draws for the floors.

    Returns
    -------
    dict
        `motions`, a table by label of `js`, its bootstrap `error`, `floor`, `floor_std`, `ratio`,
        `ratio_error` and `noise`; `worst`, the label of the largest ratio less its noise; `mean`,
        the mean ratio.
    """
    motions = torsions_of(system)
    if not motions or _is_plane(system, motions):
        return None
    confidence = CONFIDENCE ** (1 / len(motions))
    found: dict[str, dict[str, float | None]] = {}
    start = 0
    for motion in motions:
        columns = slice(start, start + len(motion.variables))
        start = columns.stop
        sets = [s for s in (training, reference, evaluated) if s is not None]
        values = [s.torsions[:, columns] for s in sets]
        edges = data_edges(np.concatenate(values[:-1]), motion.variables, BINS)
        bins = [joint_bins(v, edges, s.failed) for v, s in zip(values, sets, strict=True)]
        found[motion.label] = _judged(
            bins, joint_size(edges), training, evaluated, confidence, seed
        )
    beyond = {
        label: row["ratio"] - (row["noise"] or 0.0)
        for label, row in found.items()
        if row["ratio"] is not None
    }
    ratios = [row["ratio"] for row in found.values() if row["ratio"] is not None]
    return {
        "motions": found,
        "worst": max(beyond, key=lambda label: beyond[label], default=None),
        "mean": float(np.mean(ratios)) if ratios else None,
    }


def _is_plane(system: System, motions: tuple[Motion, ...]) -> bool:
    """Whether the only motion is what the plane of the metrics shows already."""
    plane = {(v.kind, v.indices) for v in system.collective_variables[:2]}
    return len(motions) == 1 and plane == {(v.kind, v.indices) for v in motions[0].variables}


class _Histogram(NamedTuple):
    """Occupied bins of one set.

    Attributes
    ----------
    counts
        Of all frames, shape (bins,).
    drawn
        Of each draw of blocks, shape (draws, bins).
    blocks
        Of at most `_MOST_BLOCKS` blocks, without failed frames and blocks of these alone.
    effective
        Independent frames that would scatter as these do.
    """

    counts: Int[np.ndarray, " bins"]
    drawn: Float[np.ndarray, "draws bins"]
    blocks: Float[np.ndarray, "blocks sound_bins"]
    effective: int


def _histogram(bins: np.ndarray, size: int, of_set: Measured) -> _Histogram:
    """Bins of frames numbered from 0; the last of them holds those that failed."""
    of_blocks, drawn = drawn_counts(bins, of_set.blocks, size)
    counts = of_blocks.sum(axis=0)
    n = int(counts.sum())
    # Chains that break are no slow motion: they must not raise the floor that they are judged by.
    sound = of_blocks[:, :-1].astype(np.float64)
    sound = sound[sound.sum(axis=1) > 0]
    joined = np.add.reduceat(sound, _starts(len(sound))) if len(sound) else sound
    inefficiency = max(_inefficiency(sound), 1.0 / of_set.worth)
    return _Histogram(counts, drawn, joined, max(2, round(n / inefficiency)))


def _starts(blocks: int) -> np.ndarray:
    """Where groups of blocks begin, so that there are not too many."""
    groups = min(blocks, _MOST_BLOCKS)
    return np.arange(groups) * blocks // groups


def _inefficiency(blocks: Float[np.ndarray, "blocks bins"]) -> float:
    """Chi-squared of blocks against each other over its degrees of freedom, at least 1."""
    blocks = blocks[:, blocks.sum(axis=0) > 0]
    if min(blocks.shape) < 2:
        return 1.0
    expected = np.outer(blocks.sum(axis=1), blocks.sum(axis=0) / blocks.sum())
    freedom = (blocks.shape[0] - 1) * (blocks.shape[1] - 1)
    return max(float(np.sum((blocks - expected) ** 2 / expected)) / freedom, 1.0)


def _judged(
    bins: list[np.ndarray],
    size: int,
    training: Measured,
    evaluated: Measured,
    confidence: float,
    seed: int,
) -> dict[str, float | None]:
    """One row: the first set is compared with the last, all but the last are pooled."""
    pooled = np.sum([np.bincount(each, minlength=size) for each in bins[:-1]], axis=0)
    occupied = (pooled + np.bincount(bins[-1], minlength=size)) > 0
    occupied[-1] = True
    place = np.cumsum(occupied) - 1
    p, q = (
        _histogram(place[each], int(occupied.sum()), of_set)
        for each, of_set in ((bins[0], training), (bins[-1], evaluated))
    )
    js = float(jensen_shannon(p.counts, q.counts))
    floor = js_floor(pooled, p.effective, q.effective, draws=_DRAWS, seed=seed)
    if floor.mean <= 0:
        return {"js": js, **dict.fromkeys(_OTHERS), "floor": floor.mean}
    error, fast, slow = None, floor.std / floor.mean, 0.0
    widening = max(training.blocks.widening, evaluated.blocks.widening)
    if np.isfinite(widening):
        error = widening * float(np.std(jensen_shannon(p.drawn, q.drawn)))
        if min(len(p.blocks), len(q.blocks)) > 1:
            slow = widening * _slow_spread(p, q, fast)
    normal = NormalDist()
    z, of_magnitude = normal.inv_cdf(confidence), normal.inv_cdf(0.5 * (1 + confidence))
    return {
        "js": js,
        "error": error,
        "floor": floor.mean,
        "floor_std": floor.mean * float(np.hypot(fast, slow)),
        "ratio": js / floor.mean,
        "ratio_error": None if error is None else error / floor.mean,
        "noise": float(np.hypot(z * fast, (of_magnitude**2 - 1) * slow / np.sqrt(2))),
    }


_OTHERS = ("error", "floor", "floor_std", "ratio", "ratio_error", "noise")


def _slow_spread(p: _Histogram, q: _Histogram, fast: float) -> float:
    """Relative standard deviation of the noise of JS that few slow motions add to the fast one.

    Noise of JS is `1/8 sum d^2 / m` with the noise d of p - q. If C is the covariance of
    `d / sqrt(m)`, its mean is tr C and its variance 2 tr C^2 (in units of 1/8 and 1/64). Both
    follow from what blocks differ by: of B independent blocks with the deviations u, whose sum
    is 0, `sum u_b u_b` is `(1 - 1/B) tr C`, and `sum (u_b u_c)^2` over different b and c

        (1 - 1/B) [((1 - 1/B)^2 + 1/B^2) tr C^2 + (tr C)^2 / B^2],

    by Isserlis' theorem for normal deviations.
    """
    means = [each.blocks.sum(axis=0) / each.blocks.sum() for each in (p, q)]
    middle = means[0] + means[1]
    there = middle > 0
    white = [
        (each.blocks - each.blocks.sum(axis=1, keepdims=True) * mean)[:, there]
        / (each.blocks.sum() * np.sqrt(middle[there]))
        for each, mean in zip((p, q), means, strict=True)
    ]
    traces, squares = zip(*(_moments(u) for u in white), strict=True)
    kept = np.prod([1 - 1 / len(u) for u in white])
    both = float(np.sum(_products(white[0], white[1]) ** 2)) / kept
    if not sum(traces) > 0:
        return 0.0
    variance = 2 * (sum(squares) + 2 * both) / sum(traces) ** 2
    return float(np.sqrt(max(variance - fast**2, 0.0)))


def _moments(white: Float[np.ndarray, "blocks bins"]) -> tuple[float, float]:
    """Trace of C and of its square."""
    n = len(white)
    products = _products(white, white)
    own = np.diag(products)
    trace = float(own.sum()) / (1 - 1 / n)
    others = float(np.sum(products**2) - np.sum(own**2)) / (1 - 1 / n)
    square = (others - trace**2 / n**2) / ((1 - 1 / n) ** 2 + 1 / n**2)
    return trace, max(square, 0.0)


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Not `@`: at this size the threads of a BLAS cost far more than they gain.
    return np.einsum("bk,ck->bc", a, b)
