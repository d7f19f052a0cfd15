"""One Cartesian coordinate of the first bead, for model potentials."""

from __future__ import annotations

import numpy as np

from .base import KINDS, AbstractKind


class Coordinate(AbstractKind):
    """The index names an axis."""

    of_axes = True

    def compute(
        self, frames: np.ndarray, indices: tuple[int, ...], values: tuple[float, ...]
    ) -> np.ndarray:
        """Coordinate along the axis."""
        (axis,) = indices
        return frames[:, 0, axis].astype(np.float64)

    def fault(self, n_indices: int, n_values: int) -> str | None:
        """One index, no values."""
        return None if n_indices == 1 else f"a coordinate takes 1 indices, got {n_indices}"

    def unit(self, length_unit: str) -> str:
        """The unit of lengths."""
        return length_unit


KINDS["coordinate"] = Coordinate()
