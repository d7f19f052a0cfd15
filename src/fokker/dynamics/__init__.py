"""Molecular dynamics: integrators and the simulation loop."""

from typing import Annotated

from pydantic import Field

from .baoab import Langevin, LangevinOptions
from .base import AbstractIntegrator, Force, State
from .overdamped import Overdamped, OverdampedOptions
from .simulate import BlockResult, Predicate, SimulationState, is_sound, many_steps, simulate

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
    "Predicate",
    "SimulationState",
    "State",
    "is_sound",
    "many_steps",
    "simulate",
]
