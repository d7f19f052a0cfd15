"""Variance-preserving process."""

from typing import Literal

import jax.numpy as jnp
from pydantic import Field

from ..options import Options
from ..types import Scalar, Time
from .base import AbstractProcess


class VariancePreservingOptions(Options):
    """Options of the variance-preserving process."""

    name: Literal["vp"] = "vp"
    beta_min: float = Field(default=0.1, gt=0, description="beta(0), per unit diffusion time")
    beta_max: float = Field(default=20.0, gt=0, description="beta(1), per unit diffusion time")

    def build(self) -> "VariancePreserving":
        """Return the process."""
        return VariancePreserving(self.beta_min, self.beta_max)


class VariancePreserving(AbstractProcess):
    """`beta(t) = beta_min + t (beta_max - beta_min)`, `sigma^2 = 1 - alpha^2`.

    Source: Song et al., arXiv 2011.13456, equation 11.
    """

    beta_min: float
    beta_max: float

    def log_alpha(self, t: Time) -> Scalar:
        """Minus half the integral of beta from 0 to t."""
        return -0.5 * t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def sigma(self, t: Time) -> Scalar:
        """`sqrt(1 - alpha^2)`, by expm1 so that it keeps its digits near t = 0."""
        return jnp.sqrt(-jnp.expm1(2.0 * self.log_alpha(t)))
