"""Noise processes: each states `log_alpha(t)` and `sigma(t)`; drift and diffusion follow."""

from typing import Annotated

from pydantic import Field

from .base import AbstractProcess
from .cosine import Cosine, CosineOptions
from .ve import VarianceExploding, VarianceExplodingOptions
from .vp import VariancePreserving, VariancePreservingOptions

ProcessOptions = Annotated[
    VariancePreservingOptions | VarianceExplodingOptions | CosineOptions,
    Field(discriminator="name"),
]

__all__ = [
    "AbstractProcess",
    "Cosine",
    "CosineOptions",
    "ProcessOptions",
    "VarianceExploding",
    "VarianceExplodingOptions",
    "VariancePreserving",
    "VariancePreservingOptions",
]
