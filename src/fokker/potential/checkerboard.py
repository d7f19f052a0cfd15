"""Checkerboard distribution."""

import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float

from ..types import Key
from .base import AbstractDistribution


class Checkerboard(AbstractDistribution):
    """Uniform on the eight dark unit squares of a 4 x 4 board over [-2, 2]^2.

    The square with the corner (-2, -2) is dark. The density is discontinuous, so there are samples
    but no energy and no force.
    """

    def sample(self, key: Key, n: int) -> Float[Array, "n 1 2"]:
        """Return n independent frames."""
        key_square, key_offset = random.split(key)
        square = random.randint(key_square, (n,), 0, 8)
        row = square // 2
        column = 2 * (square % 2) + row % 2
        corner = jnp.stack([column, row], axis=-1) - 2.0
        return (corner + random.uniform(key_offset, (n, 2)))[:, None, :]
