r"""Structure-based (Go-type) energy of a C-alpha chain: the native structure is its minimum.

    V = sum over bonds      k_b/2 (r - r_0)^2
      + sum over angles     k_a/2 (theta - theta_0)^2
      + sum over dihedrals  k_d [1 - cos(phi - phi_0)] + k_d/2 [1 - cos 3(phi - phi_0)]
      - e n q [1 + p (q - 1)]
      + sum over pairs      e_r (s/r)^12

    q = 1/n sum over the n contacts exp(-(r - r_0)^2 / 2 w^2)

The bonded terms are those of Clementi, Nymeyer and Onuchic, J. Mol. Biol. 298, 937 (2000), with
softer bonds; contacts are the Gaussian wells of Lammert, Schug and Onuchic, Proteins 77, 881
(2009). A contact is a pair at least four bonds apart that is close in the native structure; pairs
that repel each other are all at least three bonds apart.

Pairwise contacts alone make a short chain melt gradually, in one broad basin. So the energy of
contacts is not the sum of theirs but a function of how many there are, as in Jewett, Pande and
Plaxco, J. Mol. Biol. 326, 247 (2003): with p > 0 a contact is worth e (1 - p) in an unfolded chain
and e (1 + p) in a folded one, which puts a barrier between two states; p < 0 lowers the barrier of
a long chain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from ..options import Options
from ..variables import angle, dihedral

CONTACT_BONDS = 4
"""Fewest bonds between two beads in native contact."""

REPULSION_BONDS = 3
"""Fewest bonds between two beads that repel each other."""


class ForceField(Options):
    """Strengths of the terms, the same along the chain."""

    bond: float = Field(default=5000.0, gt=0, description="k_b, kJ/mol/nm^2")
    angle: float = Field(default=50.0, gt=0, description="k_a, kJ/mol/rad^2")
    dihedral: float = Field(default=1.5, ge=0, description="k_d, kJ/mol")
    contact: float = Field(default=4.0, gt=0, description="e, kJ/mol a contact")
    cooperativity: float = Field(default=0.0, ge=-1, le=1, description="p")
    width: float = Field(default=0.05, gt=0, description="w, nm")
    cutoff: float = Field(default=0.8, gt=0, description="longest native contact, nm")
    repulsion: float = Field(default=1.0, gt=0, description="e_r, kJ/mol")
    size: float = Field(default=0.38, gt=0, description="s, nm")


@dataclass(frozen=True)
class GoModel:
    """Every term of the energy of one chain.

    Attributes
    ----------
    native
        Positions of the minimum, nm.
    field
        Strengths.
    contacts
        Pairs of beads in native contact.
    pairs
        Pairs that repel each other, those in contact among them.
    """

    native: Float[np.ndarray, "beads 3"]
    field: ForceField
    contacts: Int[np.ndarray, "contacts 2"]
    pairs: Int[np.ndarray, "pairs 2"]

    @staticmethod
    def of(native: Float[np.ndarray, "beads 3"], field: ForceField) -> GoModel:
        """Model of a native structure in nm, shape (beads, 3)."""
        pairs = np.stack(np.triu_indices(len(native), REPULSION_BONDS), axis=1)
        length = np.linalg.norm(native[pairs[:, 0]] - native[pairs[:, 1]], axis=1)
        apart = pairs[:, 1] - pairs[:, 0]
        bound = (length < field.cutoff) & (apart >= CONTACT_BONDS)
        return GoModel(native, field, pairs[bound], pairs)

    @property
    def n_beads(self) -> int:
        """Length of the chain."""
        return len(self.native)

    @property
    def contact_lengths(self) -> Float[np.ndarray, " contacts"]:
        """Native distances of the contacts, nm."""
        i, j = self.contacts.T
        return np.linalg.norm(self.native[i] - self.native[j], axis=1)

    @property
    def bond_lengths(self) -> Float[np.ndarray, " bonds"]:
        """Native bond lengths, nm."""
        return np.linalg.norm(np.diff(self.native, axis=0), axis=1)

    @property
    def angles(self) -> Float[np.ndarray, " angles"]:
        """Native angles at beads 1 to N - 2, rad."""
        x = self.native[None]
        return np.array([angle(x, (i, i + 1, i + 2))[0] for i in range(self.n_beads - 2)])

    @property
    def dihedrals(self) -> Float[np.ndarray, " dihedrals"]:
        """Native dihedrals about bonds 1 to N - 3, rad."""
        x = self.native[None]
        return np.array([dihedral(x, (i, i + 1, i + 2, i + 3))[0] for i in range(self.n_beads - 3)])

    def fraction(
        self, frames: Float[np.ndarray, "frames beads 3"], tolerance: float = 1.2
    ) -> Float[np.ndarray, " frames"]:
        """Share of the contacts shorter than `tolerance` times their native length."""
        i, j = self.contacts.T
        length = np.linalg.norm(frames[:, i] - frames[:, j], axis=-1)
        return np.mean(length < tolerance * self.contact_lengths, axis=1)
