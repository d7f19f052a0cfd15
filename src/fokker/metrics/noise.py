r"""How much of a Jensen-Shannon divergence is that the chains of a simulation are few.

Frames of a chain are alike, so the histogram of a simulation scatters more than that of as many
independent frames, and its divergence lies above the floor even if the model is perfect. To second
order `JS = 1/8 sum (p - q)^2 / m`, so what correlation adds to the variance of q adds to JS. In
halves of the chains against each other there is four times as much of it:

    noise = (E_halves JS - E_shuffled JS) / 4,

where the second mean is over halves of the frames drawn without regard to chains. It is of chains
that disagree among themselves, which those of a bad model may do as well, and falls with longer
simulations; it does not see what the chains have in common, such as a state that none has visited.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from .divergence import jensen_shannon

SEEN = 0.02
"""Multiples of the floor from which on the noise is worth a word."""


def seen_noise(noise: float | None, floor: float | None) -> float | None:
    """Noise in multiples of the floor, where it is worth a word."""
    if not noise or not floor or noise / floor < SEEN:
        return None
    return noise / floor


def js_noise(
    counts: Int[np.ndarray, "chains bins"], draws: int = 64, seed: int = 0
) -> float | None:
    """Expected part of a Jensen-Shannon divergence that comes from chains that differ.

    Parameters
    ----------
    counts
        Frames of each chain in each bin, the same number of frames of every chain.
    draws
        Number of ways that chains, and frames, are halved.
    seed
        Of the draws.

    Returns
    -------
    float or None
        Natural logarithm, not below 0; None for fewer than four chains.
    """
    chains = len(counts)
    if chains < 4:
        return None
    counts = counts[: chains - chains % 2, counts.sum(axis=0) > 0]
    pool = counts.sum(axis=0)
    rng = np.random.default_rng(seed)
    first = np.zeros((draws, len(counts)), counts.dtype)
    for row in first:
        row[rng.permutation(len(counts))[: len(counts) // 2]] = 1
    by_chain = first @ counts
    shuffled = rng.multivariate_hypergeometric(pool, pool.sum() // 2, size=draws)
    between, within = (np.mean(jensen_shannon(half, pool - half)) for half in (by_chain, shuffled))
    return max(0.0, float(between - within) / 4)
