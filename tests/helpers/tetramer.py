"""A molecule of five beads, with a name that HTML has to quote, and noisy frames of it."""

import numpy as np

from fokker.system import Bead, CollectiveVariable, System

SYSTEM = System(
    name="Tetramer <i>A&B</i>",
    dim=3,
    beads=tuple(Bead(name=name, residue="A$_") for name in ("C", "N", "CA", "O", "CB")),
    kT=2.494,
    bonds=((0, 1), (1, 2), (2, 3), (2, 4)),
    collective_variables=(
        CollectiveVariable(
            name="phi", kind="dihedral", indices=(0, 1, 2, 3), limits=(-np.pi, np.pi), periodic=True
        ),
        CollectiveVariable(name="end to end", kind="distance", indices=(0, 3), limits=(0.0, 0.6)),
    ),
)


def frames(n: int, seed: int) -> np.ndarray:
    base = [[0, 0, 0], [0.13, 0.02, 0], [0.2, 0.15, 0], [0.33, 0.15, 0.05], [0.17, 0.2, 0.12]]
    noise = 0.006 * np.random.default_rng(seed).normal(size=(n, 5, 3))
    return (np.array(base) + noise).astype(np.float32)
