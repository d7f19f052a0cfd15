"""Variance-exploding process."""

from math import log
from typing import Literal

import jax.numpy as jnp
from pydantic import Field

from ..options import Options
from ..types import Scalar, Time
from .base import AbstractProcess


class VarianceExplodingOptions(Options):
    """Options of the variance-exploding process."""

    name: Literal["ve"] = "ve"
    sigma_min: float = Field(default=0.01, gt=0, description="units of the data scale")
    sigma_max: float = Field(default=20.0, gt=0, description="units of the data scale")

    def build(self) -> "VarianceExploding":
        """Return the process."""
        return VarianceExploding(self.sigma_min, self.sigma_max)


class VarianceExploding(AbstractProcess):
    """`alpha = 1`, `sigma^2 = sigma_min^2 ((sigma_max / sigma_min)^(2 t) - 1)`.

    Source: Song et al., arXiv 2011.13456, equation 9, with the variance at t = 0 taken off so that
    the process starts at the data.
    """

    sigma_min: float
    sigma_max: float

    def log_alpha(self, t: Time) -> Scalar:
        """Zero at every t."""
        return jnp.zeros_like(t)

    def sigma(self, t: Time) -> Scalar:
        """Geometric in t once it is above sigma_min."""
        ratio = log(self.sigma_max / self.sigma_min)
        return self.sigma_min * jnp.sqrt(jnp.expm1(2.0 * ratio * t))
