"""The textbook form of edge attention, N x N x heads x head_width numbers a layer.

What `fokker.network.graph_transformer` must equal, and is timed against in `benchmarks/`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from fokker.network import GraphTransformer
from fokker.network.graph_transformer import EdgeAttention


class DenseAttention(eqx.Module):
    """The same parameters; every edge projected to every head."""

    weights: EdgeAttention

    def __call__(self, h, x, features):
        """Attend from every bead to all beads."""
        w = self.weights
        q, k, v = (jnp.einsum("iw,hdw->ihd", h, p) for p in (w.query, w.key, w.value))
        displacement = x[:, None] - x[None]
        square = jnp.sum(displacement**2, axis=-1, keepdims=True)
        edge = jnp.concatenate([displacement, square], axis=-1)
        keys = k[None] + jnp.einsum("ijf,hdf->ijhd", edge, w.edge_key)
        values = v[None] + jnp.einsum("ijf,hdf->ijhd", edge, w.edge_value)
        logits = jnp.einsum("ihd,ijhd->hij", q, keys) / jnp.sqrt(q.shape[-1])
        attention = jax.nn.softmax(logits, axis=-1)
        return jnp.einsum("ihd,whd->iw", jnp.einsum("hij,ijhd->ihd", attention, values), w.out)


def densify(network: GraphTransformer) -> GraphTransformer:
    """The same network with dense attention."""
    attentions = [layer.attention for layer in network.layers]
    return eqx.tree_at(
        lambda n: [layer.attention for layer in n.layers],
        network,
        [DenseAttention(attention) for attention in attentions],
    )
