r"""Graph network: messages along displacement vectors, for molecules of any size.

Beads carry numbers `h` and exchange messages. What a message knows of a pair is `h` at either end,
the bonds between them, and their distance, standardised with the statistics of its class `c` (the
names of the two beads and the bonds between) and with what noise does to it, as in `invariant`:

    z_ij = (r_ij - alpha mu_c) / sqrt(alpha^2 sd_c^2 + 2 sigma^2)
    u_ij = silu(A h_i + B h_j + C e_ij + s_c),       e_ij = (z_ij, radial functions of r_ij)

Messages weigh the directions `n_ij = d_ij / sqrt(d_ij^2 + w^2)` to vectors that belong to a bead,
and a second round of messages knows what those of its two beads have to do with its direction:

    V_i  = sum_j (P u_ij) n_ij
    u'_ij = silu(A' h_i + B' h_j + C' k_ij + s'_c),
    k_ij = (e_ij, u_ij, V_i . n_ij, V_j . n_ij, (V_i x V_j) . n_ij)

The products are angles and, signed, torsions. A bead gathers both rounds of messages and products
of its own vectors, `K V . L V` and `(M V x N V) . O V`. Everything is invariant under rotation and
translation; triple products change sign under reflection: the energy can tell mirror images apart.
(Vectors on beads: arXiv 2102.03150; products of what was summed over neighbours: arXiv 2206.07697.)
"""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from ..errors import FokkerError
from ..options import Options
from ..types import FAR, Features, Key, NoiseLevel, Positions, Scalar
from ..variables import neighbours_of, separations
from .base import NOISE_EMBEDDING_SIZE, AbstractNetwork, Head, NetworkInputs, noise_embedding
from .padding import count

RADIAL = 8
"""Radial functions, over distances of beads too far apart in bonds to be held by them."""

BLUNT = 0.1
"""Distance, in units of the data scale, below which directions fade out."""

MIXING = 0.3
"""Weight of sums over beads, about one over the square root of the neighbours of a small peptide;
one constant for all sizes, or what a bead knows would depend on beads far away."""


class GraphOptions(Options):
    """Options of the graph network."""

    name: Literal["graph"] = "graph"
    rotation_invariant: ClassVar[bool] = True
    any_molecule: ClassVar[bool] = True
    width: int = Field(default=64, ge=1, le=16_384, description="numbers a bead")
    message: int = Field(default=32, ge=1, le=16_384, description="numbers a message")
    vectors: int = Field(default=8, ge=1, le=4096, description="vectors a bead")
    layers: int = Field(default=1, ge=1, le=64)

    def build(self, inputs: NetworkInputs, head: Head, key: Key) -> "Graph":
        """Return a network whose standardisation comes from the given frames.

        Raises
        ------
        FokkerError
            If the system is not of two beads and more in three dimensions.
        """
        _, beads, dim = inputs.frames.shape
        if beads < 2 or dim != 3:
            raise FokkerError(
                f"network 'graph' is for molecules of two beads and more, the system has {beads} "
                f"in {dim} dimensions: use network 'mlp'"
            )
        return Graph(self, PairClasses.from_frames(inputs), head, key)


class PairClasses(eqx.Module):
    """Statistics of distances by the names of two beads and the bonds between them.

    Attributes
    ----------
    name
        Index of the name of each kind of bead.
    mean, std
        In units of the data scale, by name, name and separation. A class that no frame has gets
        what the others of its separation have on average.
    centres
        Distances at which radial functions peak.
    width
        Their standard deviation without noise.
    """

    name: Int[np.ndarray, " kinds"]
    mean: Float[np.ndarray, "names names separations"]
    std: Float[np.ndarray, "names names separations"]
    centres: Float[np.ndarray, " radial"]
    width: Float[np.ndarray, ""]

    @staticmethod
    def from_frames(inputs: NetworkInputs) -> "PairClasses":
        """Measure the statistics; beads of a single molecule each have a name of their own."""
        frames = inputs.frames.astype(np.float64)
        beads = frames.shape[1]
        if inputs.molecules is None:
            name = np.arange(beads)
            table = separations(neighbours_of(beads, inputs.bonds), FAR)
            each = [(frames, name, table)]
        else:
            names = sorted({name for _, name in inputs.molecules.kinds})
            name = np.array([names.index(n) for _, n in inputs.molecules.kinds])
            each = [_cut(inputs, name, row) for row in np.unique(inputs.molecules.molecule)]
        shape = (name.max() + 1, name.max() + 1, FAR + 1)
        total = np.zeros((3, *shape))
        far = []
        for x, bead_names, table in each:
            i, j = np.nonzero(table > 0)
            r = np.linalg.norm(x[:, i] - x[:, j], axis=-1)
            where = (bead_names[i], bead_names[j], table[i, j])
            for row, value in enumerate((np.ones_like(r), r, r**2)):
                np.add.at(total[row], where, value.mean(0))
            most = table.max()
            far.append(np.quantile(r[:, table[i, j] == most], [0.001, 0.9]))
        mean, std = _completed(*total)
        low, high = np.mean(far, axis=0)
        width = (high - low) / RADIAL
        return PairClasses(
            name.astype(np.int32),
            mean.astype(np.float32),
            std.astype(np.float32),
            (low + width * np.arange(RADIAL)).astype(np.float32),
            np.asarray(width, np.float32),
        )

    @property
    def finest(self) -> Scalar:
        """Half the standard deviation of the stiffest class."""
        return 0.5 * jnp.min(jnp.asarray(self.std))

    def of(
        self, features: Features
    ) -> tuple[Float[Array, "beads beads"], Float[Array, "beads beads"]]:
        """Mean and standard deviation of each pair of a molecule."""
        name = jnp.asarray(self.name)[features.kind]
        where = (name[:, None], name[None], features.separation)
        return jnp.asarray(self.mean)[where], jnp.asarray(self.std)[where]

    def radial(
        self, r: Float[Array, "beads beads"], level: NoiseLevel
    ) -> Float[Array, "beads beads radial"]:
        """Gaussians of the distance, as wide as noise makes them."""
        variance = (level.alpha * self.width) ** 2 + 2.0 * level.sigma**2
        return jnp.exp(-0.5 * (r[..., None] - level.alpha * self.centres) ** 2 / variance)


