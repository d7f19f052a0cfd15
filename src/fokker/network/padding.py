"""What rows of padding may touch: nothing.

Molecules of different size share a batch by rows of padding, which `present` marks with False. It
is None where nothing is padded, and then each function is what it would be without masks.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
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


def stacked(arrays: Sequence[np.ndarray], fill: np.ndarray | float = 0.0) -> np.ndarray:
    """Stack arrays of different sizes, with `fill` (broadcast) where one ends before another."""
    shape = np.max([array.shape for array in arrays], axis=0)
    found = np.empty((len(arrays), *shape), arrays[0].dtype)
    found[:] = fill
    for row, array in zip(found, arrays, strict=True):
        row[tuple(map(slice, array.shape))] = array
    return found
