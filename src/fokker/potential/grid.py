"""Boltzmann samples of a one-bead potential from a fine grid."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from ..types import Key, Positions, Scalar


def sample_boltzmann(
    energy: Callable[[Positions], Scalar],
    kT: float,
    limits: tuple[tuple[float, float], ...],
    cells: tuple[int, ...],
    key: Key,
    n: int,
) -> Float[Array, "n 1 dim"]:
    """Draw from `exp(-energy / kT)` on a box, taken as constant on each cell of a grid.

    The relative error of the density is `h^2 energy'' / (24 kT)` for a cell of width h. Runs on the
    host, in double precision: a float32 cumulative sum would lose the cells in the tails.

    Parameters
    ----------
    limits : lower and upper end of each axis
    cells : number of cells of each axis
    """
    lower, upper = np.asarray(limits).T
    width = (upper - lower) / np.asarray(cells)
    axes = [low + h * (np.arange(c) + 0.5) for low, h, c in zip(lower, width, cells, strict=True)]
    centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(cells))
    energies = np.asarray(jax.vmap(energy)(jnp.asarray(centres, jnp.float32)[:, None, :]))
    cumulative = np.cumsum(np.exp(-(energies.astype(np.float64) - energies.min()) / kT))

    rng = np.random.default_rng(np.asarray(random.key_data(key)))
    cell = np.searchsorted(cumulative, cumulative[-1] * rng.random(n), side="right")
    x = centres[cell] + width * (rng.random((n, len(cells))) - 0.5)
    return jnp.asarray(x[:, None, :], jnp.float32)
