r"""Network on the internal coordinates of a fixed molecule.

Inputs are all pair distances `r` and the signed volumes `v = a . (b x c)` of tetrads of beads, each
standardised with what noise does to it:

    z_r = (r - alpha mu_r) / sqrt(alpha^2 sd_r^2 + 2 sigma^2)
    z_v = (v - alpha^3 mu_v)
          / sqrt(alpha^6 sd_v^2 + 2 sigma^2 alpha^4 A + 8 sigma^4 alpha^2 L + 48 sigma^6)

`A` and `L` are the mean squared areas and lengths of the tetrad: the variance of a product of three
vectors with independent noise 2 sigma^2 each. Distances and volumes do not change under rotation
and translation, so neither does the energy; volumes change sign under reflection, so the energy can
tell a molecule from its mirror image.
"""

from itertools import combinations
from typing import ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from ..options import Options
from ..types import Features, Key, NoiseLevel, Positions, Scalar
from .base import (
    NOISE_EMBEDDING_SIZE,
    AbstractNetwork,
    Head,
    NetworkInputs,
    noise_embedding,
    only_one_molecule,
)
from .residual import ResidualTrunk

MAX_TETRADS = 15
"""All tetrads up to six beads; beyond, the bonded ones only."""


class InvariantOptions(Options):
    """Options of the invariant network."""

    name: Literal["invariant"] = "invariant"
    rotation_invariant: ClassVar[bool] = True
    width: int = Field(default=128, ge=1, le=16_384)
    depth: int = Field(default=4, ge=1, le=256, description="residual layers")

    def build(self, inputs: NetworkInputs, head: Head, key: Key) -> "Invariant":
        """Return a network whose standardisation comes from the given frames."""
        only_one_molecule(inputs, self.name)
        geometry = InternalCoordinates.from_frames(inputs)
        n_pairs, n_tetrads = geometry.shape
        trunk = ResidualTrunk(
            n_pairs + n_tetrads + NOISE_EMBEDDING_SIZE,
            1 if head == "energy" else n_pairs,
            self.width,
            self.depth,
            key,
        )
        return Invariant(geometry, trunk, head, inputs.degrees_of_freedom)


