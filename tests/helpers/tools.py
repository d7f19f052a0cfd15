"""Small helpers of the network, model and objective tests."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fokker.network import NetworkInputs
from fokker.types import FAR, Features
from tests.helpers.analytic import MOLECULE_MEAN

BONDS = ((0, 1), (1, 2), (2, 3), (3, 4))
BEADS = 5


def bead_features(n: int) -> Features:
    """Features of one molecule without bonds: every bead its own kind, none padded."""
    return Features(jnp.arange(n), None, FAR * (1 - jnp.eye(n, dtype=int)))


FEATURES = bead_features(BEADS)


def molecule_inputs() -> NetworkInputs:
    """Two hundred centred frames about five beads that are not their mirror image."""
    noise = np.random.default_rng(0).normal(size=(200, BEADS, 3))
    frames = MOLECULE_MEAN + 0.2 * noise
    frames = frames - frames.mean(axis=1, keepdims=True)
    return NetworkInputs(frames.astype(np.float32), BONDS, 3 * (BEADS - 1))


def is_weight(leaf) -> bool:
    """Whether a leaf is trained: constants of a network are NumPy arrays."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def randomise(model, seed: int = 1, scale: float = 0.3):
    """All weights random: heads start at zero, where most tests would pass for any network."""
    leaves, structure = jax.tree.flatten(eqx.filter(model, is_weight))
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    drawn = [scale * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, drawn), model)


def to_double(model):
    """The same model with weights in double precision; call it within `jax.enable_x64(True)`."""
    arrays, rest = eqx.partition(model, lambda leaf: eqx.is_inexact_array_like(leaf))
    cast = jax.tree.map(
        lambda leaf: leaf if isinstance(leaf, float) else jnp.asarray(leaf, jnp.float64), arrays
    )
    return eqx.combine(cast, rest)


def random_rotation(seed: int = 3) -> np.ndarray:
    """A proper rotation."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.linalg.det(q)
