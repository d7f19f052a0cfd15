"""Configurations: what a run can be told, read from presets, TOML files and overrides."""

from .run import (
    EMBEDDED,
    BiasOptions,
    Config,
    ExpertOptions,
    MoleculeOptions,
    MoleculesOptions,
    SamplingOptions,
    SimulationOptions,
    ToyOptions,
)
from .simulated import AbstractSimulatingOptions, RefinementOptions, ReweightingOptions
from .toml import changed, parse, read_toml, to_toml
from .training import T_MIN, TrainingOptions

__all__ = [
    "EMBEDDED",
    "T_MIN",
    "AbstractSimulatingOptions",
    "BiasOptions",
    "Config",
    "ExpertOptions",
    "MoleculeOptions",
    "MoleculesOptions",
    "RefinementOptions",
    "ReweightingOptions",
    "SamplingOptions",
    "SimulationOptions",
    "ToyOptions",
    "TrainingOptions",
    "changed",
    "parse",
    "read_toml",
    "to_toml",
]
