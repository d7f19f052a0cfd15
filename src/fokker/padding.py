"""What rows of padding may touch: nothing.

Molecules of different size share a batch by rows of padding, which `present` marks with False. It
is None where nothing is padded, and then each function is what it would be without masks.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Rows = Float[Array, "*batch beads dim"]
Present = Bool[Array, " beads"] | None


def keep(x: Rows, present: Present) -> Rows:
    """Put zeros where padded; a gradient through it is zero there as well."""
    return x if present is None else jnp.where(present[:, None], x, 0.0)


def centre(x: Rows, present: Present) -> Rows:
    """Subtract the mean over the beads; zero where padded."""
    if present is None:
        return x - jnp.mean(x, axis=-2, keepdims=True)
    mean = jnp.sum(keep(x, present), axis=-2, keepdims=True) / count(present, len(present))
    return keep(x - mean, present)


def count(present: Present, n_rows: int) -> Int[Array, ""] | int:
    """Number of beads: that of the rows, known when compiled, if none is padded."""
    return n_rows if present is None else jnp.sum(present)
