"""Probability flow: the deterministic reference, by an adaptive ODE solver."""

from functools import partial
from typing import Literal, cast

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from pydantic import Field

from ..model import AbstractScore
from ..options import Options
from ..process import AbstractProcess
from ..types import Key, Positions, Time
from .base import AbstractSampler
from .grid import SmallestTime
from .reverse import Frames, ReverseProcess


class ProbabilityFlowOptions(Options):
    """Options of the probability-flow sampler."""

    name: Literal["probability-flow"] = "probability-flow"
    t_min: SmallestTime = 1e-5
    rtol: float = Field(default=1e-5, gt=0, description="relative error of one step")
    atol: float = Field(default=1e-6, gt=0, description="error of one step, data scale")
    max_steps: int = Field(
        default=4096, ge=1, le=1_000_000, description="steps between two edges of experts"
    )

    def build(self) -> "ProbabilityFlow":
        """Return the sampler."""
        return ProbabilityFlow(self.t_min, self.rtol, self.atol, self.max_steps)


class ProbabilityFlow(AbstractSampler):
    """`dx/dt = f x - g^2 score / 2` by Tsitouras' 5(4) pair, each frame with its own step size.

    Source: Song et al., arXiv 2011.13456, equation 13. The independent variable is log t, in which
    sigma(t) is smooth down to the smallest time. The score of a mixture of experts jumps at its
    edges, so the grid is made of them, and each interval is solved with its own expert at both
    ends. A frame whose solution fails is NaN.
    """

    t_min: float
    rtol: float
    atol: float
    max_steps: int

    @property
    def evaluations(self) -> None:
        """Not known beforehand."""

    def times(
        self, process: AbstractProcess, edges: tuple[float, ...] = (0.0, 1.0)
    ) -> Float[np.ndarray, " points"]:
        """See `AbstractSampler`."""
        inner = [edge for edge in sorted(edges, reverse=True) if self.t_min < edge < 1.0]
        return np.array([1.0, *inner, self.t_min])

    def init(self, x: Frames) -> None:
        """Nothing is remembered."""

    def step(
        self, reverse: ReverseProcess, x: Frames, carry: None, t: Time, s: Time, key: Key
    ) -> tuple[Frames, None]:
        """See `AbstractSampler`."""
        inner = jnp.asarray(reverse.edges[1:-1])
        expert = jnp.searchsorted(inner, 0.5 * (t + s), side="right")
        flows = [partial(self._flow, reverse, model) for model in reverse.experts]
        return jax.lax.switch(expert, flows, x, t, s), None

    def _flow(
        self, reverse: ReverseProcess, model: AbstractScore, x: Frames, t: Time, s: Time
    ) -> Frames:
        """Solve from t to s with one expert."""

        def velocity(log_time, frame, args):
            time = jnp.exp(log_time)
            f, g2 = reverse.process.drift(time), reverse.process.diffusion_squared(time)
            return time * (f * frame - 0.5 * g2 * model.score(frame, time, reverse.features))

        def flow(frame: Positions) -> Positions:
            solution = diffrax.diffeqsolve(
                diffrax.ODETerm(velocity),
                diffrax.Tsit5(),
                jnp.log(t),
                jnp.log(s),
                None,
                frame,
                stepsize_controller=diffrax.PIDController(self.rtol, self.atol),
                max_steps=self.max_steps,
                throw=False,
            )
            succeeded = solution.result == diffrax.RESULTS.successful
            return jnp.where(succeeded, cast(Frames, solution.ys)[0], jnp.nan)

        return jax.vmap(flow)(x)
