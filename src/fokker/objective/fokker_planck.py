"""Fokker-Planck regularisation: the energy must change in time as diffusion says."""

from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from ..options import Options
from ..process import AbstractProcess
from ..types import Key, Scalar, Time
from .base import NO_MOLECULE, AbstractObjective, Evaluation, Molecule
from .residual import TimeDerivative, exact_residual, strong_residuals, weak_residuals

Form: TypeAlias = Literal["strong", "weak"]
Probes: TypeAlias = Literal["hutchinson", "exact"]
Distribution: TypeAlias = Literal["rademacher", "gaussian"]
TimeWeight: TypeAlias = Literal["none", "log-snr", "log-snr-measure"]


class FokkerPlanckOptions(Options):
    """Options of the Fokker-Planck residual."""

    name: Literal["fokker-planck"] = "fokker-planck"
    weight: float = Field(default=5e-4, ge=0)
    form: Form = Field(
        default="strong",
        description="strong: forward-mode derivatives of the score; weak: the paper's theorem 1",
    )
    probes: Probes = Field(
        default="hutchinson", description="strong form; exact costs D derivatives and has no noise"
    )
    distribution: Distribution = Field(default="rademacher", description="of strong-form probes")
    sigma_v: float = Field(
        default=1e-4, gt=0, description="weak-form perturbation, units of the data scale"
    )
    time_derivative: TimeDerivative = Field(
        default="exact",
        description="weak form; exact: forward mode; finite: a central difference; three-point: "
        "the paper's difference, of steps of 5e-4 ahead and 1e-3 back",
    )
    time_weight: TimeWeight = Field(
        default="none",
        description="lambda(t): none is 1 (paper); with r = sigma^2 / g^2 = |dt / d log-SNR|, "
        "log-snr is r^2, log-snr-measure is r",
    )
    fraction: float = Field(
        default=1.0, gt=0, le=1, description="part of the batch that carries this term"
    )
    t_max: float | None = Field(
        default=None, gt=0, le=1, description="no weight at diffusion times above it"
    )

    def build(self, molecule: Molecule = NO_MOLECULE) -> "FokkerPlanck":
        """Return the objective."""
        return FokkerPlanck(
            self.form,
            self.probes,
            self.distribution,
            self.sigma_v,
            self.time_derivative,
            self.time_weight,
            self.t_max,
        )


class FokkerPlanck(AbstractObjective):
    r"""`lambda(t) D^-2 R_1 R_2`, with R from two independent probes.

    The product of independent estimates is unbiased for `R^2` where the square of one is not. It
    can be negative, and is never clamped: that would bring the bias back. With exact probes it is
    `R^2` itself. See `exact_residual` for R, arXiv 2506.17139 for the loss.

    `lambda(t)` is 1 by default, the paper's choice on the interval of one expert. A network that
    sees the log-SNR has `d/dt` of order 1/t, so that the smallest times outweigh all others; per
    unit of log-SNR, `R dt / d log-SNR = R sigma^2 / g^2` stays of order 1. Weight `log-snr` squares
    that; `log-snr-measure` makes the integral over uniform t one over the log-SNR, the same for
    every schedule.

    The model is taken at the first time of a noised frame.
    """

    form: Form = eqx.field(static=True)
    probes: Probes = eqx.field(static=True)
    distribution: Distribution = eqx.field(static=True)
    sigma_v: float = eqx.field(static=True)
    time_derivative: TimeDerivative = eqx.field(static=True)
    time_weight: TimeWeight = eqx.field(static=True)
    t_max: float | None = eqx.field(static=True)

    @property
    def times_per_frame(self) -> int:
        """One time."""
        return 1

    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """See `AbstractObjective`."""
        noised = evaluation.noised
        first, second = self._residuals(evaluation, key)
        t_weight = self._lambda(evaluation.process, noised.times[0])
        return t_weight * first * second / noised.degrees_of_freedom**2

    def _residuals(self, evaluation: Evaluation, key: Key) -> Float[Array, " 2"]:
        """Two estimates of R, independent unless they are exact."""
        noised = evaluation.noised
        x, t = noised.frames[0], noised.times[0]
        frame = evaluation.energy_model, evaluation.process, x, t, noised.features
        centred = noised.centred
        shape = (2, *x.shape)
        if self.form == "weak":
            return weak_residuals(
                *frame,
                jax.random.normal(key, shape, x.dtype),
                centred=centred,
                sigma_v=self.sigma_v,
                time_derivative=self.time_derivative,
            )
        if self.probes == "exact":
            residual = exact_residual(*frame, centred=centred)
            return jnp.stack([residual, residual])
        draw = jax.random.normal if self.distribution == "gaussian" else jax.random.rademacher
        return strong_residuals(*frame, draw(key, shape, x.dtype), centred=centred)

    def _lambda(self, process: AbstractProcess, t: Time) -> Scalar:
        rate = process.sigma(t) ** 2 / process.diffusion_squared(t)
        powers = {"none": 0, "log-snr-measure": 1, "log-snr": 2}
        weight = rate ** powers[self.time_weight]
        return weight if self.t_max is None else jnp.where(t <= self.t_max, weight, 0.0)