class Pairs(eqx.Module):
    """What a layer is told of all pairs.

    Attributes
    ----------
    edges
        Invariant inputs `e_ij`, shape (beads, beads, edge).
    directions
        `n_ij`, shape (beads, beads, 3).
    separation
        One-hot, shape (beads, beads, separations).
    exists
        Zero on the diagonal and where padded, else one.
    """

    edges: Float[Array, "beads beads edge"]
    directions: Float[Array, "beads beads 3"]
    separation: Float[Array, "beads beads separations"]
    exists: Float[Array, "beads beads"]


class MessageLayer(eqx.Module):
    """Two rounds of messages, and the update of the beads that they lead to."""

    here: Float[Array, "rounds width message"]
    there: Float[Array, "rounds width message"]
    first: Float[Array, "edge message"]
    second: Float[Array, "more message"]
    separation: Float[Array, "rounds separations message"]
    weigh: Float[Array, "message vectors"]
    mix: Float[Array, "five vectors vectors"]
    gather: Float[Array, "gathered width"]
    update: Float[Array, "width width"]
    bias: Float[Array, "two width"]

    def __init__(self, options: GraphOptions, edge: int, key: Key):
        width, message, vectors = options.width, options.message, options.vectors
        keys = jax.random.split(key, 9)
        self.here = _normal((2, width, message), width, keys[0])
        self.there = _normal((2, width, message), width, keys[1])
        self.first = _normal((edge, message), edge, keys[2])
        more = edge + message + 3 * vectors
        self.second = _normal((more, message), more, keys[3])
        self.separation = _normal((2, FAR + 1, message), 10, keys[4])
        self.weigh = _normal((message, vectors), message, keys[5])
        self.mix = _normal((5, vectors, vectors), vectors, keys[6])
        gathered = width + 2 * message + 2 * vectors
        self.gather = _normal((gathered, width), gathered, keys[7])
        self.update = _normal((width, width), width, keys[8])
        self.bias = jnp.zeros((2, width))

    def __call__(
        self, h: Float[Array, "beads width"], pairs: Pairs
    ) -> tuple[Float[Array, "beads width"], Float[Array, "beads beads message"]]:
        """Beads after the update, and the messages of the second round."""
        n = pairs.directions
        u = self._messages(0, h, pairs.edges @ self.first, pairs)
        v = jnp.einsum("ijk,ijd->idk", u @ self.weigh, n)
        turned = jnp.cross(n[..., None], v[:, None], axis=2)
        along = (
            jnp.einsum("idk,ijd->ijk", v, n),
            jnp.einsum("jdk,ijd->ijk", v, n),
            jnp.einsum("jdk,ijdk->ijk", v, turned),
        )
        known = jnp.concatenate([pairs.edges, u, *along], axis=-1)
        u2 = self._messages(1, h, known @ self.second, pairs)

        a, b, c, d, e = jnp.einsum("idk,mkl->midl", v, self.mix)
        products = (jnp.sum(a * b, axis=1), jnp.sum(jnp.cross(c, d, axis=1) * e, axis=1))
        sums = (jnp.sum(u, axis=1), jnp.sum(u2, axis=1), *products)
        gathered = jnp.concatenate([h, *(MIXING * s for s in sums)], axis=-1)
        hidden = jax.nn.silu(gathered @ self.gather + self.bias[0])
        return h + jax.nn.silu(hidden @ self.update + self.bias[1]), u2

    def _messages(
        self,
        which: int,
        h: Float[Array, "beads width"],
        known: Float[Array, "beads beads message"],
        pairs: Pairs,
    ) -> Float[Array, "beads beads message"]:
        here, there = h @ self.here[which], h @ self.there[which]
        total = here[:, None] + there[None] + known + pairs.separation @ self.separation[which]
        return jax.nn.silu(total) * pairs.exists[..., None]


