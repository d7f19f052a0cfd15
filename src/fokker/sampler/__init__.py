"""Reverse-time solvers: independent samples of the clean density from a score model."""

from typing import Annotated

from pydantic import Field

from .annealed import Annealed, AnnealedOptions, Island, Schedule
from .base import AbstractSampler, solve
from .dpm_solver import DPMSolver, DPMSolverOptions
from .euler_maruyama import EulerMaruyama, EulerMaruyamaOptions
from .generate import generate, generate_weighted
from .path import AbstractPath, EnergyPath
from .probability_flow import ProbabilityFlow, ProbabilityFlowOptions
from .reverse import ReverseProcess
from .tilt import HarmonicBias, TiltedPath

SamplerOptions = Annotated[
    DPMSolverOptions | AnnealedOptions | EulerMaruyamaOptions | ProbabilityFlowOptions,
    Field(discriminator="name"),
]

__all__ = [
    "AbstractPath",
    "AbstractSampler",
    "Annealed",
    "AnnealedOptions",
    "DPMSolver",
    "DPMSolverOptions",
    "EnergyPath",
    "EulerMaruyama",
    "EulerMaruyamaOptions",
    "HarmonicBias",
    "Island",
    "ProbabilityFlow",
    "ProbabilityFlowOptions",
    "ReverseProcess",
    "SamplerOptions",
    "Schedule",
    "TiltedPath",
    "generate",
    "generate_weighted",
    "solve",
]
