"""All metrics of a set of frames in one table, ready to be written as JSON.

The table has no nan and no infinity: a number that does not exist is None. Frames that failed are
never left out of JS and PMF, where they fill a bin of their own. Everything else is of the frames
that did not fail, and the failed fraction stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..system import System
from ..variables import angle, distance
from .distribution import distribution
from .folding import folding, folding_threshold
from .geometry import GeometryLimits, chirality, labels
from .measured import Measured, period_of
from .plane import plane_metrics
from .torsion_metrics import torsion_metrics


def compare(
    system: System,
    training_frames: Float[np.ndarray, "training beads dim"],
    frames: Float[np.ndarray, "frames _ _"],
    *,
    training_weights: Float[np.ndarray, " _training"] | None = None,
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
    training_weights
        Of the training frames, if these do not count alike: frames are then drawn by them, and
        floors are those of fewer frames, `n_training_effective`.
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
        `n`, `n_training`, `n_training_effective`, `failed_fraction` and, of those, `nan_fraction`
        that hold no structure (`lost_frames`); `js_data` and `js`, Jensen-Shannon divergences in
        the plane of the first two collective variables, and `pmf`, the PMF error there. Bins of
        `js_data`, by which a model is judged, lie between edges of the training and reference
        frames (`data_edges`); those of `js`, the definition of arXiv 2506.17139, span the range of
        both sets, so that a few outliers dilute it. Each has a `_floor`, `_floor_std`, `_ratio` (to
        its floor) and `_bootstrap_error`; `js_data_noise` and `js_noise` are what of them above
        their floor the chains of a simulation make by being few, None if a frame failed;
        `js_standard_error`; `correlation_time` (frames of a chain to an independent one, by the
        slowest collective variable), `effective_frames`, and both again for the training frames;
        `torsions`, as from `torsion_metrics`; `bonds` (nm), `angles` (rad) and
        `collective_variables`, each a table by label of `w1`, `w1_error` (block bootstrap),
        `w1_relative` (to the training standard deviation), `floor` (of w1), `mean`, `std`,
        `training_mean`, `training_std`; `chirality`, the fraction of frames with the chirality of
        the training data; `folding`, as from `fokker.metrics.folding`, or None without native
        contacts.
        Mean and std are circular for periodic variables. Errors are half the width of an interval
        that holds 68 per cent (`fokker.metrics.bootstrap`).

    Raises
    ------
    FokkerError
        If a set of frames is empty or does not fit the system.
    """
    limits = limits or _limits(system, training_frames)
    training = _measure(system, training_frames, limits, "training", weights=training_weights)
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
    training_weights: Float[np.ndarray, " _training"] | None = None,
    iid_worth: float = 1.0,
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
    training_weights
        As in `compare`.
    iid_worth
        Share of the samples that are independent, of annealed ones; floors are those of so many.
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
    trained = _measure(system, training, limits, "training", weights=training_weights)
    held_out = _optional(system, reference, limits)
    sets = {
        name: _measure(system, frames, limits, name, chains, seed + 1, worth=worth)
        for name, frames, chains, worth in (
            ("iid", iid, 1, iid_worth),
            ("sim", sim, sim_chains, 1.0),
        )
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
    training: Measured,
    evaluated: Measured,
    reference: Measured | None,
    seed: int,
    threshold: float | None,
) -> dict[str, Any]:
    sets = [training, evaluated] if reference is None else [training, evaluated, reference]

    def row(values: Callable[[Measured], np.ndarray], period: float | None = None) -> dict:
        kept = [values(one)[~one.failed] for one in sets]
        blocks = training.kept, evaluated.kept
        sizes = training.draws(len(kept[0])), evaluated.draws(len(kept[1]))
        return distribution(kept[0], kept[1], [kept[0], *kept[2:]], period, seed, blocks, sizes)

    def table(groups: tuple[tuple[int, ...], ...], measure: Callable[..., np.ndarray]) -> dict:
        return {
            label: row(lambda one, group=group: measure(one.frames, group))
            for label, group in zip(labels(system, groups), groups, strict=True)
        }

    return {
        "n": len(evaluated.frames),
        "n_training": len(training.frames),
        "n_training_effective": training.draws(len(training.frames)),
        "failed_fraction": float(np.mean(evaluated.failed)),
        "nan_fraction": float(np.mean(evaluated.lost)),
        "correlation_time": evaluated.inefficiency,
        "effective_frames": evaluated.effective,
        "training_correlation_time": training.inefficiency,
        "training_effective_frames": training.effective,
        **plane_metrics(system, training, evaluated, reference, seed),
        "torsions": torsion_metrics(system, training, evaluated, reference, seed),
        "bonds": table(system.bonds, distance),
        "angles": table(system.angles, angle),
        "chirality": chirality(system, training.frames, evaluated.frames),
        "collective_variables": {
            variable.name: row(
                lambda one, column=column: one.variables[:, column], period_of(variable)
            )
            for column, variable in enumerate(system.collective_variables)
        },
        "folding": _folding(training, evaluated, reference, threshold, seed),
    }


def _threshold(training: Measured) -> float | None:
    """Share of native contacts beyond which a frame is folded; None where there is no such thing.

    It is that of the training frames throughout, so that all sets are judged alike.
    """
    return None if training.sample is None else folding_threshold(training.sample.q)


def _folding(
    training: Measured,
    evaluated: Measured,
    reference: Measured | None,
    threshold: float | None,
    seed: int,
) -> dict[str, Any] | None:
    if training.sample is None or evaluated.sample is None or threshold is None:
        return None
    pooled = None if reference is None else reference.sample
    return folding(training.sample, evaluated.sample, pooled, threshold, seed)


def _limits(system: System, training_frames: np.ndarray) -> GeometryLimits:
    _check(system, training_frames, "training")
    return GeometryLimits.from_frames(system, training_frames)


def _check(system: System, frames: np.ndarray, name: str) -> None:
    if frames.ndim != 3 or frames.shape[1:] != (system.n_beads, system.dim) or not len(frames):
        raise FokkerError(
            f"the {name} frames have shape {frames.shape}, system {system.name!r} needs (frames, "
            f"{system.n_beads}, {system.dim}) with at least one frame; select the same beads"
        )


def _measure(
    system: System,
    frames: np.ndarray,
    limits: GeometryLimits,
    name: str,
    chains: int = 1,
    seed: int = 0,
    weights: Float[np.ndarray, " _frames"] | None = None,
    worth: float = 1.0,
) -> Measured:
    """`seed` differs between sets that are compared, so that their draws are independent."""
    _check(system, frames, name)
    if weights is not None and weights.shape != frames.shape[:1]:
        raise FokkerError(
            f"the {name} frames have weights of shape {weights.shape}; give ({len(frames)},)"
        )
    return Measured.of(system, frames, limits, chains, seed, weights, worth)


def _optional(system: System, frames: np.ndarray | None, limits: GeometryLimits) -> Measured | None:
    return None if frames is None else _measure(system, frames, limits, "reference")
