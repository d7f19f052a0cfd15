"""Cosine process."""

from math import atan, exp
from typing import Literal

import jax.numpy as jnp
from pydantic import Field

from ..options import Options
from ..types import Scalar, Time
from .base import AbstractProcess


class CosineOptions(Options):
    """Options of the cosine process."""

    name: Literal["cosine"] = "cosine"
    final_log_snr: float = Field(
        default=-10.0, lt=0, description="log-SNR at t = 1; the pure cosine would end at -infinity"
    )

    def build(self) -> "Cosine":
        """Return the process."""
        return Cosine(atan(exp(-0.5 * self.final_log_snr)))


class Cosine(AbstractProcess):
    """`alpha = cos(theta t)`, `sigma = sin(theta t)`.

    Source: Nichol and Dhariwal, arXiv 2102.09672, with theta a little below pi/2 in place of their
    clipped beta, so that the drift stays finite at t = 1.
    """

    theta: float

    def log_alpha(self, t: Time) -> Scalar:
        """`log cos(theta t)`."""
        return jnp.log(jnp.cos(self.theta * t))

    def sigma(self, t: Time) -> Scalar:
        """`sin(theta t)`."""
        return jnp.sin(self.theta * t)
