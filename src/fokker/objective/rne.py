"""Radon-Nikodym consistency: a step forward and the step back must agree with the densities."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from pydantic import Field

from ..options import Options
from ..types import Key, Positions, Scalar, Time
from .base import NO_MOLECULE, AbstractObjective, Evaluation, Molecule

RHO_MAX = 3.0
"""Beyond it the loss is linear, so that an untrained energy cannot overflow it."""


class RadonNikodymOptions(Options):
    """Options of the Radon-Nikodym term."""

    name: Literal["rne"] = "rne"
    weight: float = Field(default=1.0, ge=0)
    gap: float = Field(
        default=0.05, gt=0, lt=1, description="the earlier time of a pair is (1 - gap) t"
    )
    fraction: float = Field(
        default=1.0, gt=0, le=1, description="part of the batch that carries this term"
    )

    def build(self, molecule: Molecule = NO_MOLECULE) -> "RadonNikodym":
        """Return the objective."""
        return RadonNikodym(self.gap)


class RadonNikodym(AbstractObjective):
    r"""`2 (e^rho - 1 - rho) / (D delta)^2`, delta the change of log-SNR between two times s < t.

    With transition kernels p,

        rho = log q_t(x_t) + log p(x_s | x_t) - log q_s(x_s) - log p(x_t | x_s)

    (arXiv 2506.05668). The forward kernel is that of the process, `x_t = a x_s + b eta`. The
    backward kernel is Gaussian about Tweedie's mean `(x_t + b^2 score(x_t, t)) / a`, its score
    without gradient, with the variance `b^2 v_s / v_t`, `v = alpha^2 + sigma^2`, which is exact for
    data of unit variance. Then, with `kappa = a^2 v_s / v_t`,

        rho = energy(x_s, s) - energy(x_t, t)
              + D log a - D/2 log kappa + |eta|^2 / 2 - |eta + b score|^2 / (2 kappa)

    At the true energies rho is the log ratio of the Gaussian and the true backward kernel, whence
    `E[e^rho | x_t] = 1` exactly, however wrong the kernel, while `E[rho | x_t]` is minus their
    divergence. Two choices follow, without either of which the truth is no minimum:

    - The function is `e^rho - 1 - rho`, whose leading term is `rho^2 / 2`; the square itself would
      shift the change in time by the divergence, which adds up over the stiff modes of a molecule.
      Beyond rho = 3, which near times hardly reach, it goes on linearly.
    - The gradient goes through `energy(x_t, s) - energy(x_t, t)` alone, a function of x_t. Through
      energy(x_s, s) it would correlate with the random part of rho, `b^2 eta . Hessian eta / 2`,
      and flatten the energy.

    The pair must be a true transition. Both times of a noised frame share their noise, so x_s is
    drawn here from the bridge between the clean frame and x_t, which gives the pair the law of a
    forward step and leaves the energy and score at x_t to be shared with score matching.
    """

    gap: float = eqx.field(static=True)

    @property
    def times_per_frame(self) -> int:
        """One time; the earlier one is made here."""
        return 1

    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """See `AbstractObjective`."""
        noised, process = evaluation.noised, evaluation.process
        energy, degrees = evaluation.energy_model.energy, noised.degrees_of_freedom
        zeta = noised.project(jax.random.normal(key, noised.clean.shape, noised.clean.dtype))

        def pair(
            x_t: Positions, t: Time, noise: Positions, late: Scalar, score: Positions, sign: Scalar
        ) -> Scalar:
            s = (1.0 - self.gap) * t
            log_a = process.log_alpha(t) - process.log_alpha(s)
            a, sigma_s, sigma_t = jnp.exp(log_a), process.sigma(s), process.sigma(t)
            b = jnp.sqrt(sigma_t**2 - (a * sigma_s) ** 2)
            early_noise = (a * sigma_s * noise + b * sign * zeta) / sigma_t
            eta = (sigma_t * noise - a * sigma_s * early_noise) / b
            x_s = process.alpha(s) * noised.clean + sigma_s * early_noise
            v_s, v_t = (process.alpha(u) ** 2 + process.sigma(u) ** 2 for u in (s, t))
            kappa = a**2 * v_s / v_t
            kernels = degrees * (log_a - 0.5 * jnp.log(kappa)) + 0.5 * jnp.sum(eta**2)
            kernels -= jnp.sum((eta + b * noised.project(score)) ** 2) / (2.0 * kappa)
            change = energy(x_t, s, noised.features) - late
            rho = energy(x_s, s, noised.features) - late + kernels
            rho = jax.lax.stop_gradient(rho - change) + change
            scale = degrees * (process.log_snr(s) - process.log_snr(t))
            inner = jnp.minimum(rho, RHO_MAX)
            value = jnp.expm1(inner) - inner + (rho - inner) * jnp.expm1(RHO_MAX)
            return 2.0 * value / scale**2

        # Frames come as (+eps, times), (-eps, times) if antithetic; the bridge noise flips along.
        signs = jnp.where(jnp.sum(noised.noise * noised.noise[:1], axis=(1, 2)) < 0.0, -1.0, 1.0)
        scores, late = jax.lax.stop_gradient(evaluation.scores), evaluation.energies
        return jnp.mean(
            jax.vmap(pair)(noised.frames, noised.times, noised.noise, late, scores, signs)
        )
