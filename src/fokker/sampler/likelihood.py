r"""Log density of frames by the probability flow, without the energy's normalisation.

Along `dx/dt = v = f x - g^2 score / 2` the log density changes by minus the divergence of v, so

    log p(x) = log prior(x_1) + integral from t_min to 1 of (D f - g^2/2 div score) dt.

Source: Song et al., arXiv 2011.13456, equation 39. The divergence is exact, by one directional
derivative for each coordinate, so this is for small molecules.
"""

import itertools
from functools import partial
from typing import cast

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..model import AbstractScore
from ..types import Positions, Scalar
from .reverse import Frames, ReverseProcess


def flow_log_density(
    reverse: ReverseProcess, x: Frames, t_min: float, *, rtol: float = 1e-4, atol: float = 1e-5
) -> Float[Array, " frames"]:
    """Log density of frames at the smallest time, in the space they live in.

    Parameters
    ----------
    reverse
        Model and process.
    x
        Frames, scaled and centred.
    t_min
        Time that the frames are at.
    rtol, atol
        Errors of one step.

    Returns
    -------
    Array
        NaN where the solution fails.
    """
    edges = [edge for edge in reverse.edges[1:-1] if edge > t_min]
    gained, last = jnp.zeros(len(x)), x
    for low, high in itertools.pairwise([t_min, *edges, 1.0]):
        expert = reverse.experts[sum(0.5 * (low + high) >= edge for edge in reverse.edges[1:-1])]
        climb = partial(_climb, reverse, expert, low, high, (rtol, atol))
        last, more = jax.vmap(climb)(last)
        gained = gained + more
    return reverse.prior_log_density(last) + gained


def _climb(
    reverse: ReverseProcess,
    expert: AbstractScore,
    low: float,
    high: float,
    tolerances: tuple[float, float],
    frame: Positions,
) -> tuple[Positions, Scalar]:
    """Follow the flow of one expert up in time, and the log density that is lost on the way."""
    process, degrees = reverse.process, reverse.degrees_of_freedom(frame[None])

    def change(log_time, state, args):
        x, _ = state
        t = jnp.exp(log_time)
        f, g2 = process.drift(t), process.diffusion_squared(t)

        def score(flat: Float[Array, " coordinates"]) -> Float[Array, " coordinates"]:
            return expert.score(flat.reshape(x.shape), t, reverse.features).ravel()

        flat = x.ravel()
        divergence = jnp.trace(jax.jacfwd(score)(flat))
        velocity = f * x - 0.5 * g2 * score(flat).reshape(x.shape)
        return t * velocity, t * (degrees * f - 0.5 * g2 * divergence)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(change),
        diffrax.Tsit5(),
        jnp.log(low),
        jnp.log(high),
        None,
        (frame, jnp.zeros(())),
        stepsize_controller=diffrax.PIDController(*tolerances),
        max_steps=4096,
        throw=False,
    )
    ends = cast(tuple[Array, Array], solution.ys)
    good = solution.result == diffrax.RESULTS.successful
    x, gained = (jnp.where(good, end[0], jnp.nan) for end in ends)
    return x, gained
