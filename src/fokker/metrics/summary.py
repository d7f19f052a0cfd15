"""All metrics of a set of frames in one table, ready to be written as JSON.

The table has no nan and no infinity: a number that does not exist is None. In particular the
Wasserstein distance of a set with frames that are not finite is infinite and stored as None; the
failed fraction stands beside it. Failed frames are never left out of JS, PMF or W1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..system import System
from ..variables import angle, distance
from .bootstrap import Blocks, blocks_of, histogram_error
from .collective_variables import compute
from .correlation import statistical_inefficiency
from .distribution import distribution, number
from .divergence import (
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
from .folding import Sample, folding, folding_threshold, native_contacts
from .geometry import GeometryLimits, chirality, failed_frames, finite_frames, labels
from .noise import js_noise


@dataclass(frozen=True)
class _Set:
    """Frames with what every comparison needs of them."""

    frames: np.ndarray
    variables: np.ndarray
    failed: np.ndarray
    inefficiency: float
    blocks: Blocks
    chains: int
    sample: Sample | None

    @property
    def plane(self) -> np.ndarray:
        """The first two collective variables, the axes of the histograms."""
        return self.variables[:, :2]


def compare(
    system: System,
    training_frames: Float[np.ndarray, "training beads dim"],
    frames: Float[np.ndarray, "frames _ _"],
    *,
    reference_frames: Float[np.ndarray, "reference _ _"] | None = None,
    limits: GeometryLimits | None = None,
    chains: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Every metric of a set of frames against the training frames, with its floor.

    Parameters
    ----------
    system
        The system of all frames.
    training_frames
        Frames to compare against, shape (training, beads, dim), nm (or the system's length unit).
    frames
        Frames to evaluate, same unit. Their order matters only for errors and correlation times.
    reference_frames
        Independent frames that are pooled with the training frames for the floors.
    limits
        Limits of a failed frame; those of the training frames if not given.
    chains
        Chains of a simulation whose frames are given time after time.
    seed
        Of the draws for the floors and the bootstrap.

    Returns
    -------
    dict
        `n`, `n_training`, `failed_fraction`, `nan_fraction`; `js`, `js_standard_error`, `js_floor`,
        `js_floor_std`, `js_ratio` and `pmf`, `pmf_floor`, `pmf_floor_std`, `pmf_ratio` (a ratio is
        the metric over its floor) in the plane of the first two collective variables, with
        `js_bootstrap_error` and `pmf_bootstrap_error`, and `js_noise`, what of `js` above its floor
        the chains of a simulation make by being few, None if a frame failed;
        `correlation_time` (frames of a chain to an independent one, by the slowest collective
        variable), `effective_frames`, and both again for
        the training frames; `bonds` (nm), `angles` (rad) and `collective_variables`, each a table
        by label of `w1`, `w1_error` (block bootstrap), `w1_relative` (to the training standard
        deviation), `floor` (of w1), `mean`, `std`, `training_mean`, `training_std`; `chirality`,
        the fraction of frames with the hand of the training data;
        `folding`, as from `fokker.metrics.folding`, or None without native contacts.
        Mean and std are those of the finite values, circular for periodic variables.

    Raises
    ------
    FokkerError
        If a set of frames is empty or does not fit the system.
    """
    limits = limits or _limits(system, training_frames)
    training = _measure(system, training_frames, limits, "training")
    evaluated = _measure(system, frames, limits, "evaluated", chains, seed + 1)
    reference = _optional(system, reference_frames, limits)
    return _compare(system, training, evaluated, reference, seed, _threshold(training))


