"""Analytic targets: potentials with forces, distributions with exact samples."""

from .base import AbstractAnalyticTarget, AbstractDistribution, AbstractPotential
from .checkerboard import Checkerboard
from .double_well import DoubleWell
from .gaussian import Gaussian
from .gaussian_mixture import GaussianMixture, bimodal_1d, bimodal_2d
from .harmonic import Harmonic
from .mueller_brown import MuellerBrown

__all__ = [
    "AbstractAnalyticTarget",
    "AbstractDistribution",
    "AbstractPotential",
    "Checkerboard",
    "DoubleWell",
    "Gaussian",
    "GaussianMixture",
    "Harmonic",
    "MuellerBrown",
    "bimodal_1d",
    "bimodal_2d",
]
