"""Distance of two beads; that of the ends of a chain."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from .base import KINDS, AbstractChoice, AbstractKind, CollectiveVariable, Context, finished
from .geometry import distance
from .graph import ends


class Distance(AbstractKind):
    """In the unit of the frames."""

    def compute(
        self, frames: np.ndarray, indices: tuple[int, ...], values: tuple[float, ...]
    ) -> np.ndarray:
        """Distance of the two beads."""
        i, j = indices
        return distance(frames, (i, j))

    def fault(self, n_indices: int, n_values: int) -> str | None:
        """Two indices, no values."""
        return None if n_indices == 2 else f"a distance takes 2 indices, got {n_indices}"

    def unit(self, length_unit: str) -> str:
        """The unit of lengths."""
        return length_unit


KINDS["distance"] = Distance()


class DistanceChoice(AbstractChoice):
    """The distance of two named beads."""

    kind: Literal["distance"] = "distance"
    beads: tuple[str, str] = Field(description="labels such as ALA2-CA")
    name: str = Field(default="", description="for plots; the beads if empty")
    limits: tuple[float, float] | None = Field(
        default=None, description="nm; what the training frames visit if not given"
    )

    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Find the beads."""
        i, j = (context.bead(bead) for bead in self.beads)
        name = self.name or " ".join(self.beads)
        return (finished(context, name, "distance", (i, j), limits=self.limits),)


class EndToEndChoice(AbstractChoice):
    """The distance of the ends of the longest bonded path."""

    kind: Literal["end-to-end"] = "end-to-end"
    limits: tuple[float, float] | None = Field(
        default=None, description="nm; what the training frames visit if not given"
    )

    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Find the ends."""
        pair = ends(context.neighbours)
        return (finished(context, "end to end", "distance", pair, limits=self.limits),)
