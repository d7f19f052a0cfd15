"""Score and energy models over noise processes."""

from .base import AbstractEnergy, AbstractScore
from .build import ExpertDesign, build_model, edges_of
from .conservative import EnergyModel
from .direct import FieldModel, ScoreModel
from .mixture import Mixture

__all__ = [
    "AbstractEnergy",
    "AbstractScore",
    "EnergyModel",
    "ExpertDesign",
    "FieldModel",
    "Mixture",
    "ScoreModel",
    "build_model",
    "edges_of",
]
