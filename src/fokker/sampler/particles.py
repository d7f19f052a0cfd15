r"""Particles with weights along a path of energies: sequential Monte Carlo.

A step from time t to s draws

    y ~ N((x + v_F score(x, t)) / r, v_B),      r = alpha_t / alpha_s,
    v_F = sigma_t^2 - r^2 sigma_s^2,            v_B = v_F (1 - v_F h) / r^2,

whose mean is exact for the score of the noised density (Tweedie's formula), as its covariance is
with the Hessian of the energy in the place of h. One number h for all directions, its mean
`E |score|^2 / D`, leaves the weights uneven, by a variance in proportion to the square of the step.
The weight gains the exact noising kernel over this one,

    log w += [-E(y, s) + log N(x; r y, v_F)] - [-E(x, t) + log N(y; mean, v_B)],

so weighted particles have the density `exp(-E(., t))` at every t of the way, and their mean weight
is its normalisation. Where weights have become uneven, particles are drawn anew in proportion to
them.

Sources: annealed importance sampling (Neal 2001), sequential Monte Carlo samplers (Del Moral et al.
2006) and the same kernels of a diffusion (arXiv 2506.05668); the variance: here.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..types import Key, Scalar, Time
from .path import AbstractPath, Energies
from .reverse import Frames


class Particles(NamedTuple):
    """Weighted frames at one time.

    Attributes
    ----------
    x, energy, score
        Frames, and the path's energy and score there.
    log_weight
        Since particles were last drawn anew.
    ancestor
        Which of the frames at t = 1 each descends from.
    log_normalisation
        What the weights before that have come to: log of the product of their means.
    """

    x: Frames
    energy: Energies
    score: Frames
    log_weight: Energies
    ancestor: Int[Array, " frames"]
    log_normalisation: Scalar


def at_prior(path: AbstractPath, key: Key, shape: tuple[int, int, int]) -> Particles:
    """Frames of noise, weighted to the density at t = 1."""
    x = path.reverse.prior(key, shape)
    energy, score = path.energy_and_score(x, jnp.asarray(1.0))
    log_weight = -energy - path.reverse.prior_log_density(x)
    return Particles(x, energy, score, log_weight, jnp.arange(len(x)), jnp.zeros(()))


def shares(particles: Particles) -> Energies:
    """Weights that sum to 1."""
    return jax.nn.softmax(particles.log_weight)


def mean_curvature(path: AbstractPath, particles: Particles) -> Scalar:
    """Mean of the energy's second derivatives, `E |score|^2 / D` by parts."""
    squares = jnp.sum(particles.score**2, axis=(1, 2))
    return shares(particles) @ squares / path.reverse.degrees_of_freedom(particles.x)


def advance(
    path: AbstractPath, particles: Particles, t: Time, s: Time, curvature: Scalar, key: Key
) -> tuple[Particles, Energies]:
    """Take particles from time t down to s; return them and what their log-weights gained.

    A particle that is not finite has weight zero from there on.
    """
    process, (x, energy, score) = path.reverse.process, particles[:3]
    (alpha_t, sigma_t), alpha_s = process.level(t), process.alpha(s)
    r = alpha_t / alpha_s
    # of the log-SNR, not of the difference of variances, which cancels where noise is small
    v_f = -(sigma_t**2) * jnp.expm1(process.log_snr(t) - process.log_snr(s))
    shrink = 1.0 - jnp.clip(v_f * curvature, 0.0, v_f / sigma_t**2)
    noise = path.reverse.noise(key, x.shape)
    forth = v_f * score + jnp.sqrt(v_f * shrink) * noise
    y = (x + forth) / r
    energy_s, score_s = path.energy_and_score(y, s)
    forward = -0.5 * _squared(forth) / v_f
    backward = -0.5 * _squared(noise)
    volume = 0.5 * path.reverse.degrees_of_freedom(x) * (jnp.log(shrink) - 2.0 * jnp.log(r))
    gain = forward - energy_s - backward + energy + volume
    gain = jnp.where(jnp.isfinite(gain), gain, -jnp.inf)
    after = particles._replace(
        x=y, energy=energy_s, score=score_s, log_weight=particles.log_weight + gain
    )
    return after, gain


def effective_share(particles: Particles) -> Scalar:
    """`(sum w)^2 / sum w^2` over the number of particles."""
    return 1.0 / (jnp.sum(shares(particles) ** 2) * len(particles.x))


def resample(particles: Particles, least: float, key: Key) -> Particles:
    """Draw particles anew in proportion to their weights if these are worth less than a share.

    Systematic: one random number for all, so particle i has `n w_i` copies, rounded up or down.
    """

    def drawn() -> Particles:
        n = len(particles.x)
        position = (jnp.arange(n) + jax.random.uniform(key)) / n
        cumulative = jnp.cumsum(shares(particles))
        chosen = jnp.searchsorted(cumulative / cumulative[-1], position)
        x, energy, score, _, ancestor = (a[chosen] for a in particles[:5])
        return Particles(x, energy, score, jnp.zeros(n), ancestor, log_normalisation(particles))

    return jax.lax.cond(effective_share(particles) < least, drawn, lambda: particles)


def log_normalisation(particles: Particles) -> Scalar:
    """Log of the integral of `exp(-E)` at the particles' time, estimated."""
    mean = jax.nn.logsumexp(particles.log_weight) - jnp.log(len(particles.x))
    return particles.log_normalisation + mean


def _squared(x: Float[Array, "frames beads dim"]) -> Energies:
    return jnp.sum(x**2, axis=(1, 2))
