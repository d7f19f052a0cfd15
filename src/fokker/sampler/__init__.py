"""Reverse-time solvers: independent samples of the clean density from a score model."""

from typing import Annotated

from pydantic import Field

from .base import AbstractSampler, solve
from .dpm_solver import DPMSolver, DPMSolverOptions
from .euler_maruyama import EulerMaruyama, EulerMaruyamaOptions
from .generate import generate
from .probability_flow import ProbabilityFlow, ProbabilityFlowOptions
from .reverse import ReverseProcess

SamplerOptions = Annotated[
    DPMSolverOptions | EulerMaruyamaOptions | ProbabilityFlowOptions,
    Field(discriminator="name"),
]

__all__ = [
    "AbstractSampler",
    "DPMSolver",
    "DPMSolverOptions",
    "EulerMaruyama",
    "EulerMaruyamaOptions",
    "ProbabilityFlow",
    "ProbabilityFlowOptions",
    "ReverseProcess",
    "SamplerOptions",
    "generate",
    "solve",
]
