"""Rare frames are drawn more often and count for less: means stay what they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.dataset.emphasis import MOST, emphasis
from fokker.dataset.pool import Pool, Shares
from fokker.system import Bead, CollectiveVariable, System

N, RARE = 20_000, 0.004


def plane_system() -> System:
    return System(
        name="plane",
        dim=2,
        beads=(Bead(name="P"),),
        kT=1.0,
        centred=False,
        collective_variables=(
            CollectiveVariable(name="x", kind="coordinate", indices=(0,), limits=(-3, 3)),
            CollectiveVariable(name="y", kind="coordinate", indices=(1,), limits=(-3, 3)),
        ),
    )


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Two narrow states, one of them with four frames in a thousand."""
    rng = np.random.default_rng(0)
    x = 0.3 * rng.normal(size=(N, 1, 2)) + np.array([-2.0, 0.0])
    x[rng.random(N) < RARE] += np.array([4.0, 0.0])
    return x.astype(np.float32)


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0])
def test_weighted_means_are_those_of_all_frames(frames, exponent):
    """Within four standard errors of what was drawn, for a function of the rare state alone."""
    found = emphasis([(plane_system(), frames)], [1.0], exponent)
    pool = Pool(jnp.asarray(frames), emphasis=found)
    keys = jax.random.split(jax.random.key(0), 200)
    index = np.concatenate([np.asarray(pool.pick(key, 1000)[0]) for key in keys])
    rare = frames[:, 0, 0] > 0
    weighted = np.asarray(pool.weights(jnp.asarray(index))) * rare[index]
    error = weighted.std() / np.sqrt(len(weighted))
    assert abs(weighted.mean() - rare.mean()) < 4 * error
    assert rare[index].mean() > 2 * rare.mean()
    plain = np.sqrt(rare.mean() / len(weighted))
    assert error < 0.8 * plain


def test_probabilities_are_bounded_and_sum_to_one(frames):
    found = emphasis([(plane_system(), frames)], [1.0], 1.0)
    p = 1.0 / (N * np.asarray(found.weight, np.float64))
    assert p.sum() == pytest.approx(1.0, abs=1e-4)
    assert p.max() * N < 2 * MOST
    np.testing.assert_allclose(np.diff(np.asarray(found.cumulative, np.float64)), p[1:], atol=2e-7)


def test_no_exponent_leaves_the_pool_alone(frames):
    assert emphasis([(plane_system(), frames)], [1.0], 0.0) is None
    pool = Pool(jnp.asarray(frames))
    assert pool.weights(jnp.arange(3)) is None


def test_shares_of_molecules_stay(frames):
    """Two molecules, one drawn three times as often: rarity is measured within each."""
    pieces = [frames[:15_000], frames[15_000:]]
    found = emphasis([(plane_system(), piece) for piece in pieces], [3.0, 1.0], 0.5)
    first, count = jnp.asarray([0, 15_000]), jnp.asarray([15_000, 5_000])
    shares = Shares(jnp.asarray([7, 4]), first, count, jnp.asarray([0.75, 1.0]))
    pool = Pool(jnp.asarray(frames), shares, found)
    index, molecule = pool.pick(jax.random.key(0), 4000)
    np.testing.assert_array_equal(np.asarray(molecule), np.where(np.asarray(index) < 15_000, 7, 4))
    assert abs(np.mean(np.asarray(molecule) == 7) - 0.75) < 2e-3  # stratified
    assert np.mean(np.asarray(pool.weights(index))) == pytest.approx(1.0, abs=0.05)
