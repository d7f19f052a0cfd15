"""How many of the frames of a trajectory are independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ..system import System
from .collective_variables import compute

_WINDOW = 5.0
"""Autocorrelation is summed up to this many times its own sum (Sokal's automatic window)."""

_LONGEST_LAG = 20_000
"""Nothing is summed beyond so many frames: a set that needs more has no independent ones."""


def statistical_inefficiency(
    pieces: Sequence[Float[np.ndarray, "_times _chains"]], period: float | None = None
) -> float:
    """Frames to an independent one, `g = 1 + 2 sum_k rho(k)`, at least 1.

    It is twice the integrated autocorrelation time.

    The autocorrelation `rho(k)` is that of deviations from the mean over all pieces. An angle a is
    taken as `exp(2 pi i a / period)`. Where the sum does not converge within a piece, g is what it
    has reached, a lower bound.

    Parameters
    ----------
    pieces
        Values without gaps in time, each (times, chains); what is not finite is taken as the mean.
    period
        Of an angle, in its unit.

    Returns
    -------
    float
        In frames of one chain; `number of frames / g` of them are independent.
    """
    signals = [piece if period is None else np.exp(2j * np.pi / period * piece) for piece in pieces]
    everything = np.concatenate([signal.ravel() for signal in signals])
    finite = everything[np.isfinite(everything)]
    if len(finite) < 2:
        return 1.0
    longest = min(max(len(signal) for signal in signals) - 1, _LONGEST_LAG)
    total, counts = np.zeros(longest + 1), np.zeros(longest + 1)
    for signal in signals:
        n_times, n_chains = signal.shape
        lags = min(longest, n_times - 1) + 1
        deviation = np.where(np.isfinite(signal), signal - finite.mean(), 0.0)
        total[:lags] += _autocovariance(deviation, lags)
        counts[:lags] += n_chains * (n_times - np.arange(lags))
    if not total[0] > 0:
        return 1.0
    sums = 2.0 * np.cumsum(total / counts) * counts[0] / total[0] - 1.0
    window = np.arange(longest + 1) >= _WINDOW * 0.5 * sums
    # The furthest half of the lags has too few pairs to be trusted.
    last = int(window.argmax()) if window.any() else longest // 2
    return float(max(sums[: last + 1].max() if not window.any() else sums[last], 1.0))


def slowest_inefficiency(
    system: System, pieces: Sequence[Float[np.ndarray, "_times _chains beads dim"]]
) -> float:
    """Largest `statistical_inefficiency` of the collective variables of a system."""
    found = [1.0]
    for variable in system.collective_variables:
        values = [
            compute(variable, piece.reshape(-1, *piece.shape[2:])).reshape(piece.shape[:2])
            for piece in pieces
        ]
        period = variable.limits[1] - variable.limits[0] if variable.periodic else None
        found.append(statistical_inefficiency(values, period))
    return max(found)


def _autocovariance(deviation: np.ndarray, lags: int) -> np.ndarray:
    """Sum over times and chains of `x_t conj(x_{t+k})`, real part, for each lag k."""
    size = 1 << int(2 * len(deviation) - 1).bit_length()
    total = np.zeros(lags)
    for column in deviation.T:  # one chain at a time bounds the memory
        power = np.abs(np.fft.fft(column, size)) ** 2
        total += np.fft.ifft(power).real[:lags]
    return total
