r"""Network on the internal coordinates of a fixed molecule, or of molecules that are alike.

Inputs are all pair distances `r` and the signed volumes `v = a . (b x c)` of tetrads of beads, each
standardised with what noise does to it:

    z_r = (r - alpha mu_r) / sqrt(alpha^2 sd_r^2 + 2 sigma^2)
    z_v = (v - alpha^3 mu_v)
          / sqrt(alpha^6 sd_v^2 + 2 sigma^2 alpha^4 A + 8 sigma^4 alpha^2 L + 48 sigma^6)

`A` and `L` are the mean squared areas and lengths of the tetrad: the variance of a product of three
vectors with independent noise 2 sigma^2 each. Distances and volumes do not change under rotation
and translation, so neither does the energy; volumes change sign under reflection, so the energy can
tell a molecule from its mirror image.

Molecules are alike if they have the same beads in the same order: all dipeptides, say, as backbones
with C-beta. They share `mu` and `sd`; which one it is enters as a vector learned for the
residue of each bead, the same at every place of the chain.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from ..options import Options
from ..types import FAR, Features, Key, NoiseLevel, Positions, Scalar
from ..variables import neighbours_of, separations
from .base import (
    NOISE_EMBEDDING_SIZE,
    AbstractNetwork,
    Head,
    ManyInputs,
    NetworkInputs,
    bonds_of_alike,
    noise_embedding,
)
from .residual import ResidualTrunk
from .springs import Springs

_MOST_LENGTHS = 5_000_000  # distances in all frames that statistics are of: 1,000 of 100 beads


class InvariantOptions(Options):
    """Options of the invariant network."""

    name: Literal["invariant"] = "invariant"
    rotation_invariant: ClassVar[bool] = True
    any_molecule: ClassVar[bool] = False
    width: int = Field(default=128, ge=1, le=16_384)
    depth: int = Field(default=4, ge=1, le=256, description="residual layers")
    tetrads: int = Field(
        default=210,
        ge=0,
        lt=100_000,
        description="signed volumes beside the distances: all if there are no more (210 are all of "
        "10 beads), else the bonded ones and others at random; without far ones the hand of a "
        "noisy molecule is hard to see",
    )
    springs: Literal["alike", "fitted"] = Field(
        default="alike",
        description="what the energy starts from: springs between all pairs of beads alike, or as "
        "stiff as the frames say, by bonds apart, which is much closer to the truth for many beads",
    )
    residue: int = Field(
        default=4, ge=1, le=1024, description="numbers a residue is told by, of many molecules"
    )

    def build(self, inputs: NetworkInputs, head: Head, key: Key) -> "Invariant":
        """Return a network whose standardisation comes from the given frames."""
        bonds = bonds_of_alike(inputs, self.name)
        geometry = InternalCoordinates.from_frames(inputs.frames, bonds, self.tetrads)
        residues, size = None, 0
        if inputs.many is not None:
            residues = Residues(inputs.many, self.residue, jax.random.fold_in(key, 1))
            size = inputs.frames.shape[1] * self.residue
        n_pairs, n_tetrads = geometry.shape
        trunk = ResidualTrunk(
            n_pairs + n_tetrads + NOISE_EMBEDDING_SIZE + size,
            1 if head == "energy" else n_pairs,
            self.width,
            self.depth,
            key,
        )
        springs = geometry.springs(inputs.frames, bonds if self.springs == "fitted" else None)
        return Invariant(geometry, springs, trunk, residues, head, inputs.degrees_of_freedom)


def ring_pairs(
    n: int,
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """All pairs of n beads: first neighbours on a ring, then second ones, up to half way round."""
    apart, first = np.divmod(np.arange(n * (n - 1) // 2), n)
    return first, (first + apart + 1) % n


def differences(v: Float[Array, " beads"]) -> Float[Array, " pairs"]:
    """`v_i - v_j` of all `ring_pairs`, of one Cartesian component.

    Row k of a ring written out again and again in rows of n + 1 begins at bead k: the partners of
    all beads at k steps, without a gather or a scatter in the gradient, which are slow on a CPU,
    and without a product with a matrix, whose cost grows with the cube of the beads.
    """
    n = len(v)
    half = n // 2
    partners = jnp.tile(v, half + 2)[: half * (n + 1)].reshape(half, n + 1)[:, 1:]
    return (v - partners).reshape(half * n)[: n * (n - 1) // 2]


class InternalCoordinates(eqx.Module):
    """Standardised pair distances and signed tetrad volumes of one molecule.

    Edges of tetrads are products with constant incidence matrices: a gather would turn into a
    scatter in the gradient, which is slow on a CPU.

    Attributes
    ----------
    pairs
        Beads of each distance, in the order of `differences`.
    """

    pairs: Int[np.ndarray, "pairs 2"]
    edges: Float[np.ndarray, "three tetrads beads"]
    distance_mean: Float[np.ndarray, " pairs"]
    distance_std: Float[np.ndarray, " pairs"]
    volume_mean: Float[np.ndarray, " tetrads"]
    volume_std: Float[np.ndarray, " tetrads"]
    mean_area: Float[np.ndarray, " tetrads"]
    mean_length: Float[np.ndarray, " tetrads"]

    @staticmethod
    def from_frames(
        frames: Float[np.ndarray, "frames beads dim"],
        bonds: tuple[tuple[int, int], ...],
        n_tetrads: int,
    ) -> "InternalCoordinates":
        """Measure the statistics on frames."""
        beads = frames.shape[1]
        identity = np.eye(beads)
        first, second = pairs = ring_pairs(beads)
        tetrads = np.array(_tetrads(beads, bonds, n_tetrads), int).reshape(-1, 4)
        origin, *others = tetrads.T
        edges = np.stack([identity[other] - identity[origin] for other in others])
        frames = frames[:: max(1, len(frames) * len(first) // _MOST_LENGTHS)].astype(np.float64)
        distances = np.linalg.norm(frames[:, first] - frames[:, second], axis=-1)
        a, b, c = (frames[:, other] - frames[:, origin] for other in others)
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
            np.stack(pairs, axis=1),
            edges.astype(np.float32),
            *(np.asarray(s, np.float32) for s in statistics),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of distances and of volumes."""
        return len(self.pairs), self.edges.shape[1]

    def springs(
        self, frames: Float[np.ndarray, "frames beads dim"], bonds: Sequence[tuple[int, int]] | None
    ) -> Springs:
        """Springs between all pairs, fitted to frames by bonds apart or, without bonds, alike."""
        beads = frames.shape[1]
        if bonds is None:
            return Springs.alike(beads, len(self.pairs))
        first, second = self.pairs.T
        apart = separations(neighbours_of(beads, bonds), FAR)[first, second]
        _, kind = np.unique(apart, return_inverse=True)
        return Springs.fitted(frames, self.pairs, kind, self.distance_mean, self.distance_std)

    @property
    def finest(self) -> Scalar:
        """Half the standard deviation of the stiffest distance."""
        return 0.5 * jnp.min(jnp.asarray(self.distance_std))

    def distance_variance(self, level: NoiseLevel) -> Float[Array, " pairs"]:
        """Variance of each distance at a noise level."""
        return (level.alpha * self.distance_std) ** 2 + 2.0 * level.sigma**2

    def __call__(
        self, displacements: Sequence[Float[Array, " pairs"]], x: Positions, level: NoiseLevel
    ) -> tuple[Float[Array, " pairs"], Float[Array, " tetrads"]]:
        """Standardised distances and volumes of one frame, given its `differences`."""
        alpha, sigma = level
        r = jnp.sqrt(sum((d**2 for d in displacements), jnp.asarray(1e-12)))
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


