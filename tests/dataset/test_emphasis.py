"""Rare frames are drawn more often and count for less: means stay what they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.dataset.emphasis import MOST, emphasis, emphasised
from fokker.dataset.pool import TURN, Emphasis, Pool, Shares, between, edges_of
from fokker.system import Bead, CollectiveVariable, System

pytestmark = pytest.mark.statistics

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
    np.testing.assert_allclose(np.diff(np.asarray(found.edges)) / TURN, p, rtol=1e-6)


def test_every_one_of_twenty_million_frames_is_drawn_as_often_as_its_weight_says():
    """A third of them are drawn a thousand times more seldom, and then count for it."""
    n, counts = 20_000_000, [12_000_000, 8_000_000]
    p = np.where(np.arange(n) % 3 == 0, 1e-3, 1.0)
    found = emphasised(p, counts)
    edges, weight = np.asarray(found.edges), np.asarray(found.weight, np.float64)
    drawn = np.diff(edges)
    assert edges[0] == 0
    assert edges[-1] == TURN
    assert drawn.min() >= 1
    for own in (slice(counts[0]), slice(counts[0], n)):
        np.testing.assert_allclose(drawn[own] * weight[own], TURN * 0.6 / counts[0], rtol=2e-3)
        assert np.ptp(drawn[own] * weight[own]) < 1e-6 * drawn[own].mean()
    # by all places of the last frames, each is found as often as that
    last = 5_000
    places = jnp.arange(edges[-1 - last], TURN, dtype=jnp.int32)
    times = np.bincount(np.asarray(between(found.edges, places)) - (n - last), minlength=last)
    np.testing.assert_array_equal(times, drawn[-last:])


@pytest.mark.parametrize("size", [1, 7, 512])
def test_places_of_a_batch_are_in_equal_parts_and_anywhere(size):
    """One in each part of a turn that begins anywhere; all bits of each are random."""
    frames = jnp.zeros((TURN // 2**10, 0, 1))
    alike = edges_of(np.ones(len(frames)))
    pool = Pool(frames, emphasis=Emphasis(jnp.asarray(alike), jnp.ones(len(frames))))
    keys = jax.random.split(jax.random.key(0), 4096)
    rows = np.sort(np.asarray(jax.jit(jax.vmap(lambda k: pool.pick(k, size)[0]))(keys)), axis=1)
    gaps = np.diff(rows, axis=1)
    assert (gaps <= 2 * len(frames) / size + 1).all()
    for bins in (rows % 16, rows // (len(frames) // 16)):
        counts = np.bincount(bins.ravel(), minlength=16)
        assert np.abs(counts - rows.size / 16).max() < 5 * np.sqrt(rows.size / 16)


def test_no_exponent_leaves_the_pool_alone(frames):
    assert emphasis([(plane_system(), frames)], [1.0], 0.0) is None
    pool = Pool(jnp.asarray(frames))
    assert pool.weights(jnp.arange(3)) is None


def test_shares_of_molecules_stay(frames):
    """Two molecules, one drawn three times as often: rarity is measured within each."""
    pieces = [frames[:15_000], frames[15_000:]]
    found = emphasis([(plane_system(), piece) for piece in pieces], [3.0, 1.0], 0.5)
    first, count = jnp.asarray([0, 15_000]), jnp.asarray([15_000, 5_000])
    edges = jnp.asarray(edges_of(np.array([0.75, 0.25])))
    shares = Shares(jnp.asarray([7, 4]), first, count, edges)
    pool = Pool(jnp.asarray(frames), shares, found)
    index, molecule = pool.pick(jax.random.key(0), 4000)
    np.testing.assert_array_equal(np.asarray(molecule), np.where(np.asarray(index) < 15_000, 7, 4))
    assert abs(np.mean(np.asarray(molecule) == 7) - 0.75) < 2e-3  # stratified
    assert np.mean(np.asarray(pool.weights(index))) == pytest.approx(1.0, abs=0.05)
