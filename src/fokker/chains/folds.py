"""The chains that the package makes: a native structure, a force field and a length of simulation.

Each is tuned so that at 300 K the folded state holds about half of the frames and every chain
folds and unfolds many times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from .engine import Dynamics
from .model import ForceField, GoModel
from .native import Structure, bundle, hairpin

TRAINING_CHAINS = 8
"""Chains that are trained on; the others are for evaluation."""


class Fold(NamedTuple):
    """How one chain is made."""

    native: Callable[[], Structure]
    field: ForceField
    dynamics: Dynamics

    def model(self) -> GoModel:
        """Energy of the chain, from the native structure as a PDB file holds it.

        So whoever reads that file finds the same contacts.
        """
        return GoModel.of(self.native().round(4), self.field)

    @property
    def digest(self) -> str:
        """Changes with any setting."""
        text = self.field.model_dump_json() + self.dynamics.model_dump_json()
        return hashlib.sha256(text.encode()).hexdigest()[:8]


FOLDS = {
    "hairpin": Fold(
        hairpin,
        ForceField(contact=4.5, cooperativity=1.0, dihedral=1.0),
        Dynamics(temperature=300.0, chains=12, frames=5000, stride=200, equilibration=50_000),
    ),
    "helix-bundle": Fold(
        lambda: bundle(helices=2, length=12, loop=4),
        ForceField(contact=4.2, cooperativity=0.8, dihedral=2.0),
        Dynamics(temperature=300.0, chains=12, frames=5000, stride=400, equilibration=50_000),
    ),
    "long-fold": Fold(
        lambda: bundle(helices=4, length=22, loop=4),
        # A hundred contacts at once would never form: here the first are worth more than the last,
        # and dihedrals hold the helices in the unfolded chain.
        ForceField(contact=1.95, cooperativity=-0.2, dihedral=4.0),
        Dynamics(temperature=300.0, chains=12, frames=3000, stride=300, equilibration=100_000),
    ),
}
"""By the name of the system preset."""