class Residues(eqx.Module):
    """What the residues of a molecule are, as learned vectors."""

    of_kind: Int[np.ndarray, " kinds"]
    vectors: Float[Array, "residues size"]

    def __init__(self, many: ManyInputs, size: int, key: Key):
        names = sorted({residue for residue, _ in many.kinds})
        self.of_kind = np.array([names.index(residue) for residue, _ in many.kinds], np.int32)
        self.vectors = jax.random.normal(key, (len(names), size))

    def __call__(self, features: Features) -> Float[Array, " beads_times_size"]:
        """Vectors of all beads, one after another."""
        return self.vectors[jnp.asarray(self.of_kind)[features.kind]].ravel()


class Invariant(AbstractNetwork):
    """Energy or score of a molecule from its internal coordinates.

    The energy head adds the fixed base `sum w z_r^2 + D/2 <log var_r>`, the mean weighted by w: at
    large noise, where every `w = 1/N`, it is the energy of the Gaussian that the noise is, at small
    noise a network of springs (see `springs`). The score head
    combines the displacement vectors with invariant coefficients, so it turns with the molecule.
    """

    geometry: InternalCoordinates
    springs: Springs
    trunk: ResidualTrunk
    residues: Residues | None
    head: Head = eqx.field(static=True)
    degrees_of_freedom: int = eqx.field(static=True)

    def __call__(
        self, x: Positions, level: NoiseLevel, features: Features
    ) -> Float[Array, ""] | Float[Array, "beads dim"]:
        """Evaluate one frame; see `AbstractNetwork`."""
        displacements = [differences(along) for along in x.T]
        z_r, z_v = self.geometry(displacements, x, level)
        inputs = [z_r, z_v, noise_embedding(level, self.geometry.finest)]
        if self.residues is not None:
            inputs.append(self.residues(features))
        out = self.trunk(jnp.concatenate(inputs))
        if self.head == "score":
            scale = jnp.sqrt(level.alpha**2 + level.sigma**2)
            onto_beads = jax.linear_transpose(differences, x[:, 0])
            parts = [onto_beads(out * along)[0] for along in displacements]
            return jnp.stack(parts, axis=1) / scale
        w = self.springs(level)
        log_variance = w @ jnp.log(self.geometry.distance_variance(level)) / jnp.sum(w)
        base = w @ z_r**2 + 0.5 * self.degrees_of_freedom * log_variance
        return base + out[0]


def _tetrads(
    beads: int, bonds: tuple[tuple[int, int], ...], most: int
) -> list[tuple[int, int, int, int]]:
    """Tetrads whose signed volumes are inputs: all, or the bonded ones and some at random."""
    if comb(beads, 4) <= most:
        return list(combinations(range(beads), 4))
    chosen = _bonded_tetrads(beads, bonds)
    known = {tuple(sorted(tetrad)) for tetrad in chosen}
    random = np.random.default_rng(0)
    while len(known) < most:
        a, b, c, d = sorted(random.choice(beads, 4, replace=False).tolist())
        if (a, b, c, d) not in known:
            known.add((a, b, c, d))
            chosen.append((a, b, c, d))
    return chosen


def _bonded_tetrads(
    beads: int, bonds: tuple[tuple[int, int], ...]
) -> list[tuple[int, int, int, int]]:
    """Four beads in a row and a bead with three neighbours; without bonds, beads in order."""
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
