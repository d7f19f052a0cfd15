"""Training objectives: one file each, averaged over the batch and summed with their weights."""

from typing import Annotated

from pydantic import Field

from .base import AbstractObjective, Evaluation, Molecule, Noised
from .diffclf import ClassificationOptions, DiffusiveClassification
from .dsm import DenoisingOptions, DenoisingScoreMatching
from .fokker_planck import FokkerPlanck, FokkerPlanckOptions
from .residual import exact_residual
from .torsion import TorsionOptions, TorsionScoreMatching

ObjectiveOptions = Annotated[
    DenoisingOptions | ClassificationOptions | FokkerPlanckOptions | TorsionOptions,
    Field(discriminator="name"),
]

__all__ = [
    "AbstractObjective",
    "ClassificationOptions",
    "DenoisingOptions",
    "DenoisingScoreMatching",
    "DiffusiveClassification",
    "Evaluation",
    "FokkerPlanck",
    "FokkerPlanckOptions",
    "Molecule",
    "Noised",
    "ObjectiveOptions",
    "TorsionOptions",
    "TorsionScoreMatching",
    "exact_residual",
]
