"""Fraction of the contacts of a reference structure that a frame keeps.

`Q = mean over contacts of 1 / (1 + exp(beta (r - lambda r_0)))`, Best, Hummer and Eaton,
PNAS 110, 17874 (2013), with beta = 50 / nm.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..errors import FokkerError
from .base import KINDS, AbstractChoice, AbstractKind, CollectiveVariable, Context, finished
from .geometry import distance
from .graph import separation

_SHARPNESS = 50.0
"""beta, 1/nm."""


class NativeContacts(AbstractKind):
    """The indices are pairs of beads, one after another; a value is `lambda r_0` of a pair, nm."""

    def compute(
        self, frames: np.ndarray, indices: tuple[int, ...], values: tuple[float, ...]
    ) -> np.ndarray:
        """Mean over the pairs, in [0, 1]."""
        total = np.zeros(len(frames))
        for i, j, limit in zip(indices[::2], indices[1::2], values, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                total += 1.0 / (1.0 + np.exp(_SHARPNESS * (distance(frames, (i, j)) - limit)))
        return total / len(values)

    def fault(self, n_indices: int, n_values: int) -> str | None:
        """Two indices a value."""
        if n_values >= 1 and n_indices == 2 * n_values:
            return None
        return f"native contacts take 2 indices a distance, got {n_indices} for {n_values}"

    def unit(self, length_unit: str) -> str:
        """A fraction."""
        return ""


KINDS["native-contacts"] = NativeContacts()


class NativeContactsChoice(AbstractChoice):
    """Contacts of the first frame of a file."""

    kind: Literal["native-contacts"] = "native-contacts"
    reference: str = Field(description="structure with the beads, or with all atoms")
    cutoff: float = Field(default=0.45, gt=0, description="longest native contact, nm")
    tolerance: float = Field(
        default=1.8, ge=1, description="lambda: 1.8 for atoms, 1.2 for coarse beads"
    )
    min_bonds: int = Field(
        default=4, ge=2, description="fewest bonds between two beads in contact, if connected"
    )

    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Find the contacts of the reference.

        Without any bond neighbours along the chain would be contacts that never break.
        """
        if not any(context.neighbours):
            raise FokkerError(
                f"{self.reference}: native contacts leave out beads fewer than {self.min_bonds} "
                "bonds apart, and the topology has no bonds; give one with bonds (PSF, prmtop, or "
                "PDB with CONECT records)."
            )
        positions = context.read_structure(self.reference).astype(np.float64)
        pairs, limits = [], []
        for i in range(len(positions)):
            apart = separation(context.neighbours, i)
            for j in range(i + 1, len(positions)):
                length = float(np.linalg.norm(positions[i] - positions[j]))
                if length < self.cutoff and apart.get(j, self.min_bonds) >= self.min_bonds:
                    pairs += [i, j]
                    limits.append(self.tolerance * length)
        if not limits:
            raise FokkerError(
                f"{self.reference}: no two beads at least {self.min_bonds} bonds apart are within "
                f"{self.cutoff} nm; raise `cutoff` of native-contacts or lower `min_bonds`."
            )
        found = finished(
            context, "native contacts", "native-contacts", tuple(pairs), tuple(limits), (0.0, 1.0)
        )
        return (found,)
