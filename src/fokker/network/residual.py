"""The trunk that the dense networks share."""

from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import Key


class ResidualTrunk(eqx.Module):
    """`h <- h + silu(W h + b)`, `depth` times, between linear maps; the last one starts at 0.

    Frames of a batch stay rows of every product: `W h`, as `eqx.nn.Linear` has it, makes them
    columns, and each layer and each derivative of it turns the batch round once more.
    """

    first: eqx.nn.Linear
    layers: tuple[eqx.nn.Linear, ...]
    last: eqx.nn.Linear

    def __init__(self, n_in: int, n_out: int, width: int, depth: int, key: Key):
        keys = jax.random.split(key, depth + 2)
        self.first = eqx.nn.Linear(n_in, width, key=keys[0])
        self.layers = tuple(eqx.nn.Linear(width, width, key=k) for k in keys[1:-1])
        last = eqx.nn.Linear(width, n_out, key=keys[-1])
        self.last = cast(eqx.nn.Linear, jax.tree.map(lambda leaf: jnp.zeros_like(leaf), last))

    def __call__(self, inputs: Float[Array, " n_in"]) -> Float[Array, " n_out"]:
        """Evaluate one input vector."""
        h = jax.nn.silu(rows(self.first, inputs))
        for layer in self.layers:
            h = h + jax.nn.silu(rows(layer, h))
        return rows(self.last, h)


def rows(linear: eqx.nn.Linear, h: Float[Array, "*rows n_in"]) -> Float[Array, "*rows n_out"]:
    """Apply a linear map to one vector, or to every row as one product."""
    return h @ linear.weight.T + cast(Array, linear.bias)
