"""Integrators: `init(x, key) -> State`, `step(state, force, key) -> State`, one chain.

Positions in nm, velocities in nm/ps, masses in amu, time in ps, forces in kJ/mol/nm. An integrator
states `advance`, which takes the step's standard normal noise as an argument, so that the
simulation loop can draw it for all chains at once; `init` and `step` draw it from a key. A step
evaluates the force once, at its start, so nothing but positions and velocities is carried over.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float

from ..types import Key, Positions, Scalar

Force: TypeAlias = Callable[[Positions], Positions]


class State(NamedTuple):
    """What a chain carries: enough to continue it bit for bit."""

    x: Positions
    v: Positions


class AbstractIntegrator(eqx.Module):
    """A time step of one chain at temperature kT."""

    masses: eqx.AbstractVar[Float[Array, " beads"]]
    kT: eqx.AbstractVar[float]

    @abstractmethod
    def advance(self, state: State, force: Force, noise: Positions) -> State:
        """One time step driven by standard normal noise."""

    @abstractmethod
    def kinetic_energy(self, state: State, centred: bool) -> Scalar:
        """Kinetic energy in kJ/mol, without that of the centre of mass if centred.

        Its mean at equilibrium is `D kT / 2` with D the system's degrees of freedom. NaN if the
        integrator has no velocities to measure.
        """

    def start(self, x: Positions, noise: Positions) -> State:
        """Start at x with velocities `sqrt(kT / m) noise`, the Maxwell-Boltzmann distribution."""
        return State(x, self.thermal_speed * noise)

    def init(self, x: Positions, key: Key) -> State:
        """Start at x."""
        return self.start(x, random.normal(key, x.shape))

    def step(self, state: State, force: Force, key: Key) -> State:
        """One time step."""
        return self.advance(state, force, random.normal(key, state.x.shape))

    @property
    def thermal_speed(self) -> Float[Array, "beads 1"]:
        """Standard deviation `sqrt(kT / m)` of a velocity component, nm/ps."""
        return jnp.sqrt(self.kT / self.masses)[:, None]


def kinetic_energy(v: Positions, masses: Float[Array, " beads"], centred: bool) -> Scalar:
    """`1/2 sum m v^2`, relative to the centre of mass if centred."""
    if centred:
        v = v - masses @ v / masses.sum()
    return 0.5 * jnp.sum(masses[:, None] * v**2)
