"""What averaged weights are worth on held-out frames, and the best of a stage so far.

With few frames the loss on these falls while the loss on others rises: the weights of the end are
not those to keep.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..dataset.pool import Pool
from ..model import AbstractScore
from ..types import Scalar
from .stage import AbstractStage

FRAMES = 2048
"""Most held-out frames that are looked at."""

BATCHES = 8
"""Batches of these, with the same noise every time."""

LOOKS = 20
"""About as many times a stage is looked at."""

MARGIN = 0.01
"""Later weights are kept unless their loss is above the lowest so far by more than this share."""

_FIRST_STEP = 2**30  # beyond any of training, so that the noise is none that was trained on


class Best(eqx.Module):
    """Weights to keep of a stage.

    Attributes
    ----------
    weights
        Averaged, shared by all devices.
    step
        Optimiser steps they have seen.
    lowest
        Held-out loss, the lowest so far.
    """

    weights: AbstractScore
    step: np.ndarray
    lowest: np.ndarray

    @staticmethod
    def create(weights: AbstractScore, loss: float) -> Best:
        """Weights that a stage starts from, and their loss."""
        return Best(weights, np.asarray(0), np.asarray(loss))

    def updated(self, weights: AbstractScore, step: int, loss: float) -> Best:
        """Return later weights in the place of these unless their loss is clearly higher."""
        lowest = float(self.lowest)
        if np.isfinite(lowest) and not loss <= lowest + MARGIN * abs(lowest):
            return self
        return Best(weights, np.asarray(step), np.asarray(min(loss, lowest)))


def is_due(step: int, total: int, block: int) -> bool:
    """Whether held-out frames are looked at at the end of a block."""
    every = block * max(1, total // block // LOOKS)
    return step == total or step % every == 0


def losses(stage: AbstractStage, average: Any, pool: Pool) -> dict[str, float]:
    """Mean of every objective, and of their weighted sum as `loss`, on held-out frames."""
    found = _losses(stage.on_one_device(), average, pool)
    return {name: float(value) for name, value in found.items()}


@eqx.filter_jit
def _losses(stage: AbstractStage, average: Any, pool: Pool) -> dict[str, Scalar]:
    steps = _FIRST_STEP + jnp.arange(BATCHES)
    each = jax.lax.map(lambda step: stage.losses(average, pool, step), steps)
    return jax.tree.map(jnp.mean, each)
