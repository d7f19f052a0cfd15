r"""Graph transformer: beads attend to each other along displacement vectors.

Keys and values get a linear projection of the edge `e_ij = (x_i - x_j, |x_i - x_j|^2)` (arXiv
2302.00600, 2506.17139), with `dim + 1` raw features. Projecting every edge to all heads takes
N x N x (heads head_width) numbers a layer; attention is linear in both, so the same function is

    q_i . (k_j + W e_ij)         = q_i . k_j + (W^T q_i) . e_ij
    sum_j a_ij (v_j + W' e_ij)   = sum_j a_ij v_j + W' sum_j a_ij e_ij

and with `y_j = (x_j, |x_j|^2)`, `u_i = W^T q_i`, and what is the same for every j left to cancel in
the softmax,

    u_i . e_ij                   ~ (-u_i^x - 2 u_i^d x_i, u_i^d) . y_j
    sum_j a_ij e_ij              = (x_i - m_i^x, |x_i - m_i^x|^2 + m_i^d - |m_i^x|^2)

with `m_i = sum_j a_ij y_j`: attention with keys and values `dim + 1` wider, and nothing of size
N x N but the attention weights. Frames are centred and scaled to unit variance first, which keeps
`|x|^2` small and with it the cancellation between the two sides.

In a model of many molecules the attention weights get a bias by the number of bonds between two
beads besides, one a layer and head, which tells equal kinds of beads apart by where they are in the
molecule; beads that are padded are attended to by none.
"""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from ..errors import FokkerError
from ..options import Options
from ..types import FAR, Features, Key, NoiseLevel, Positions
from .base import NOISE_EMBEDDING_SIZE, AbstractNetwork, Head, NetworkInputs, noise_embedding
from .padding import centre, count, keep
from .residual import rows
from .time import Embedding, time_embedding, time_embedding_size


class GraphTransformerOptions(Options):
    """Options of the graph transformer."""

    name: Literal["graph-transformer"] = "graph-transformer"
    rotation_invariant: ClassVar[bool] = False
    any_molecule: ClassVar[bool] = True
    width: int = Field(default=96, ge=1, le=16_384, description="numbers a bead")
    layers: int = Field(default=2, ge=1, le=256)
    heads: int = Field(default=8, ge=1, le=256)
    head_width: int = Field(default=32, ge=1, le=4096, description="numbers a query, key and value")
    expansion: int = Field(
        default=4, ge=1, le=64, description="feed-forward width in units of `width`"
    )

    embedding: Embedding = Field(
        default="log-snr",
        description="log-snr: of the noise level; time: sines and cosines of diffusion time and no "
        "Gaussian to start from, as arXiv 2506.17139 has it",
    )

    def build(self, inputs: NetworkInputs, head: Head, key: Key) -> "GraphTransformer":
        """Return a network whose bead identities are 0 to beads - 1, or kinds of a vocabulary.

        Raises
        ------
        FokkerError
            For a single bead, which has no edges.
        """
        if inputs.frames.shape[1] < 2:
            raise FokkerError(
                "network 'graph-transformer' works on displacements between beads and the system "
                "has 1 bead: use network 'mlp'"
            )
        return GraphTransformer(self, inputs, head, key)


