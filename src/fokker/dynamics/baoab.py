"""Underdamped Langevin dynamics."""

from collections.abc import Sequence
from math import exp, expm1, sqrt
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from ..options import Options
from ..types import Positions, Scalar
from .base import AbstractIntegrator, Force, State, kinetic_energy


class LangevinOptions(Options):
    """Options of underdamped Langevin dynamics."""

    name: Literal["langevin"] = "langevin"
    dt: float = Field(default=0.002, gt=0, description="time step, ps")
    friction: float = Field(default=1.0, ge=0, description="1/ps; zero conserves the energy")

    def build(self, masses: Sequence[float], kT: float) -> "Langevin":
        """Return the integrator for masses in amu and kT in kJ/mol."""
        return Langevin(masses, kT, self.dt, self.friction)


class Langevin(AbstractIntegrator):
    r"""`dx = v dt`, `m dv = F dt - gamma m v dt + sqrt(2 gamma m kT) dW`, BAOAB splitting.

    Source: Leimkuhler and Matthews, arXiv 1203.5428. B is half a kick, A half a drift, O the exact
    Ornstein-Uhlenbeck step. The two half kicks that meet at a step boundary are merged, and the
    chain is observed between them:

        v <- v + dt F(x) / m
        x <- x + dt/2 v
        v <- c v + sqrt((1 - c^2) kT / m) xi,   c = exp(-gamma dt)
        x <- x + dt/2 v

    The positions are those of BAOAB at whole steps. The velocities are half a kick away from them,
    which is where the kinetic energy is right: in a harmonic well both `<x^2>` and `<m v^2>` are
    exact for every stable time step.
    """

    masses: Float[Array, " beads"] = eqx.field(converter=jnp.asarray)
    kT: float
    dt: float
    friction: float

    def advance(self, state: State, force: Force, noise: Positions) -> State:
        """One time step driven by standard normal noise."""
        decay = exp(-self.friction * self.dt)
        kick = sqrt(-expm1(-2.0 * self.friction * self.dt))
        x, v = state
        v = v + self.dt * force(x) / self.masses[:, None]
        x = x + 0.5 * self.dt * v
        v = decay * v + kick * self.thermal_speed * noise
        x = x + 0.5 * self.dt * v
        return State(x, v)

    def kinetic_energy(self, state: State, centred: bool) -> Scalar:
        """Kinetic energy between the two half kicks, kJ/mol."""
        return kinetic_energy(state.v, self.masses, centred)
