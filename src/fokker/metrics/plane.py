"""Distances of histograms in the plane of the first two collective variables, with their floors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from ..system import System
from .bootstrap import histogram_error
from .distribution import number
from .divergence import (
    data_edges,
    jensen_shannon,
    jensen_shannon_error,
    joint_bins,
    joint_edges,
    joint_size,
    pmf_bins,
    pmf_error,
    pmf_size,
)
from .floor import Floor, js_floor, pmf_floor
from .measured import Measured
from .noise import js_noise

_FLOOR_KEYS = ("", "_floor", "_floor_std", "_ratio")

KEYS = (
    *(f"{name}{key}" for name in ("js_data", "js", "pmf") for key in _FLOOR_KEYS),
    *(f"{name}_bootstrap_error" for name in ("js_data", "js", "pmf")),
    *("js_data_noise", "js_noise", "js_standard_error"),
)


def plane_of(system: System) -> dict[str, Any]:
    """`variables`: names of the axes of the plane; `why` they are these."""
    names = [variable.name for variable in system.collective_variables[:2]]
    default = "the first of the collective variables" if names else "no collective variables"
    return {"variables": names, "why": system.plane or default}


def plane_metrics(
    system: System, training: Measured, evaluated: Measured, reference: Measured | None, seed: int
) -> dict[str, Any]:
    """Everything in `KEYS`, None throughout for a system without collective variables.

    Parameters
    ----------
    system
        The system of all sets.
    training, evaluated
        What is compared.
    reference
        Pooled with the training frames for the floors and for the edges of `js_data`.
    seed
        Of the draws for the floors.
    """
    axes = system.collective_variables[:2]
    if not axes:
        return dict.fromkeys(KEYS)
    pooled = [training] if reference is None else [training, reference]
    sets = [*pooled, evaluated]
    bins = system.histogram_bins
    edges = {
        "js_data": data_edges(np.concatenate([s.plane for s in pooled]), axes, bins),
        "js": joint_edges(
            training.plane[~training.failed], evaluated.plane[~evaluated.failed], bins
        ),
    }
    found: dict[str, Any] = {}
    for name, of_axes in edges.items():
        each = [joint_bins(s.plane, of_axes, s.failed) for s in sets]
        size = joint_size(of_axes)
        found |= _with_floor(name, (jensen_shannon, js_floor), sets, each, size, seed)
        of_chains = _histograms_of_chains(each[-1], evaluated.chains)
        # longer simulations do not mend chains that broke, few as these may be
        found[f"{name}_noise"] = None if evaluated.failed.any() else js_noise(of_chains)
        if name == "js":
            counts = np.bincount(each[0], minlength=size)
            found["js_standard_error"] = number(jensen_shannon_error(counts, each[-1]))
    limits = [variable.limits for variable in axes]
    each = [pmf_bins(s.plane, limits, s.failed) for s in sets]
    return found | _with_floor("pmf", (pmf_error, pmf_floor), sets, each, pmf_size(len(axes)), seed)


def _with_floor(
    name: str,
    metric: tuple[Callable[..., np.ndarray], Callable[..., Floor]],
    sets: Sequence[Measured],
    bins: Sequence[Int[np.ndarray, " _"]],
    size: int,
    seed: int,
) -> dict[str, float | None]:
    """A metric of the first set and the last, its floor and its error; all but the last are pooled.

    `metric` is followed by its floor, `bins` has the bin of each frame of each set.
    """
    distance, floor_of = metric
    *pool, other = (np.bincount(of_set, minlength=size) for of_set in bins)
    value = float(distance(pool[0], other))
    sizes = (sets[k].draws(len(bins[k])) for k in (0, -1))
    floor = floor_of(np.sum(pool, axis=0), *sizes, seed=seed)
    ratio = value / floor.mean if floor.mean > 0 else None
    values = (value, floor.mean, floor.std, ratio)
    ends = (bins[0], sets[0].blocks), (bins[-1], sets[-1].blocks)
    return {
        **{f"{name}{key}": entry for key, entry in zip(_FLOOR_KEYS, values, strict=True)},
        f"{name}_bootstrap_error": histogram_error(distance, *ends),
    }


def _histograms_of_chains(
    bins: Int[np.ndarray, " frames"], chains: int
) -> Int[np.ndarray, "chains bins"]:
    """Occupied bins only, shape (chains, bins); frames are given time after time."""
    occupied, index = np.unique(bins, return_inverse=True)
    chain = np.arange(len(bins)) % chains
    flat = np.bincount(chain * len(occupied) + index, minlength=chains * len(occupied))
    return flat.reshape(chains, len(occupied))
