r"""Score matching along torsions: the soft modes, without the noise of the stiff ones.

Denoising score matching holds for any quadratic form of its error that depends on the noised frame
alone, since the score is the conditional mean of `-eps / sigma` given that frame:

    sum_b < u_b(x_t), sigma score(x_t, t) + eps >^2

is least at the true score for any directions `u_b(x_t)`. Here they are the motions of the torsions,
`u_b ~ a x (x_i - x_k)` for every bead i on the far side of a rotatable bond j-k with axis
`a = x_k - x_j`, freed from translation and rotation of the whole (where the score is zero and eps
is not) and normalised. Bonds and angles, whose forces are a hundred
times larger, carry nearly all the variance of the plain loss and next to nothing of the free
energy; this term sees none of them.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from ..network.padding import Present, centre
from ..options import Options
from ..types import Key, Positions, Scalar
from .base import NO_MOLECULE, AbstractObjective, Evaluation, Molecule


class TorsionOptions(Options):
    """Options of score matching along torsions."""

    name: Literal["torsion"] = "torsion"
    weight: float = Field(default=1.0, ge=0)

    def build(self, molecule: Molecule = NO_MOLECULE) -> "TorsionScoreMatching":
        """Return the objective for the rotatable bonds of a molecule."""
        return TorsionScoreMatching.of(molecule)


class TorsionScoreMatching(AbstractObjective):
    """`mean_b <u_b(x_t), sigma score + eps>^2`; zero without rotatable bonds.

    Attributes
    ----------
    axis
        Rows `e_k - e_j` of each rotatable bond.
    pivot
        Rows `e_k`.
    side
        One for the beads that turn with k, zero for those that stay with j.
    """

    axis: Float[np.ndarray, "torsions beads"]
    pivot: Float[np.ndarray, "torsions beads"]
    side: Float[np.ndarray, "torsions beads"]

    @staticmethod
    def of(molecule: Molecule) -> "TorsionScoreMatching":
        """Find the rotatable bonds: inner ones, not in a ring."""
        n_beads, bonds = molecule.n_beads, molecule.bonds
        identity = np.eye(n_beads, dtype=np.float32)
        found = [(j, k, far) for j, k in bonds if (far := _far_side(bonds, j, k))]
        shape = (len(found), n_beads)
        axis = np.array([identity[k] - identity[j] for j, k, _ in found], np.float32).reshape(shape)
        pivot = np.array([identity[k] for _, k, _ in found], np.float32).reshape(shape)
        side = np.array([identity[list(far)].sum(0) for *_, far in found], np.float32)
        return TorsionScoreMatching(axis, pivot, side.reshape(shape))

    @property
    def times_per_frame(self) -> int:
        """One time."""
        return 1

    def directions(
        self, x: Positions, present: Present = None
    ) -> Float[Array, "torsions beads dim"]:
        """Unit vector of every torsion at one frame; zero where torsions or beads are padded."""
        axis, pivot = jnp.asarray(self.axis) @ x, jnp.asarray(self.pivot) @ x
        turned = jnp.asarray(self.side)[..., None] * jnp.cross(
            axis[:, None], x[None] - pivot[:, None]
        )
        turned = centre(turned, present)
        internal = _without_rotation(turned, centre(x, present))
        square = jnp.sum(internal**2, axis=(1, 2), keepdims=True)
        return internal / jnp.sqrt(square + 1e-12)

    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """See `AbstractObjective`."""
        if not len(self.side):
            return jnp.zeros(())
        noised = evaluation.noised
        sigma = jax.vmap(evaluation.process.sigma)(noised.times)
        error = sigma[:, None, None] * evaluation.scores + noised.noise
        present = noised.features.present
        directions = jax.vmap(lambda x: self.directions(x, present))(noised.frames)
        along = jnp.einsum("kbid,kid->kb", directions, error) ** 2
        if present is None:
            return jnp.mean(along)
        n_torsions = jnp.maximum(jnp.sum(jnp.any(jnp.asarray(self.side) > 0.0, axis=1)), 1)
        return jnp.sum(along) / (len(along) * n_torsions)


def _without_rotation(
    v: Float[Array, "torsions beads dim"], r: Positions
) -> Float[Array, "torsions beads dim"]:
    """Take off the rigid rotation that is nearest to each displacement: `I omega = sum r x v`.

    The positions r are centred.
    """
    momentum = jnp.sum(jnp.cross(r[None], v), axis=1)
    inertia = (jnp.sum(r**2) + 1e-6) * jnp.eye(3) - r.T @ r
    a, b, c = inertia
    adjugate = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)])
    omega = momentum @ adjugate / jnp.dot(a, adjugate[0])
    return v - jnp.cross(omega[:, None], r[None])


def _far_side(bonds: tuple[tuple[int, int], ...], j: int, k: int) -> set[int]:
    """Beads beyond k as seen from j, k left out; empty if j-k is terminal or in a ring."""
    neighbours = {i: {a + b - i for a, b in bonds if i in (a, b)} for bond in bonds for i in bond}
    reached, front = {k}, {k}
    while front:
        front = {n for i in front for n in neighbours[i] if (i, n) != (k, j)} - reached
        reached |= front
    outside = set(neighbours) - reached - {j}
    return reached - {k} if j not in reached and outside & neighbours[j] else set()
