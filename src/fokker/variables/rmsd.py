"""Root mean square deviation from a reference structure after the best proper rotation."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from .base import KINDS, AbstractChoice, AbstractKind, CollectiveVariable, Context, finished
from .geometry import per_frame


class RMSD(AbstractKind):
    """The values are the reference positions, bead by bead, nm.

    The optimal rotation follows from the singular values of the covariance (Kabsch 1976); the
    smallest one is subtracted where only a reflection would fit, so that mirror images differ.
    """

    spatial = True

    def compute(
        self, frames: np.ndarray, indices: tuple[int, ...], values: tuple[float, ...]
    ) -> np.ndarray:
        """Deviation of the beads, all of the same weight."""
        beads = list(indices)
        reference = np.reshape(values, (-1, 3)) - np.mean(np.reshape(values, (-1, 3)), axis=0)

        def of_block(block: np.ndarray) -> np.ndarray:
            found = np.full(len(block), np.nan)
            finite = np.isfinite(block[:, beads]).all(axis=(1, 2))
            x = block[finite][:, beads].astype(np.float64)
            x = x - x.mean(axis=1, keepdims=True)
            covariance = np.einsum("fbi,bj->fij", x, reference)
            singular = np.linalg.svd(covariance, compute_uv=False)
            hand = np.where(np.linalg.det(covariance) < 0, -1.0, 1.0)
            overlap = singular[:, 0] + singular[:, 1] + hand * singular[:, 2]
            squares = np.sum(x * x, axis=(1, 2)) + np.sum(reference**2) - 2 * overlap
            found[finite] = np.sqrt(np.maximum(squares, 0.0) / len(beads))
            return found

        return per_frame(of_block, frames)

    def fault(self, n_indices: int, n_values: int) -> str | None:
        """Three numbers a bead."""
        if n_indices >= 2 and n_values == 3 * n_indices:
            return None
        return f"an RMSD takes 3 values a bead, got {n_values} for {n_indices}"

    def unit(self, length_unit: str) -> str:
        """The unit of lengths."""
        return length_unit


KINDS["rmsd"] = RMSD()


class RMSDChoice(AbstractChoice):
    """From the first frame of a file."""

    kind: Literal["rmsd"] = "rmsd"
    reference: str = Field(description="structure with the beads, or with all atoms")
    limits: tuple[float, float] | None = Field(
        default=None, description="nm; what the training frames visit if not given"
    )

    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Read the reference."""
        positions = context.read_structure(self.reference).astype(np.float64)
        beads = tuple(range(len(context.labels)))
        values = tuple(positions.ravel().tolist())
        return (finished(context, "RMSD", "rmsd", beads, values, limits=self.limits),)
