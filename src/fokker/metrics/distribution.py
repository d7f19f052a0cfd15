"""One bond, angle or collective variable of two sets of frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .bootstrap import Blocks, wasserstein_error
from .floor import wasserstein_floor
from .wasserstein import wasserstein_1d


def distribution(
    training: Float[np.ndarray, " training"],
    evaluated: Float[np.ndarray, " frames"],
    pool: Sequence[Float[np.ndarray, " _"]],
    period: float | None,
    seed: int,
    blocks: tuple[Blocks, Blocks],
    sizes: tuple[int, int],
) -> dict[str, float | None]:
    """Distance of two samples with its floor and error, and the moments of both.

    Parameters
    ----------
    training, evaluated
        Values of the frames that did not fail; there may be none of the evaluated ones.
    pool
        Values of the training and reference frames, for the floor.
    period
        Of an angle, in the unit of the values.
    seed
        Of the draws for the floor.
    blocks
        Of the training and of the evaluated frames, for the error.
    sizes
        Frames of both, for the floor.
    """
    both = min(len(training), len(evaluated)) > 0
    w1 = wasserstein_1d(training, evaluated, period) if both else math.inf
    floor = None
    if both:
        floor = wasserstein_floor(np.concatenate(pool), *sizes, period, seed=seed).mean
    mean, std = _moments(evaluated, period)
    training_mean, training_std = _moments(training, period)
    return {
        "w1": number(w1),
        "w1_error": wasserstein_error((training, blocks[0]), (evaluated, blocks[1]), period),
        "w1_relative": number(w1 / training_std) if training_std else None,
        "floor": floor,
        "mean": mean,
        "std": std,
        "training_mean": training_mean,
        "training_std": training_std,
    }


def _moments(values: np.ndarray, period: float | None) -> tuple[float | None, float | None]:
    """Mean and standard deviation of the finite values, on the circle if there is a period."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None, None
    if period is None:
        return float(finite.mean()), float(finite.std())
    turn = 2.0 * math.pi / period
    centre = complex(np.mean(np.exp(1j * turn * finite)))
    # -2 log R is the variance of a wrapped normal distribution of resultant length R.
    length = min(abs(centre), 1.0)
    spread = math.sqrt(-2.0 * math.log(length)) if length > 0 else math.inf
    return math.atan2(centre.imag, centre.real) / turn, number(spread / turn)


def number(value: float) -> float | None:
    """Make a number that JSON can hold: None in place of nan and infinity."""
    return float(value) if math.isfinite(value) else None
