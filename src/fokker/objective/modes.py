r"""Orthonormal directions of a molecule's motion, as functions of the frame.

In this order, each freed from those before it: rotations; stretches of bonds, `d|x_i - x_j|`;
bends, the same of the ends of two bonds that share a bead; torsions. What is left, such as motions
out of a plane, is one space.
"""

from __future__ import annotations

from itertools import combinations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..types import Positions
from .base import Molecule
from .torsion import TorsionScoreMatching

MOST_MODES = 96
"""Further motions, of large molecules, count as what is left."""

_INDEPENDENT = 0.2
"""A motion of unit length of which less is new is left out."""


class Modes(eqx.Module):
    """Directions of one molecule.

    Attributes
    ----------
    pairs
        Rows `e_i - e_j` of each stretch and bend.
    torsions
        The rotatable bonds.
    kept
        Which of rotations, pairs and torsions, in this order, are independent.
    n_torsions
        How many of the last ones kept are torsions.
    """

    pairs: Float[np.ndarray, "pairs beads"]
    torsions: TorsionScoreMatching
    kept: tuple[int, ...] = eqx.field(static=True)
    n_torsions: int = eqx.field(static=True)

    @staticmethod
    def of(molecule: Molecule, frames: Float[np.ndarray, "frames beads 3"]) -> Modes:
        """Find the independent motions of a molecule, judged on some of its frames."""
        n_beads, bonds = molecule.n_beads, molecule.bonds
        ends = {tuple(sorted(bond)) for bond in bonds}
        bends = {
            tuple(sorted({*one} ^ {*other}))
            for one, other in combinations(ends, 2)
            if len({*one} & {*other}) == 1
        }
        chosen = [*sorted(ends), *sorted(bends - ends)]
        identity = np.eye(n_beads, dtype=np.float32)
        rows = [identity[i] - identity[j] for i, j in chosen]
        pairs = np.array(rows, np.float32).reshape(-1, n_beads)
        torsions = TorsionScoreMatching.of(molecule)
        total = 3 + len(pairs) + len(torsions.side)
        every = Modes(pairs, torsions, tuple(range(total)), len(torsions.side))
        raw = jax.jit(jax.vmap(every._raw))(jnp.asarray(_spread(frames)))
        kept = _independent(np.asarray(raw))[:MOST_MODES]
        last = sum(i >= 3 + len(pairs) for i in kept)
        return Modes(pairs, torsions, tuple(kept), last)

    @property
    def n_modes(self) -> int:
        """Number of directions."""
        return len(self.kept)

    def __call__(self, x: Positions) -> Float[Array, "modes beads 3"]:
        """Orthonormal directions at one frame, without a net translation."""
        raw = self._raw(x).reshape(-1, x.size)
        found: list[Array] = []
        for index in self.kept:
            v = raw[index]
            for unit in found:
                v = v - jnp.dot(unit, v) * unit
            found.append(v / jnp.sqrt(jnp.sum(v**2) + 1e-12))
        return jnp.stack(found).reshape(-1, *x.shape)

    def _raw(self, x: Positions) -> Float[Array, "motions beads 3"]:
        """Every motion at its own length one, none freed from another."""
        x = x - jnp.mean(x, axis=0)
        turns = jnp.cross(jnp.eye(3)[:, None], x[None])
        difference = jnp.asarray(self.pairs) @ x
        stretches = jnp.asarray(self.pairs)[..., None] * difference[:, None]
        raw = jnp.concatenate([turns, stretches, self.torsions.directions(x)])
        return raw / jnp.sqrt(jnp.sum(raw**2, axis=(1, 2), keepdims=True) + 1e-12)


def _independent(raw: Float[np.ndarray, "frames motions beads 3"]) -> list[int]:
    raw = raw.reshape(*raw.shape[:2], -1).astype(np.float64)
    kept: list[int] = []
    basis = np.zeros((len(raw), 0, raw.shape[2]))
    for index in range(raw.shape[1]):
        v = raw[:, index]
        v = v - np.einsum("nk,nkd->nd", np.einsum("nkd,nd->nk", basis, v), basis)
        length = np.linalg.norm(v, axis=1)
        if np.median(length) > _INDEPENDENT:
            kept.append(index)
            unit = v / np.maximum(length, 1e-6)[:, None]
            basis = np.concatenate([basis, unit[:, None]], axis=1)
    return kept


def _spread(frames: np.ndarray, n: int = 32) -> np.ndarray:
    return frames[:: max(1, len(frames) // n)][:n]