class EdgeAttention(eqx.Module):
    """Multi-head attention whose keys and values contain a projection of the edges."""

    query: Float[Array, "heads head_width width"]
    key: Float[Array, "heads head_width width"]
    value: Float[Array, "heads head_width width"]
    edge_key: Float[Array, "heads head_width edge"]
    edge_value: Float[Array, "heads head_width edge"]
    out: Float[Array, "width heads head_width"]
    separation: Float[Array, "separations heads"] | None

    def __init__(self, width: int, heads: int, head_width: int, edge: int, several: bool, key: Key):
        keys = jax.random.split(key, 6)
        self.query, self.key, self.value = (
            _uniform((heads, head_width, width), width, k) for k in keys[:3]
        )
        self.edge_key, self.edge_value = (
            _uniform((heads, head_width, edge), edge, k) for k in keys[3:5]
        )
        self.out = _uniform((width, heads, head_width), heads * head_width, keys[5])
        self.separation = jnp.zeros((FAR + 1, heads)) if several else None

    def __call__(
        self, h: Float[Array, "beads width"], x: Positions, features: Features
    ) -> Float[Array, "beads width"]:
        """Attend from every bead to all beads, itself included."""
        q, k, v = (jnp.einsum("iw,hdw->ihd", h, w) for w in (self.query, self.key, self.value))
        square = jnp.sum(x**2, axis=-1, keepdims=True)
        y = jnp.concatenate([x, square], axis=-1)

        u = jnp.einsum("ihd,hdf->ihf", q, self.edge_key)
        u_vector, u_square = u[..., :-1], u[..., -1:]
        u = jnp.concatenate([-u_vector - 2.0 * u_square * x[:, None], u_square], axis=-1)
        logits = jnp.einsum("ihd,jhd->hij", q, k) + jnp.einsum("ihf,jf->hij", u, y)
        logits = self._biased(logits / jnp.sqrt(q.shape[-1]), features)
        a = jax.nn.softmax(logits, axis=-1)

        m = jnp.einsum("hij,jf->ihf", a, y)
        m_vector, m_square = m[..., :-1], m[..., -1:]
        vector = x[:, None] - m_vector
        spread = m_square - jnp.sum(m_vector**2, axis=-1, keepdims=True)
        edge = jnp.concatenate(
            [vector, jnp.sum(vector**2, axis=-1, keepdims=True) + spread], axis=-1
        )
        mixed = jnp.einsum("hij,jhd->ihd", a, v) + jnp.einsum("ihf,hdf->ihd", edge, self.edge_value)
        return jnp.einsum("ihd,whd->iw", mixed, self.out)

    def _biased(
        self, logits: Float[Array, "heads beads beads"], features: Features
    ) -> Float[Array, "heads beads beads"]:
        """Add the bias by separation; no weight on beads that are padded."""
        if self.separation is not None:
            # as a product, since a gather turns into a scatter in the gradient
            hot = jax.nn.one_hot(features.separation, FAR + 1)
            logits = logits + jnp.einsum("ijs,sh->hij", hot, self.separation)
        if features.present is not None:
            logits = jnp.where(features.present, logits, -jnp.inf)
        return logits


class GatedResidual(eqx.Module):
    """`h <- g update + (1 - g) h` with one gate `g = sigmoid(a . update + b . h)` a bead."""

    weight: Float[Array, "two width"]

    def __init__(self, width: int, key: Key):
        self.weight = _uniform((2, width), 2 * width, key)

    def __call__(
        self, update: Float[Array, "beads width"], h: Float[Array, "beads width"]
    ) -> Float[Array, "beads width"]:
        """Mix the old and the new."""
        gate = jax.nn.sigmoid(update @ self.weight[0] + h @ self.weight[1])[:, None]
        return h + gate * (update - h)


class Layer(eqx.Module):
    """Attention and a feed-forward map, each after a norm and into a gated residual."""

    attention_norm: eqx.nn.LayerNorm
    attention: EdgeAttention
    attention_gate: GatedResidual
    forward_norm: eqx.nn.LayerNorm
    expand: eqx.nn.Linear
    contract: eqx.nn.Linear
    forward_gate: GatedResidual

    def __init__(self, options: GraphTransformerOptions, edge: int, several: bool, key: Key):
        keys = jax.random.split(key, 5)
        width, hidden = options.width, options.expansion * options.width
        self.attention_norm = eqx.nn.LayerNorm(width)
        self.attention = EdgeAttention(
            width, options.heads, options.head_width, edge, several, keys[0]
        )
        self.attention_gate = GatedResidual(width, keys[1])
        self.forward_norm = eqx.nn.LayerNorm(width)
        self.expand = eqx.nn.Linear(width, hidden, key=keys[2])
        self.contract = eqx.nn.Linear(hidden, width, key=keys[3])
        self.forward_gate = GatedResidual(width, keys[4])

    def __call__(
        self, h: Float[Array, "beads width"], x: Positions, features: Features
    ) -> Float[Array, "beads width"]:
        """Update all beads."""
        update = self.attention(jax.vmap(self.attention_norm)(h), x, features)
        h = self.attention_gate(update, h)
        hidden = jax.nn.silu(rows(self.expand, jax.vmap(self.forward_norm)(h)))
        return self.forward_gate(rows(self.contract, hidden), h)


