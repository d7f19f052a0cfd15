"""Molecular dynamics: integrators and the simulation loop."""

from typing import Annotated

from pydantic import Field

from .baoab import Langevin, LangevinOptions
from .base import AbstractIntegrator, Force, State
from .overdamped import Overdamped, OverdampedOptions
from .simulate import BlockResult, SimulationState, simulate

IntegratorOptions = Annotated[LangevinOptions | OverdampedOptions, Field(discriminator="name")]

__all__ = [
    "AbstractIntegrator",
    "BlockResult",
    "Force",
    "IntegratorOptions",
    "Langevin",
    "LangevinOptions",
    "Overdamped",
    "OverdampedOptions",
    "SimulationState",
    "State",
    "simulate",
]
