"""Overdamped Langevin (Brownian) dynamics."""

from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from ..options import Options
from ..types import Positions, Scalar
from .base import AbstractIntegrator, Force, State

Scheme = Literal["leimkuhler-matthews", "euler-maruyama"]


class OverdampedOptions(Options):
    """Options of Brownian dynamics."""

    name: Literal["overdamped"] = "overdamped"
    dt: float = Field(default=1e-4, gt=0, description="time step, ps")
    friction: float = Field(default=10.0, gt=0, description="1/ps; mobility 1 / (mass * friction)")
    scheme: Scheme = Field(
        default="leimkuhler-matthews",
        description="noise averaged over two steps (second order), or Euler-Maruyama (first)",
    )

    def build(self, masses: Sequence[float], kT: float) -> "Overdamped":
        """Return the integrator for masses in amu and kT in kJ/mol."""
        return Overdamped(masses, kT, self.dt, self.friction, self.scheme)


class Overdamped(AbstractIntegrator):
    """`dx = mu F dt + sqrt(2 kT mu) dW` with mobility `mu = 1 / (m gamma)`.

    Euler-Maruyama moves by `dt mu F + sqrt(2 kT mu dt) xi_n`. The default puts `(xi_n + xi_n+1)/2`
    in place of `xi_n` (Leimkuhler and Matthews, arXiv 1203.5428), the limit of BAOAB at infinite
    friction: at the same cost the error of averages is of second order in dt, and a harmonic well
    is sampled exactly. The last noise is carried as the velocity `sqrt(kT / m) xi`, drawn and not
    integrated, so there is no kinetic energy to measure.
    """

    masses: Float[Array, " beads"] = eqx.field(converter=jnp.asarray)
    kT: float
    dt: float
    friction: float
    scheme: Scheme

    def advance(self, state: State, force: Force, noise: Positions) -> State:
        """One time step driven by standard normal noise."""
        x, previous = state
        v = self.thermal_speed * noise
        push = v if self.scheme == "euler-maruyama" else 0.5 * (previous + v)
        drift = self.dt / (self.friction * self.masses[:, None]) * force(x)
        return State(x + drift + (2.0 * self.dt / self.friction) ** 0.5 * push, v)

    def kinetic_energy(self, state: State, centred: bool) -> Scalar:
        """NaN: Brownian dynamics has no velocities."""
        return jnp.full((), jnp.nan)
