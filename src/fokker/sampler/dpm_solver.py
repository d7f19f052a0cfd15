r"""DPM-Solver++(2M): a second-order multistep solver for few evaluations.

With `lambda = log(alpha / sigma)`, the step from t to s is exact for a constant denoised mean D,
which is extrapolated to the middle of the step from this step's and the last one's:

    h = lambda_s - lambda_t,   r = h / (lambda_t - lambda_last)
    D = D_t + r/2 (D_t - D_last)
    x <- sigma_s/sigma_t e^(-eta h) x + alpha_s (1 - e^(-(1 + eta) h)) D
         + sigma_s sqrt(1 - e^(-2 eta h)) z

Source: Lu et al., arXiv 2211.01095, algorithm 2 (eta = 0) and its stochastic form (eta = 1); the
noise in between as in Song et al., arXiv 2010.02502. Exact integration of the linear D would weight
the extrapolation otherwise, to the same order; on Gaussians of std 0.018 to 1 its error is about
twice that of the midpoint.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from pydantic import Field

from ..options import Options
from ..process import AbstractProcess
from ..types import Key, Scalar, Time
from .base import AbstractSampler
from .grid import Grid, SmallestTime, Spacing, Steps, time_grid
from .reverse import Frames, ReverseProcess


class DPMSolverOptions(Options):
    """Options of DPM-Solver++(2M)."""

    name: Literal["dpm-solver"] = "dpm-solver"
    steps: Steps = 40
    grid: Spacing = "log_snr"
    t_min: SmallestTime = 1e-5
    eta: float = Field(
        default=0.0, ge=0, le=1, description="0: probability flow, 1: reverse-time diffusion"
    )

    def build(self) -> "DPMSolver":
        """Return the sampler."""
        return DPMSolver(self.steps, self.grid, self.t_min, self.eta)


class History(NamedTuple):
    """Denoised mean of the last step and its `log(alpha / sigma)`."""

    denoised: Frames
    half_log_snr: Scalar


class DPMSolver(AbstractSampler):
    """Second order, one evaluation a step; the first step is first-order.

    The history is kept across the jump of a mixture of experts: the extrapolation carries the jump
    over at most once, with weight h/2, whereas a restart costs a first-order step.
    """

    steps: int
    grid: Grid
    t_min: float
    eta: float

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def times(
        self, process: AbstractProcess, edges: tuple[float, ...] = (0.0, 1.0)
    ) -> Float[np.ndarray, " points"]:
        """See `AbstractSampler`."""
        return time_grid(process, self.steps, self.grid, self.t_min)

    def init(self, x: Frames) -> History:
        """A last step infinitely long ago, whose extrapolation has weight 0."""
        return History(jnp.zeros_like(x), jnp.asarray(-jnp.inf, x.dtype))

    def step(
        self, reverse: ReverseProcess, x: Frames, carry: History, t: Time, s: Time, key: Key
    ) -> tuple[Frames, History]:
        """See `AbstractSampler`."""
        process, eta = reverse.process, self.eta
        half_log_snr = 0.5 * process.log_snr(t)
        h = 0.5 * process.log_snr(s) - half_log_snr
        r = h / (half_log_snr - carry.half_log_snr)
        denoised = reverse.denoised(x, t)
        extrapolated = denoised + 0.5 * r * (denoised - carry.denoised)
        alpha, sigma = process.level(s)
        x_s = sigma / process.sigma(t) * jnp.exp(-eta * h) * x
        x_s = x_s - alpha * jnp.expm1(-(1.0 + eta) * h) * extrapolated
        if eta > 0:
            x_s = x_s + sigma * jnp.sqrt(-jnp.expm1(-2.0 * eta * h)) * reverse.noise(key, x.shape)
        return x_s, History(denoised, half_log_snr)
