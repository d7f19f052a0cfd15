"""Time grids of the samplers, on the host in double precision."""

from typing import Annotated, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from pydantic import Field

from ..process import AbstractProcess

Grid: TypeAlias = Literal["time", "log_snr"]
Steps: TypeAlias = Annotated[
    int, Field(ge=1, le=1_000_000, description="network evaluations a sample")
]
SmallestTime: TypeAlias = Annotated[
    float, Field(gt=0, lt=1, description="diffusion time at which the sample is returned")
]
Spacing: TypeAlias = Annotated[
    Grid, Field(description="steps of equal length in diffusion time, or in log-SNR")
]

BISECTIONS = 64


def time_grid(
    process: AbstractProcess, steps: int, grid: Grid, t_min: float
) -> Float[np.ndarray, " points"]:
    """Decreasing times from 1 to t_min, steps + 1 of them.

    Parameters
    ----------
    process
        Noise process; only its log-SNR is used, and only by the `log_snr` grid.
    steps
        Number of steps.
    grid
        Which variable is uniform.
    t_min
        Last time.
    """
    if grid == "time":
        return np.linspace(1.0, t_min, steps + 1)
    return _uniform_log_snr(process, steps, t_min)


def _uniform_log_snr(
    process: AbstractProcess, steps: int, t_min: float
) -> Float[np.ndarray, " points"]:
    with jax.enable_x64(True):
        first, last = np.asarray(jax.vmap(process.log_snr)(jnp.array([1.0, t_min])))
    return times_at(process, np.linspace(first, last, steps + 1), t_min)


def times_at(
    process: AbstractProcess, log_snr: Float[np.ndarray, " points"], t_min: float
) -> Float[np.ndarray, " points"]:
    """Times from 1 to t_min of increasing log-SNR, by bisection in log t: it decreases in t."""
    with jax.enable_x64(True):
        of_times = jax.jit(jax.vmap(process.log_snr))
        low = np.full_like(log_snr, np.log(t_min))
        high = np.zeros_like(log_snr)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            too_clean = np.asarray(of_times(np.exp(middle))) > log_snr
            low = np.where(too_clean, middle, low)
            high = np.where(too_clean, high, middle)
    times = np.exp(0.5 * (low + high))
    times[0], times[-1] = 1.0, t_min
    return times
