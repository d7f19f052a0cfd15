"""Dihedral angle of four beads, in [-pi, pi] rad."""

from __future__ import annotations

from math import pi
from typing import Literal

import numpy as np
from pydantic import Field

from .base import KINDS, AbstractChoice, AbstractKind, CollectiveVariable, Context, finished
from .geometry import dihedral


class Dihedral(AbstractKind):
    """IUPAC sign."""

    spatial = True
    periodic = True

    def compute(
        self, frames: np.ndarray, indices: tuple[int, ...], values: tuple[float, ...]
    ) -> np.ndarray:
        """Angle of the four beads."""
        i, j, k, m = indices
        return dihedral(frames, (i, j, k, m))

    def fault(self, n_indices: int, n_values: int) -> str | None:
        """Four indices, no values."""
        return None if n_indices == 4 else f"a dihedral takes 4 indices, got {n_indices}"

    def unit(self, length_unit: str) -> str:
        """Radians."""
        return "rad"


KINDS["dihedral"] = Dihedral()


class DihedralChoice(AbstractChoice):
    """A dihedral of four named beads."""

    kind: Literal["dihedral"] = "dihedral"
    beads: tuple[str, str, str, str] = Field(description="labels such as ALA2-CA")
    name: str = Field(default="", description="for plots; the beads if empty")

    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Find the beads."""
        indices = tuple(context.bead(bead) for bead in self.beads)
        name = self.name or " ".join(self.beads)
        return (finished(context, name, "dihedral", indices, limits=(-pi, pi)),)
