"""Euler-Maruyama: the plain reference."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..options import Options
from ..process import AbstractProcess
from ..types import Key, Time
from .base import AbstractSampler
from .grid import Grid, SmallestTime, Spacing, Steps, time_grid
from .reverse import Frames, ReverseProcess


class EulerMaruyamaOptions(Options):
    """Options of the Euler-Maruyama sampler."""

    name: Literal["euler-maruyama"] = "euler-maruyama"
    steps: Steps = 1000
    grid: Spacing = "log_snr"
    t_min: SmallestTime = 1e-5

    def build(self) -> "EulerMaruyama":
        """Return the sampler."""
        return EulerMaruyama(self.steps, self.grid, self.t_min)


class EulerMaruyama(AbstractSampler):
    """`x <- x - (t - s)(f x - g^2 score) + g sqrt(t - s) z`, weak order 1.

    Source: Song et al., arXiv 2011.13456, equation 6 and appendix D.
    """

    steps: int
    grid: Grid
    t_min: float

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def times(
        self, process: AbstractProcess, edges: tuple[float, ...] = (0.0, 1.0)
    ) -> Float[np.ndarray, " points"]:
        """See `AbstractSampler`."""
        return time_grid(process, self.steps, self.grid, self.t_min)

    def init(self, x: Frames) -> None:
        """Nothing is remembered."""

    def step(
        self, reverse: ReverseProcess, x: Frames, carry: None, t: Time, s: Time, key: Key
    ) -> tuple[Frames, None]:
        """See `AbstractSampler`."""
        f, g2 = reverse.process.drift(t), reverse.process.diffusion_squared(t)
        drift = f * x - g2 * reverse.score(x, t)
        noise = reverse.noise(key, x.shape)
        return x - (t - s) * drift + jnp.sqrt(g2 * (t - s)) * noise, None
