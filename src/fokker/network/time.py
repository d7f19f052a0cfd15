"""Diffusion time as an input, as arXiv 2506.17139 has it; `noise_embedding` is ours."""

from typing import Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import NoiseLevel, Scalar

Embedding: TypeAlias = Literal["log-snr", "time"]

BETA_MIN, BETA_MAX = 0.1, 20.0
"""Of the variance-preserving process whose time is meant."""


def diffusion_time(level: NoiseLevel) -> Scalar:
    """Time at which the variance-preserving process has this signal-to-noise ratio.

    `log(1 + sigma^2 / alpha^2)` is the integral of beta from 0 to t, a quadratic in t. A network
    still sees the noise level alone, and any process will do.
    """
    integral = jnp.log1p((level.sigma / level.alpha) ** 2)
    growth = 2.0 * (BETA_MAX - BETA_MIN)
    return 2.0 * integral / (BETA_MIN + jnp.sqrt(BETA_MIN**2 + growth * integral))


def time_embedding(level: NoiseLevel, interval: tuple[float, float]) -> Float[Array, " embedding"]:
    """Time, and its sines and cosines at two frequencies.

    An expert whose interval begins above zero is given the same waves of its own interval besides.

    Parameters
    ----------
    level
        Signal and noise scale.
    interval
        Times that the network is for; others are taken for the nearer end.
    """
    low, high = interval
    t = jnp.clip(diffusion_time(level), low, high)
    features = [t - 0.5 * (high - low), *_waves(t)]
    if low > 0.0:
        features += _waves((t - low) / (high - low))
    return jnp.stack(features)


def time_embedding_size(interval: tuple[float, float]) -> int:
    """Length of `time_embedding`."""
    return 7 if interval[0] > 0.0 else 4


def _waves(t: Scalar) -> list[Scalar]:
    turn = 2.0 * jnp.pi * t
    return [jnp.cos(turn), jnp.sin(turn), -jnp.cos(2.0 * turn)]
