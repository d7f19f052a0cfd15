"""Dense layers on positions and time, the network of arXiv 2506.17139 for toy systems."""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from ..options import Options
from ..types import Features, Key, NoiseLevel, Positions
from .base import AbstractNetwork, Head, NetworkInputs, only_one_molecule
from .residual import rows
from .time import time_embedding, time_embedding_size


class DenseOptions(Options):
    """Options of the dense network."""

    name: Literal["dense"] = "dense"
    rotation_invariant: ClassVar[bool] = False
    any_molecule: ClassVar[bool] = False
    widths: tuple[Annotated[int, Field(ge=1, le=16_384)], ...] = Field(
        default=(92, 92, 92), min_length=1, max_length=256, description="one number a hidden layer"
    )

    def build(self, inputs: NetworkInputs, head: Head, key: Key) -> "Dense":
        """Return a network for frames of the given shape."""
        only_one_molecule(inputs, self.name)
        _, beads, dim = inputs.frames.shape
        n_in = beads * dim + time_embedding_size(inputs.interval)
        n_out = 1 if head == "energy" else beads * dim
        sizes = (n_in, *self.widths, n_out)
        keys = jax.random.split(key, len(sizes) - 1)
        layers = tuple(_layer(*ends, k) for ends, k in zip(pairwise(sizes), keys, strict=True))
        return Dense(layers, head, inputs.interval)


class Dense(AbstractNetwork):
    """`h <- silu(W h + b)`, and a linear map; nothing is known of the energy beforehand."""

    layers: tuple[eqx.nn.Linear, ...]
    head: Head = eqx.field(static=True)
    interval: tuple[float, float] = eqx.field(static=True)

    def __call__(
        self, x: Positions, level: NoiseLevel, features: Features
    ) -> Float[Array, ""] | Float[Array, "beads dim"]:
        """Evaluate one frame; see `AbstractNetwork`."""
        h = jnp.concatenate([x.ravel(), time_embedding(level, self.interval)])
        for layer in self.layers[:-1]:
            h = jax.nn.silu(rows(layer, h))
        out = rows(self.layers[-1], h)
        return out[0] if self.head == "energy" else out.reshape(x.shape)


def _layer(n_in: int, n_out: int, key: Key) -> eqx.nn.Linear:
    """Weights of variance 1 / n_in (LeCun 1998), no bias: what the paper starts from."""
    linear = eqx.nn.Linear(n_in, n_out, key=key)
    weight = jax.nn.initializers.lecun_normal(in_axis=1, out_axis=0)(key, (n_out, n_in))
    return eqx.tree_at(lambda at: (at.weight, at.bias), linear, (weight, jnp.zeros(n_out)))