def evaluate(
    system: System,
    training: Float[np.ndarray, "training beads dim"],
    iid: Float[np.ndarray, "iid _ _"] | None = None,
    sim: Float[np.ndarray, "sim _ _"] | None = None,
    reference: Float[np.ndarray, "reference _ _"] | None = None,
    seed: int = 0,
    *,
    sim_chains: int = 1,
) -> dict[str, Any]:
    """Independent samples and simulation against training and reference frames.

    Parameters
    ----------
    system
        The system of all frames.
    training
        Training frames, shape (training, beads, dim), nm (or the system's length unit).
    iid, sim
        Frames of denoising and of simulation; a set that is not given is left out.
    reference
        Frames never trained on.
    seed
        Of the draws for the floors and the bootstrap.
    sim_chains
        Chains of the simulation, whose frames are given time after time.

    Returns
    -------
    dict
        Tables as from `compare`: `iid` and `sim` against the training frames and, if reference
        frames are given, `reference`: `iid` and `sim` against those (the entries `training_*` then
        describe the reference frames) and `training`, the training frames against them. Failed
        frames are judged by the training frames throughout.

    Raises
    ------
    FokkerError
        If a set of frames is empty or does not fit the system.
    """
    limits = _limits(system, training)
    trained = _measure(system, training, limits, "training")
    held_out = _optional(system, reference, limits)
    sets = {
        name: _measure(system, frames, limits, name, chains, seed + 1)
        for name, frames, chains in (("iid", iid, 1), ("sim", sim, sim_chains))
        if frames is not None
    }
    threshold = _threshold(trained)
    tables: dict[str, Any] = {
        name: _compare(system, trained, evaluated, held_out, seed, threshold)
        for name, evaluated in sets.items()
    }
    if held_out is not None:
        tables["reference"] = {
            name: _compare(system, held_out, evaluated, trained, seed, threshold)
            for name, evaluated in (*sets.items(), ("training", trained))
        }
    return tables


def _compare(
    system: System,
    training: _Set,
    evaluated: _Set,
    reference: _Set | None,
    seed: int,
    threshold: float | None,
) -> dict[str, Any]:
    blocks = training.blocks, evaluated.blocks

    def table(groups: tuple[tuple[int, ...], ...], measure: Callable[..., np.ndarray]) -> dict:
        return {
            label: distribution(
                measure(training.frames, group),
                measure(evaluated.frames, group),
                None if reference is None else measure(reference.frames, group),
                None,
                seed,
                blocks,
            )
            for label, group in zip(labels(system, groups), groups, strict=True)
        }

    return {
        "n": len(evaluated.frames),
        "n_training": len(training.frames),
        "failed_fraction": float(np.mean(evaluated.failed)),
        "nan_fraction": float(np.mean(~finite_frames(evaluated.frames))),
        "correlation_time": evaluated.inefficiency,
        "effective_frames": len(evaluated.frames) / evaluated.inefficiency,
        "training_correlation_time": training.inefficiency,
        "training_effective_frames": len(training.frames) / training.inefficiency,
        **_histogram_metrics(system, training, evaluated, reference, seed),
        "bonds": table(system.bonds, distance),
        "angles": table(system.angles, angle),
        "chirality": chirality(system, training.frames, evaluated.frames),
        "collective_variables": {
            variable.name: distribution(
                training.variables[:, column],
                evaluated.variables[:, column],
                None if reference is None else reference.variables[:, column],
                variable.limits[1] - variable.limits[0] if variable.periodic else None,
                seed,
                blocks,
            )
            for column, variable in enumerate(system.collective_variables)
        },
        "folding": _folding(training, evaluated, reference, threshold, seed),
    }


def _threshold(training: _Set) -> float | None:
    """Share of native contacts beyond which a frame is folded; None where there is no such thing.

    It is that of the training frames throughout, so that all sets are judged alike.
    """
    return None if training.sample is None else folding_threshold(training.sample.q)


def _folding(
    training: _Set,
    evaluated: _Set,
    reference: _Set | None,
    threshold: float | None,
    seed: int,
) -> dict[str, Any] | None:
    if training.sample is None or evaluated.sample is None or threshold is None:
        return None
    pooled = None if reference is None else reference.sample
    return folding(training.sample, evaluated.sample, pooled, threshold, seed)


