"""Conditional time score matching: the energy's change in time, regressed on what noise tells."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from pydantic import Field

from ..options import Options
from ..types import Key, Positions, Scalar, Time
from .base import NO_MOLECULE, AbstractObjective, Evaluation, Molecule


class TimeScoreOptions(Options):
    """Options of conditional time score matching."""

    name: Literal["ctsm"] = "ctsm"
    weight: float = Field(default=1.0, ge=0)
    control_variate: bool = Field(
        default=True, description="take out the part of the target's noise that the score explains"
    )
    fraction: float = Field(
        default=1.0, gt=0, le=1, description="part of the batch that carries this term"
    )

    def build(self, molecule: Molecule = NO_MOLECULE) -> "TimeScoreMatching":
        """Return the objective."""
        return TimeScoreMatching(self.control_variate)


class TimeScoreMatching(AbstractObjective):
    r"""`lambda(t) (d/dt log q(x_t, t) - target)^2` (arXiv 2502.02300).

    With `log q(x_t | x_0) = -D log sigma - |x_t - alpha x_0|^2 / (2 sigma^2) + const`, its
    derivative by t at fixed x_t,

        (sigma' / sigma) (|eps|^2 - D) + (alpha' / sigma) <eps, x_0>,

    has the mean `d/dt log q(x_t)` given x_t. `lambda = 1 / (D (2 (sigma'/sigma)^2 +
    (alpha'/sigma)^2))` is the inverse of its variance given data of unit variance, so that the term
    is of order 1 at all times.

    Written in `x_t`, the target is `g^2 / (2 sigma^2) |eps|^2 + (f / sigma) <eps, x_t> - D sigma' /
    sigma`. Since `xi = eps + sigma score` has no mean given x_t, all that is linear in xi may be
    taken out. What is left,

        g^2 / (2 sigma^2) (|xi|^2 - D) + 1/2 g^2 |score|^2 - f <x_t, score> - D f,

    is the Fokker-Planck equation with the divergence read off the noise: no second derivative. The
    score here is without gradient. What remains of the noise, `|xi|^2`, has a variance of 2 D
    against a signal of order sigma^2, so the term says little about the smallest times.
    """

    control_variate: bool = eqx.field(static=True)

    @property
    def times_per_frame(self) -> int:
        """One time."""
        return 1

    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """See `AbstractObjective`."""
        noised, process = evaluation.noised, evaluation.process
        energy, degrees = evaluation.energy_model.energy, noised.degrees_of_freedom
        clean = noised.clean

        def term(x: Positions, t: Time, noise: Positions, score: Positions) -> Scalar:
            sigma, sigma_dot = jax.value_and_grad(process.sigma)(t)
            score = noised.project(score)
            f, alpha = process.drift(t), process.alpha(t)
            spread, pull = sigma_dot / sigma, f * alpha / sigma
            if self.control_variate:
                g2, xi = process.diffusion_squared(t), noise + sigma * score
                target = 0.5 * g2 * ((jnp.sum(xi**2) - degrees) / sigma**2 + jnp.sum(score**2))
                target -= f * (jnp.sum(x * score) + degrees)
            else:
                target = spread * (jnp.sum(noise**2) - degrees) + pull * jnp.sum(noise * clean)
            slope = jax.jvp(lambda s: energy(x, s, noised.features), (t,), (jnp.ones_like(t),))[1]
            return (slope + target) ** 2 / (degrees * (2.0 * spread**2 + pull**2))

        scores = jax.lax.stop_gradient(evaluation.scores)
        return jnp.mean(jax.vmap(term)(noised.frames, noised.times, noised.noise, scores))
