"""Time grids of the samplers, on the host in double precision."""

from typing import Annotated, Literal, TypeAlias

import jax
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
    """Invert the log-SNR, which decreases in t, by bisection in log t."""
    with jax.enable_x64(True):
        log_snr = jax.jit(jax.vmap(process.log_snr))
        first, last = np.asarray(log_snr(np.array([1.0, t_min])))
        targets = np.linspace(first, last, steps + 1)
        low = np.full_like(targets, np.log(t_min))
        high = np.zeros_like(targets)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            too_clean = np.asarray(log_snr(np.exp(middle))) > targets
            low = np.where(too_clean, middle, low)
            high = np.where(too_clean, high, middle)
    times = np.exp(0.5 * (low + high))
    times[0], times[-1] = 1.0, t_min
    return times
