"""Angle at the middle one of three beads, in [0, pi] rad."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from .base import KINDS, AbstractChoice, AbstractKind, CollectiveVariable, Context, finished
from .geometry import angle


class Angle(AbstractKind):
    """Between the two bonds that meet at the middle bead."""

    def compute(
        self, frames: np.ndarray, indices: tuple[int, ...], values: tuple[float, ...]
    ) -> np.ndarray:
        """Angle of the three beads."""
        i, j, k = indices
        return angle(frames, (i, j, k))

    def fault(self, n_indices: int, n_values: int) -> str | None:
        """Three indices, no values."""
        return None if n_indices == 3 else f"an angle takes 3 indices, got {n_indices}"

    def unit(self, length_unit: str) -> str:
        """Radians."""
        return "rad"


KINDS["angle"] = Angle()


class AngleChoice(AbstractChoice):
    """The angle of three named beads."""

    kind: Literal["angle"] = "angle"
    beads: tuple[str, str, str] = Field(description="labels such as ALA2-CA, the apex second")
    name: str = Field(default="", description="for plots; the beads if empty")
    limits: tuple[float, float] | None = Field(
        default=None, description="rad; what the training frames visit if not given"
    )

    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Find the beads."""
        indices = tuple(context.bead(bead) for bead in self.beads)
        name = self.name or " ".join(self.beads)
        return (finished(context, name, "angle", indices, limits=self.limits),)
