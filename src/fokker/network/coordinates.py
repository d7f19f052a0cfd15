r"""Distances of all beads of a molecule, signed volumes, and what noise does to them.

A volume `v = a . (b x c)` is of three vectors, each a combination of beads. Near the data these are
the edges of bonded tetrads, whose signs are the chirality of centres and the sense of torsions.
Under much noise no tetrad is seen, but the molecule as a whole still is: to first order in what is
left of the signal,

    log q(x) - log q(mirror image of x)  ~  sum_abc C_abc det(y_a, y_b, y_c),
    C_abc = E det(y_a, y_b, y_c) of clean frames,        y_a = sum_i u_ai x_i

with any orthonormal `u`. Of its principal modes, the eigenvectors of `E x_i . x_j`, few have an
amplitude above the noise, and few triples make up nearly all of the sum: 97 % the first three alone
for a backbone of 25 beads, of which 210 tetrads see 8 %.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..types import FAR, NoiseLevel, Positions, Scalar
from ..variables import neighbours_of, separations
from .springs import Springs

_MODES = 24
"""More have no amplitude, and their triples grow as the cube."""

_MOST_LENGTHS = 5_000_000  # distances in all frames that statistics are of: 1,000 of 100 beads


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


class Coordinates(NamedTuple):
    """Internal coordinates of a noised frame.

    Attributes
    ----------
    value
        Distances and volumes.
    shrunk
        What the signal has been multiplied by: alpha of a distance, alpha^3 of a volume.
    noise
        Variance that noise adds.
    """

    value: Float[Array, " coordinates"]
    shrunk: Float[Array, " coordinates"]
    noise: Float[Array, " coordinates"]


class InternalCoordinates(eqx.Module):
    """Standardised pair distances and signed volumes of one molecule.

    Edges of volumes are products with constant incidence matrices: a gather would turn into a
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
        first, second = pairs = ring_pairs(frames.shape[1])
        frames = _some(frames, len(first))
        edges = _edges(frames, bonds, n_tetrads)
        distances = np.linalg.norm(frames[:, first] - frames[:, second], axis=-1)
        a, b, c = (np.einsum("tb,fbd->ftd", edge, frames) for edge in edges)
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

    def values(
        self, frames: Float[np.ndarray, "frames beads dim"]
    ) -> Float[np.ndarray, "some_frames coordinates"]:
        """Distances and volumes in clean frames: in all, or in so many that they fit in memory."""
        first, second = self.pairs.T
        frames = _some(frames, len(first))
        a, b, c = (np.einsum("tb,fbd->ftd", edge, frames) for edge in self.edges)
        distances = np.linalg.norm(frames[:, first] - frames[:, second], axis=-1)
        return np.concatenate([distances, np.sum(a * np.cross(b, c), axis=-1)], axis=1)

    @property
    def touches(self) -> Bool[np.ndarray, "coordinates beads"]:
        """Which beads each distance and volume is of; of modes, of all."""
        of_pairs = np.zeros((len(self.pairs), self.edges.shape[2]), bool)
        np.put_along_axis(of_pairs, self.pairs, True, axis=1)
        return np.concatenate([of_pairs, np.any(self.edges != 0.0, axis=0)])

    @property
    def mean_distances(self) -> Float[np.ndarray, "beads beads"]:
        """Of any two beads; zero on the diagonal."""
        first, second = self.pairs.T
        found = np.zeros((self.edges.shape[2],) * 2)
        found[first, second] = found[second, first] = self.distance_mean
        return found

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
    ) -> Coordinates:
        """Distances and volumes of one frame, given its `differences`, and their noise."""
        alpha, sigma = level
        r = jnp.sqrt(sum((d**2 for d in displacements), jnp.asarray(1e-12)))
        a, b, c = self.edges[0] @ x, self.edges[1] @ x, self.edges[2] @ x
        volume = jnp.sum(a * jnp.cross(b, c), axis=-1)
        noise = 2.0 * sigma**2
        of_volumes = (
            noise * alpha**4 * self.mean_area
            + 2.0 * noise**2 * alpha**2 * self.mean_length
            + 6.0 * noise**3
        )
        return Coordinates(
            jnp.concatenate([r, volume]),
            jnp.concatenate([jnp.full_like(r, alpha), jnp.full_like(volume, alpha**3)]),
            jnp.concatenate([jnp.full_like(r, noise), of_volumes]),
        )

    def standardised(self, coordinates: Coordinates) -> Float[Array, " coordinates"]:
        """Distances and volumes over what spread they have, clean and by noise."""
        value, shrunk, noise = coordinates
        mean = jnp.concatenate([jnp.asarray(self.distance_mean), jnp.asarray(self.volume_mean)])
        std = jnp.concatenate([jnp.asarray(self.distance_std), jnp.asarray(self.volume_std)])
        return (value - shrunk * mean) / jnp.sqrt((shrunk * std) ** 2 + noise)


def _some(frames: Float[np.ndarray, "frames beads dim"], pairs: int) -> np.ndarray:
    return frames[:: max(1, len(frames) * pairs // _MOST_LENGTHS)].astype(np.float64)


def _edges(
    frames: Float[np.ndarray, "frames beads 3"], bonds: tuple[tuple[int, int], ...], most: int
) -> Float[np.ndarray, "3 volumes beads"]:
    """Combinations of beads whose volumes are inputs: all tetrads, or bonded ones and modes.

    All have the norm of an edge, so noise adds the same to all. Their number depends on beads and
    bonds alone.
    """
    beads = frames.shape[1]
    if comb(beads, 4) <= most:
        return _of_tetrads(list(combinations(range(beads), 4)), beads)
    bonded = _bonded_tetrads(beads, bonds)
    of_modes = _of_modes(frames, max(0, most - len(bonded)))
    return np.concatenate([_of_tetrads(bonded, beads), of_modes], axis=1)


def _of_tetrads(
    tetrads: list[tuple[int, int, int, int]], beads: int
) -> Float[np.ndarray, "3 tetrads beads"]:
    """Three edges of each tetrad, from its first bead."""
    identity = np.eye(beads)
    origin, *others = np.array(tetrads, int).reshape(-1, 4).T
    return np.stack([identity[other] - identity[origin] for other in others])


def _of_modes(
    frames: Float[np.ndarray, "frames beads 3"], most: int
) -> Float[np.ndarray, "3 triples beads"]:
    """Three principal modes of each triple, those of the largest amplitudes first."""
    centred = frames - frames.mean(axis=1, keepdims=True)
    square, modes = np.linalg.eigh(np.einsum("fid,fjd->ij", centred, centred) / len(frames))
    # the last one is the centre
    square, modes = square[:0:-1], modes[:, :0:-1]
    triples = np.array(list(combinations(range(min(len(square), _MODES)), 3)), int).reshape(-1, 3)
    size = np.sum(np.log(np.maximum(square, 1e-12))[triples], axis=1)
    chosen = triples[np.argsort(-size, kind="stable")[:most]]
    return np.sqrt(2.0) * modes.T[chosen].transpose(1, 0, 2)


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
