"""Differences of free energies, with what counting alone contributes to them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

_ENOUGH = 10
"""Frames in a bin from which on the error of its free energy is `count^(-1/2)` kT."""


class Difference(NamedTuple):
    """Free-energy difference in kT, nan unless both are populated; bin probabilities of both."""

    delta: Float[np.ndarray, "*bins"]
    p: Float[np.ndarray, "*bins"]
    q: Float[np.ndarray, "*bins"]

    @property
    def both(self) -> Bool[np.ndarray, "*bins"]:
        """Bins that both sets populate."""
        return (self.p > 0) & (self.q > 0)


def difference(
    energy: Float[np.ndarray, "*bins"], reference: Float[np.ndarray, "*bins"], join: int = 1
) -> Difference:
    """Free-energy difference of two profiles or surfaces on the same bins.

    Each is normalised first, so that noise in its lowest bin does not shift the whole
    difference.

    Parameters
    ----------
    energy, reference
        Free energies in kT up to a constant, nan in empty bins.
    join
        Bins to join along each axis; two halve the noise of a surface.
    """
    p, q = _probabilities(energy, join), _probabilities(reference, join)
    with np.errstate(divide="ignore", invalid="ignore"):
        delta = np.where((p > 0) & (q > 0), np.log(q) - np.log(p), np.nan)
    return Difference(delta, p, q)


def rms(difference: Difference, n: int, n_reference: int) -> tuple[float, float] | None:
    """Population-weighted rms of a difference, and what counting independent frames alone gives.

    Over bins with at least ten frames in both sets, where the error of a logarithm of a count c is
    c^(-1/2); None if there are none.
    """
    counts, reference_counts = n * difference.p, n_reference * difference.q
    well = (counts >= _ENOUGH) & (reference_counts >= _ENOUGH)
    if not well.any():
        return None
    weight = (difference.p + difference.q)[well]
    noise = 1.0 / counts[well] + 1.0 / reference_counts[well]
    squares = difference.delta[well] ** 2
    return (
        float(np.sqrt(np.average(squares, weights=weight))),
        float(np.sqrt(np.average(noise, weights=weight))),
    )


def _probabilities(energy: np.ndarray, join: int) -> np.ndarray:
    weight = np.where(np.isfinite(energy), np.exp(-np.nan_to_num(energy)), 0.0)
    for axis, size in enumerate(weight.shape):
        weight = np.add.reduceat(weight, np.arange(0, size, join), axis=axis)
    return weight / max(float(weight.sum()), np.finfo(float).tiny)