class GraphTransformer(AbstractNetwork):
    """Translation invariant, and equivariant to a permutation of beads with their identities.

    It is not rotation equivariant: train it on randomly rotated frames. The energy head sums a
    scalar map of each bead to the energy of the Gaussian of variance `alpha^2 + sigma^2`, the
    score head maps each bead to a vector, and the field head adds that to the Gaussian's score; the
    maps start at zero. With the embedding of time there is no Gaussian.
    """

    identity: Float[Array, "kinds width"]
    noise: eqx.nn.Linear
    layers: tuple[Layer, ...]
    last: Float[Array, "n_out width"]
    head: Head = eqx.field(static=True)
    degrees_of_freedom: int | None = eqx.field(static=True)
    interval: tuple[float, float] | None = eqx.field(static=True)

    def __init__(
        self,
        options: GraphTransformerOptions,
        inputs: NetworkInputs,
        head: Head,
        key: Key,
    ):
        _, beads, dim = inputs.frames.shape
        several = inputs.molecules is not None
        kinds = len(inputs.molecules.kinds) if inputs.molecules is not None else beads
        keys = jax.random.split(key, options.layers + 2)
        self.identity = jax.random.normal(keys[0], (kinds, options.width))
        self.interval = inputs.interval if options.embedding == "time" else None
        size = time_embedding_size(self.interval) if self.interval else NOISE_EMBEDDING_SIZE
        self.noise = eqx.nn.Linear(size, options.width, key=keys[1])
        self.layers = tuple(Layer(options, dim + 1, several, k) for k in keys[2:])
        self.last = jnp.zeros((1 if head == "energy" else dim, options.width))
        self.head = head
        self.degrees_of_freedom = None if several else inputs.degrees_of_freedom

    def __call__(
        self, x: Positions, level: NoiseLevel, features: Features
    ) -> Float[Array, ""] | Float[Array, "beads dim"]:
        """Evaluate one frame; see `AbstractNetwork`."""
        variance = level.alpha**2 + level.sigma**2
        z = centre(keep(x, features.present), features.present) / jnp.sqrt(variance)
        timed = self.interval is not None
        h = self.identity[features.kind] + self.noise(self._embedded(level))
        for layer in self.layers:
            h = layer(h, z, features)
        if self.head != "energy":
            out = keep(h @ self.last.T, features.present)
            return out if self.head == "score" or timed else (out - z) / jnp.sqrt(variance)
        learned = self.last[0] @ jnp.sum(keep(h, features.present), axis=0)
        if timed:
            return learned
        degrees = self.degrees_of_freedom
        if degrees is None:
            degrees = x.shape[1] * (count(features.present, x.shape[0]) - 1)
        base = 0.5 * jnp.sum(z**2) + 0.5 * degrees * jnp.log(variance)
        return base + learned

    def _embedded(self, level: NoiseLevel) -> Float[Array, " embedding"]:
        if self.interval is None:
            return noise_embedding(level)
        return time_embedding(level, self.interval)


def _uniform(shape: tuple[int, ...], fan_in: int, key: Key) -> Array:
    """Weights of variance 1 / (3 fan_in), as `eqx.nn.Linear` starts."""
    bound = fan_in**-0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)
