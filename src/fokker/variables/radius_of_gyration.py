"""Radius of gyration: `sqrt(sum_i m_i |x_i - centre of mass|^2 / sum_i m_i)`."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from .base import KINDS, AbstractChoice, AbstractKind, CollectiveVariable, Context, finished
from .geometry import per_frame


class RadiusOfGyration(AbstractKind):
    """The values are the masses of the beads, amu."""

    def compute(
        self, frames: np.ndarray, indices: tuple[int, ...], values: tuple[float, ...]
    ) -> np.ndarray:
        """Mass-weighted root mean square distance from the centre of mass."""
        beads, weights = list(indices), np.array(values) / np.sum(values)

        def of_block(block: np.ndarray) -> np.ndarray:
            x = block[:, beads].astype(np.float64)
            x = x - np.einsum("b,fbd->fd", weights, x)[:, None]
            return np.sqrt(np.einsum("b,fbd,fbd->f", weights, x, x))

        return per_frame(of_block, frames)

    def fault(self, n_indices: int, n_values: int) -> str | None:
        """A mass for each of at least two beads."""
        if n_indices >= 2 and n_values == n_indices:
            return None
        return f"a radius of gyration takes a mass a bead, got {n_values} for {n_indices}"

    def unit(self, length_unit: str) -> str:
        """The unit of lengths."""
        return length_unit


KINDS["radius-of-gyration"] = RadiusOfGyration()


class RadiusOfGyrationChoice(AbstractChoice):
    """Of all beads."""

    kind: Literal["radius-of-gyration"] = "radius-of-gyration"
    limits: tuple[float, float] | None = Field(
        default=None, description="nm; what the training frames visit if not given"
    )

    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Take every bead with its mass."""
        beads = tuple(range(len(context.labels)))
        found = finished(
            context,
            "radius of gyration",
            "radius-of-gyration",
            beads,
            context.masses,
            limits=self.limits,
        )
        return (found,)
