r"""Jensen-Shannon divergence of every torsion, each with its floor, and the worst of them.

The plane of two variables says little of a molecule of many: a residue that is wrong may be in
neither. So every motion of `torsions_of` is judged by itself.

The floor is by the effective number of frames. What counts for a histogram is how fast frames
change bins, not how slow the slowest motion is: with the counts `c_bk` of bin k in block b,

    g = chi^2 / ((B - 1) (K - 1)),  chi^2 = sum_bk (c_bk - e_bk)^2 / e_bk,

e the counts expected if all blocks were alike, is 1 for independent frames and else the factor by
which the histogram scatters more than theirs. `n / g` frames are drawn for the floor.

The largest of many noisy ratios is above 1 even for a perfect model. A ratio scatters by
`sigma = floor_std / floor`; of N independent ones of a perfect model, all are below
`1 + z sigma` in 19 of 20 cases, `z` the quantile `0.95^(1/N)` of the normal distribution. This `z
sigma` is the `noise` of a motion, and the worst motion is that of the largest `ratio - noise`.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..system import System
from .bootstrap import Blocks, drawn_counts
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

_DRAWS = 16
"""Draws of a floor; its hundreds of bins make its mean exact to a per cent."""


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
    z = NormalDist().inv_cdf(CONFIDENCE ** (1 / len(motions)))
    found: dict[str, dict[str, float | None]] = {}
    start = 0
    for motion in motions:
        columns = slice(start, start + len(motion.variables))
        start = columns.stop
        sets = [s for s in (training, reference, evaluated) if s is not None]
        values = [s.torsions[:, columns] for s in sets]
        edges = data_edges(np.concatenate(values[:-1]), motion.variables, BINS)
        bins = [joint_bins(v, edges, s.failed) for v, s in zip(values, sets, strict=True)]
        found[motion.label] = _judged(bins, joint_size(edges), training, evaluated, z, seed)
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
    effective
        Independent frames that would scatter as these do.
    """

    counts: Int[np.ndarray, " bins"]
    drawn: Float[np.ndarray, "draws bins"]
    effective: int


def _histogram(bins: np.ndarray, size: int, blocks: Blocks) -> _Histogram:
    """Bins of frames numbered from 0; the last of them holds those that failed."""
    of_blocks, drawn = drawn_counts(bins, blocks, size)
    counts = of_blocks.sum(axis=0)
    n = int(counts.sum())
    # Chains that break are no slow motion: they must not raise the floor that they are judged by.
    sound = of_blocks[:, :-1]
    sound = sound[:, counts[:-1] > 0].astype(np.float64)
    sizes = sound.sum(axis=1)
    sound, sizes = sound[sizes > 0], sizes[sizes > 0]
    inefficiency = 1.0
    if min(sound.shape) > 1:
        expected = np.outer(sizes, sound.sum(axis=0) / sizes.sum())
        freedom = (sound.shape[0] - 1) * (sound.shape[1] - 1)
        inefficiency = float(np.sum((sound - expected) ** 2 / expected)) / freedom
    return _Histogram(counts, drawn, max(2, round(n / max(inefficiency, 1.0))))


def _judged(
    bins: list[np.ndarray],
    size: int,
    training: Measured,
    evaluated: Measured,
    z: float,
    seed: int,
) -> dict[str, float | None]:
    """One row: the first set is compared with the last, all but the last are pooled."""
    pooled = np.sum([np.bincount(each, minlength=size) for each in bins[:-1]], axis=0)
    occupied = (pooled + np.bincount(bins[-1], minlength=size)) > 0
    occupied[-1] = True
    place = np.cumsum(occupied) - 1
    p, q = (
        _histogram(place[each], int(occupied.sum()), of_set.blocks)
        for each, of_set in ((bins[0], training), (bins[-1], evaluated))
    )
    js = float(jensen_shannon(p.counts, q.counts))
    floor = js_floor(pooled, p.effective, q.effective, draws=_DRAWS, seed=seed)
    if floor.mean <= 0:
        return {"js": js, **dict.fromkeys(_OTHERS), "floor": floor.mean}
    error, spread = None, floor.std / floor.mean
    widening = max(training.blocks.widening, evaluated.blocks.widening)
    if np.isfinite(widening):
        error = widening * float(np.std(jensen_shannon(p.drawn, q.drawn)))
        spread = max(spread, widening * _null_spread(p, q))
    return {
        "js": js,
        "error": error,
        "floor": floor.mean,
        "floor_std": spread * floor.mean,
        "ratio": js / floor.mean,
        "ratio_error": None if error is None else error / floor.mean,
        "noise": z * spread,
    }


_OTHERS = ("error", "floor", "floor_std", "ratio", "ratio_error", "noise")


def _null_spread(p: _Histogram, q: _Histogram) -> float:
    """Relative standard deviation that JS would have if both sets were of one distribution.

    To second order `JS = 1/8 sum (p - q)^2 / m`, here with what the draws add to p and q alone.
    """
    means = [each.counts / each.counts.sum() for each in (p, q)]
    noise = [
        each.drawn / each.drawn.sum(axis=1, keepdims=True) - mean
        for each, mean in zip((p, q), means, strict=True)
    ]
    middle = means[0] + means[1]
    there = middle > 0
    values = ((noise[0] - noise[1])[:, there] ** 2 / middle[there]).sum(axis=1)
    return float(np.std(values) / np.mean(values)) if values.any() else 0.0
