"""Training objectives: one file each, averaged over the batch and summed with their weights."""

from typing import Annotated

from pydantic import Field

from .base import AbstractObjective, Evaluation, Molecule, Noised
from .ctsm import TimeScoreMatching, TimeScoreOptions
from .diffclf import ClassificationOptions, DiffusiveClassification
from .dsm import DenoisingOptions, DenoisingScoreMatching
from .fitted import FittedFokkerPlanck, FittedOptions
from .fokker_planck import FokkerPlanck, FokkerPlanckOptions
from .force_matching import ForceMatching, ForceMatchingOptions
from .residual import exact_residual
from .rne import RadonNikodym, RadonNikodymOptions
from .torsion import TorsionOptions, TorsionScoreMatching

ObjectiveOptions = Annotated[
    DenoisingOptions
    | ClassificationOptions
    | FittedOptions
    | FokkerPlanckOptions
    | ForceMatchingOptions
    | RadonNikodymOptions
    | TimeScoreOptions
    | TorsionOptions,
    Field(discriminator="name"),
]

__all__ = [
    "AbstractObjective",
    "ClassificationOptions",
    "DenoisingOptions",
    "DenoisingScoreMatching",
    "DiffusiveClassification",
    "Evaluation",
    "FittedFokkerPlanck",
    "FittedOptions",
    "FokkerPlanck",
    "FokkerPlanckOptions",
    "ForceMatching",
    "ForceMatchingOptions",
    "Molecule",
    "Noised",
    "ObjectiveOptions",
    "RadonNikodym",
    "RadonNikodymOptions",
    "TimeScoreMatching",
    "TimeScoreOptions",
    "TorsionOptions",
    "TorsionScoreMatching",
    "exact_residual",
]