class InternalCoordinates(eqx.Module):
    """Standardised pair distances and signed tetrad volumes of one molecule.

    Differences are products with constant incidence matrices: a gather would turn into a scatter in
    the gradient, which is slow on a CPU.
    """

    incidence: Float[np.ndarray, "pairs beads"]
    edges: Float[np.ndarray, "three tetrads beads"]
    distance_mean: Float[np.ndarray, " pairs"]
    distance_std: Float[np.ndarray, " pairs"]
    volume_mean: Float[np.ndarray, " tetrads"]
    volume_std: Float[np.ndarray, " tetrads"]
    mean_area: Float[np.ndarray, " tetrads"]
    mean_length: Float[np.ndarray, " tetrads"]

    @staticmethod
    def from_frames(inputs: NetworkInputs) -> "InternalCoordinates":
        """Measure the statistics on frames of shape (frames, beads, 3)."""
        frames = inputs.frames.astype(np.float64)
        beads = frames.shape[1]
        identity = np.eye(beads)
        pairs = list(combinations(range(beads), 2))
        incidence = np.stack([identity[i] - identity[j] for i, j in pairs])
        tetrads = _tetrads(beads, inputs.bonds)
        edges = np.array(
            [[identity[j] - identity[i[0]] for i in tetrads for j in [i[k]]] for k in (1, 2, 3)]
        ).reshape(3, len(tetrads), beads)
        distances = np.linalg.norm(np.einsum("pi,fid->fpd", incidence, frames), axis=-1)
        a, b, c = np.einsum("kti,fid->kftd", edges, frames)
        crosses = np.cross(b, c), np.cross(c, a), np.cross(a, b)
        volumes = np.sum(a * crosses[0], axis=-1)
        areas = sum(np.sum(cross**2, axis=-1) for cross in crosses)
        lengths = sum(np.sum(edge**2, axis=-1) for edge in (a, b, c))
        statistics = (
            distances.mean(0),
            distances.std(0),
            volumes.mean(0),
            volumes.std(0),
            np.mean(areas, axis=0),
            np.mean(lengths, axis=0),
        )
        return InternalCoordinates(
            incidence.astype(np.float32),
            edges.astype(np.float32),
            *(np.asarray(s, np.float32) for s in statistics),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of distances and of volumes."""
        return self.incidence.shape[0], self.edges.shape[1]

    @property
    def finest(self) -> Scalar:
        """Half the standard deviation of the stiffest distance."""
        return 0.5 * jnp.min(jnp.asarray(self.distance_std))

    def displacements(self, x: Positions) -> Float[Array, "pairs dim"]:
        """Vector from the second to the first bead of each pair."""
        return jnp.asarray(self.incidence) @ x

    def distance_variance(self, level: NoiseLevel) -> Float[Array, " pairs"]:
        """Variance of each distance at a noise level."""
        return (level.alpha * self.distance_std) ** 2 + 2.0 * level.sigma**2

    def __call__(
        self, displacements: Float[Array, "pairs dim"], x: Positions, level: NoiseLevel
    ) -> tuple[Float[Array, " pairs"], Float[Array, " tetrads"]]:
        """Standardised distances and volumes of one frame."""
        alpha, sigma = level
        r = jnp.sqrt(jnp.sum(displacements**2, axis=-1) + 1e-12)
        z_r = (r - alpha * self.distance_mean) / jnp.sqrt(self.distance_variance(level))
        a, b, c = self.edges[0] @ x, self.edges[1] @ x, self.edges[2] @ x
        volume = jnp.sum(a * jnp.cross(b, c), axis=-1)
        noise = 2.0 * sigma**2
        variance = (
            alpha**6 * self.volume_std**2
            + noise * alpha**4 * self.mean_area
            + 2.0 * noise**2 * alpha**2 * self.mean_length
            + 6.0 * noise**3
        )
        z_v = (volume - alpha**3 * self.volume_mean) / jnp.sqrt(variance)
        return z_r, z_v


class Invariant(AbstractNetwork):
    """Energy or score of a fixed molecule from its internal coordinates.

    The energy head adds the fixed base `1/N sum z_r^2 + D/2 <log var_r>`: at large noise it is the
    energy of the Gaussian that the noise is, at small noise a network of springs. The score head
    combines the displacement vectors with invariant coefficients, so it turns with the molecule.
    """

    geometry: InternalCoordinates
    trunk: ResidualTrunk
    head: Head = eqx.field(static=True)
    degrees_of_freedom: int = eqx.field(static=True)

    def __call__(
        self, x: Positions, level: NoiseLevel, features: Features
    ) -> Float[Array, ""] | Float[Array, "beads dim"]:
        """Evaluate one frame; see `AbstractNetwork`."""
        displacements = self.geometry.displacements(x)
        z_r, z_v = self.geometry(displacements, x, level)
        embedding = noise_embedding(level, self.geometry.finest)
        out = self.trunk(jnp.concatenate([z_r, z_v, embedding]))
        if self.head == "score":
            scale = jnp.sqrt(level.alpha**2 + level.sigma**2)
            return jnp.asarray(self.geometry.incidence).T @ (out[:, None] * displacements) / scale
        log_variance = jnp.mean(jnp.log(self.geometry.distance_variance(level)))
        base = jnp.sum(z_r**2) / x.shape[0] + 0.5 * self.degrees_of_freedom * log_variance
        return base + out[0]


def _tetrads(beads: int, bonds: tuple[tuple[int, int], ...]) -> list[tuple[int, int, int, int]]:
    """Tetrads whose signed volumes are inputs: all of a small molecule, else bonded ones."""
    every = list(combinations(range(beads), 4))
    if len(every) <= MAX_TETRADS:
        return every
    neighbours = {
        i: {j for bond in bonds if i in bond for j in bond if j != i} for i in range(beads)
    }
    paths = {
        (i, j, k, m)
        for j in range(beads)
        for k in neighbours[j]
        for i in neighbours[j] - {k}
        for m in neighbours[k] - {j, i}
        if j < k
    }
    centres = {
        (j, *three) for j in range(beads) for three in combinations(sorted(neighbours[j]), 3)
    }
    chain = {(i, i + 1, i + 2, i + 3) for i in range(beads - 3)}
    return sorted(paths | centres) or sorted(chain)