class Graph(AbstractNetwork):
    """Energy or score of any molecule whose kinds of beads are in the vocabulary.

    The energy head adds the fixed base `1/N sum z_ij^2 + D/2 <log var_ij>` over pairs: at large
    noise the energy of the Gaussian that the noise is, at small noise a network of springs. The
    score head combines displacement vectors with invariant coefficients, so it turns with the
    molecule; the field head adds to the force of the base. All learned parts start at zero.
    """

    classes: PairClasses
    identity: Float[Array, "kinds width"]
    noise: Float[Array, "embedding width"]
    layers: tuple[MessageLayer, ...]
    last: Float[Array, " width"]
    last_message: Float[Array, " message"]
    head: Head = eqx.field(static=True)

    def __init__(self, options: GraphOptions, classes: PairClasses, head: Head, key: Key):
        keys = jax.random.split(key, options.layers + 2)
        self.classes = classes
        self.identity = jax.random.normal(keys[0], (len(classes.name), options.width))
        self.noise = _normal((NOISE_EMBEDDING_SIZE, options.width), NOISE_EMBEDDING_SIZE, keys[1])
        self.layers = tuple(MessageLayer(options, 1 + RADIAL, k) for k in keys[2:])
        self.last = jnp.zeros(options.width)
        self.last_message = jnp.zeros(options.message)
        self.head = head

    def __call__(
        self, x: Positions, level: NoiseLevel, features: Features
    ) -> Float[Array, ""] | Float[Array, "beads dim"]:
        """Evaluate one frame; see `AbstractNetwork`."""
        exists = 1.0 - jnp.eye(len(x), dtype=x.dtype)
        if features.present is not None:
            exists = exists * (features.present[:, None] & features.present[None])
        displacements = x[:, None] - x[None]
        square = jnp.sum(displacements**2, axis=-1) + 1e-12
        r = jnp.sqrt(square)
        mean, std = self.classes.of(features)
        variance = (level.alpha * std) ** 2 + 2.0 * level.sigma**2
        z = exists * (r - level.alpha * mean) / jnp.sqrt(variance)
        pairs = Pairs(
            jnp.concatenate([z[..., None], self.classes.radial(r, level)], axis=-1),
            displacements / jnp.sqrt(square + BLUNT**2)[..., None],
            jax.nn.one_hot(features.separation, FAR + 1),
            exists,
        )
        h = self.identity[features.kind] + noise_embedding(level, self.classes.finest) @ self.noise
        u = jnp.zeros((*exists.shape, len(self.last_message)))
        for layer in self.layers:
            h, u = layer(h, pairs)
        if self.head != "energy":
            coefficients = exists * (u @ self.last_message + (h @ self.last)[:, None])
            if self.head == "score":
                scale = jnp.sqrt(level.alpha**2 + level.sigma**2)
                return jnp.einsum("ij,ijd->id", coefficients, displacements) / scale
            # along each distance by its own spread, like the gradient of the energy and its base
            springs = 2.0 * z / count(features.present, len(x))
            along = (coefficients - springs) / (r * jnp.sqrt(variance))
            return jnp.einsum("ij,ijd->id", exists * along, displacements)
        n = count(features.present, len(x))
        log_variance = jnp.sum(exists * jnp.log(variance)) / jnp.sum(exists)
        base = 0.5 * jnp.sum(z**2) / n + 1.5 * (n - 1) * log_variance
        beads = h @ self.last
        if features.present is not None:
            beads = jnp.where(features.present, beads, 0.0)
        return base + jnp.sum(beads) + jnp.sum(u @ self.last_message)


def _completed(
    n: Float[np.ndarray, "names names separations"],
    total: Float[np.ndarray, "names names separations"],
    square: Float[np.ndarray, "names names separations"],
) -> tuple[Float[np.ndarray, "names names separations"], ...]:
    """Mean and standard deviation of each class, from sums; of its separation where it is empty."""
    sums = np.stack([n, total, square])
    by_separation = sums.sum(axis=(1, 2), keepdims=True)
    everything = sums.sum(axis=(1, 2, 3), keepdims=True)
    by_separation = np.where(by_separation[0] > 0, by_separation, everything)
    n, total, square = np.where(n > 0, sums, by_separation)
    mean = total / n
    return mean, np.sqrt(np.maximum(square / n - mean**2, 1e-12))


def _cut(
    inputs: NetworkInputs, name: Int[np.ndarray, " kinds"], row: int
) -> tuple[Float[np.ndarray, "..."], Int[np.ndarray, "..."], Int[np.ndarray, "..."]]:
    """Frames, names and separations of one of many molecules, without padding."""
    assert inputs.molecules is not None
    features = inputs.molecules.features
    kind, table = np.asarray(features.kind[row]), np.asarray(features.separation[row])
    present = np.ones(len(kind), bool)
    if features.present is not None:
        present = np.asarray(features.present[row])
    frames = inputs.frames[inputs.molecules.molecule == row][:, present].astype(np.float64)
    return frames, name[kind[present]], table[np.ix_(present, present)]


def _normal(shape: tuple[int, ...], fan_in: int, key: Key) -> Array:
    return jax.random.normal(key, shape) / np.sqrt(fan_in)