def _histogram_metrics(
    system: System, training: _Set, evaluated: _Set, reference: _Set | None, seed: int
) -> dict[str, Any]:
    axes = system.collective_variables[:2]
    if not axes:
        keys = (*_HISTOGRAM_KEYS, "_bootstrap_error")
        return {f"{name}{key}": None for name in ("js", "pmf") for key in keys} | {
            "js_standard_error": None,
            "js_noise": None,
        }
    edges = joint_edges(
        training.plane[~training.failed], evaluated.plane[~evaluated.failed], system.histogram_bins
    )
    limits = [variable.limits for variable in axes]
    pooled = [training] if reference is None else [training, reference]
    sizes = len(training.frames), len(evaluated.frames)

    bins = [joint_bins(s.plane, edges, s.failed) for s in (*pooled, evaluated)]
    *pool, evaluated_counts = _histograms(bins, joint_size(edges))
    js = float(jensen_shannon(pool[0], evaluated_counts))
    js_table = _against_floor("js", js, js_floor(np.sum(pool, axis=0), *sizes, seed=seed))
    js_table["js_standard_error"] = number(jensen_shannon_error(pool[0], bins[-1]))
    of_chains = _histograms_of_chains(bins[-1], evaluated.chains)
    # longer simulations do not mend chains that broke, few as these may be
    js_table["js_noise"] = None if evaluated.failed.any() else js_noise(of_chains)
    js_table["js_bootstrap_error"] = _bootstrap(jensen_shannon, bins, training, evaluated)

    bins = [pmf_bins(s.plane, limits, s.failed) for s in (*pooled, evaluated)]
    *pool, evaluated_counts = _histograms(bins, pmf_size(len(axes)))
    pmf = float(pmf_error(pool[0], evaluated_counts))
    pmf_table = _against_floor("pmf", pmf, pmf_floor(np.sum(pool, axis=0), *sizes, seed=seed))
    pmf_table["pmf_bootstrap_error"] = _bootstrap(pmf_error, bins, training, evaluated)
    return js_table | pmf_table


def _bootstrap(
    metric: Callable[..., np.ndarray], bins: list[np.ndarray], training: _Set, evaluated: _Set
) -> float | None:
    return histogram_error(metric, (bins[0], training.blocks), (bins[-1], evaluated.blocks))


_HISTOGRAM_KEYS = ("", "_floor", "_floor_std", "_ratio")


def _against_floor(name: str, value: float, floor: Floor) -> dict[str, float | None]:
    ratio = value / floor.mean if floor.mean > 0 else None
    return {
        f"{name}{key}": entry
        for key, entry in zip(_HISTOGRAM_KEYS, (value, floor.mean, floor.std, ratio), strict=True)
    }


def _histograms(bins: list[np.ndarray], size: int) -> list[np.ndarray]:
    return [np.bincount(indices, minlength=size) for indices in bins]


def _histograms_of_chains(bins: np.ndarray, chains: int) -> np.ndarray:
    """Occupied bins only, shape (chains, bins); frames are given time after time."""
    occupied, index = np.unique(bins, return_inverse=True)
    chain = np.arange(len(bins)) % chains
    flat = np.bincount(chain * len(occupied) + index, minlength=chains * len(occupied))
    return flat.reshape(chains, len(occupied))


def _measure(
    system: System,
    frames: np.ndarray,
    limits: GeometryLimits,
    name: str,
    chains: int = 1,
    seed: int = 0,
) -> _Set:
    """`seed` differs between sets that are compared, so that their draws are independent."""
    _check(system, frames, name)
    if len(frames) % chains:
        chains = 1
    columns = [compute(variable, frames) for variable in system.collective_variables]
    variables = np.stack(columns, axis=1) if columns else np.empty((len(frames), 0))
    found = [1.0]
    for variable, column in zip(system.collective_variables, columns, strict=True):
        period = variable.limits[1] - variable.limits[0] if variable.periodic else None
        found.append(statistical_inefficiency([column.reshape(-1, chains)], period))
    blocks = blocks_of(len(frames), max(found), chains, seed)
    failed = failed_frames(system, frames, limits)
    sample, folded = None, native_contacts(system)
    if folded is not None:
        q = columns[system.collective_variables.index(folded)]
        sample = Sample(system, frames, q, blocks, len(q) / max(found))
    return _Set(frames, variables, failed, max(found), blocks, chains, sample)


def _limits(system: System, training_frames: np.ndarray) -> GeometryLimits:
    _check(system, training_frames, "training")
    return GeometryLimits.from_frames(system, training_frames)


def _check(system: System, frames: np.ndarray, name: str) -> None:
    if frames.ndim != 3 or frames.shape[1:] != (system.n_beads, system.dim) or not len(frames):
        raise FokkerError(
            f"the {name} frames have shape {frames.shape}, system {system.name!r} needs (frames, "
            f"{system.n_beads}, {system.dim}) with at least one frame; select the same beads"
        )


def _optional(system: System, frames: np.ndarray | None, limits: GeometryLimits) -> _Set | None:
    return None if frames is None else _measure(system, frames, limits, "reference")
