"""Springs of least score-matching loss: what they must be where the answer is known."""

import jax.numpy as jnp
import numpy as np

from fokker.network.coordinates import differences, ring_pairs
from fokker.network.springs import Springs
from fokker.types import NoiseLevel


def pairs_of(n):
    return np.stack(ring_pairs(n), axis=1)


def test_ring_pairs_are_all_pairs_once_and_differences_are_theirs():
    for n in range(2, 12):
        i, j = ring_pairs(n)
        assert len({frozenset(pair) for pair in zip(i, j, strict=True)}) == n * (n - 1) // 2
        v = np.random.default_rng(n).normal(size=n).astype(np.float32)
        np.testing.assert_allclose(differences(jnp.asarray(v)), v[i] - v[j], atol=1e-6)


def test_a_stiff_bond_gets_a_half_and_noise_one_over_n():
    """One bond of 2,000 lengths: the weight of its own Gaussian. In pure noise all pairs alike."""
    random = np.random.default_rng(0)
    r = 1.0 + 0.01 * random.normal(size=2000)
    way = random.normal(size=(2000, 3))
    way *= (r / np.linalg.norm(way, axis=1))[:, None]
    frames = np.stack([0.5 * way, -0.5 * way], axis=1)
    kind = np.zeros(1, int)
    found = Springs.fitted(frames, pairs_of(2), kind, np.array([r.mean()]), np.array([r.std()]))
    # four standard errors of a variance from 2,000 lengths
    assert abs(found.stiffness[0, 0] - 0.5) < 0.5 * 4 * np.sqrt(2 / 2000)

    molecules = random.normal(size=(2048, 4, 3)) * 1e-3
    molecules -= molecules.mean(axis=1, keepdims=True)
    pairs = pairs_of(4)
    lengths = np.linalg.norm(molecules[:, pairs[:, 0]] - molecules[:, pairs[:, 1]], axis=-1)
    kind = np.arange(len(pairs)) % 2
    found = Springs.fitted(molecules, pairs, kind, lengths.mean(axis=0), lengths.std(axis=0))
    level = NoiseLevel(jnp.asarray(0.1), jnp.asarray(0.995))
    np.testing.assert_allclose(found(level), 0.25, rtol=0.1)


def test_alike_is_one_over_n_at_every_level():
    found = Springs.alike(5, 10)
    for sigma in (1e-5, 0.1, 0.999):
        level = NoiseLevel(jnp.sqrt(1 - sigma**2), jnp.asarray(sigma))
        np.testing.assert_allclose(found(level), 0.2, rtol=1e-5)
