"""The noise generator: known answers, moments, independence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from fokker.dynamics.noise import cosine, standard_normal, threefry

pytestmark = pytest.mark.statistics


def words(*values):
    return jnp.array(values, jnp.uint32)


def test_threefry_matches_the_published_known_answers():
    # kat_vectors of Random123: key, counter -> output, 20 rounds.
    ones = 0xFFFFFFFF
    cases = [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((ones, ones), (ones, ones), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ]
    for key, counter, expected in cases:
        out = threefry(words(*key), words(counter[0]), words(counter[1]))
        assert (int(out[0][0]), int(out[1][0])) == expected


def test_cosine_is_accurate_over_the_whole_turn():
    turn = np.linspace(0, 2**32 - 1, 200_001).astype(np.uint32)
    # 24 bits of a quadrant are kept: less than 1e-7 of angle, beside float32 rounding and the
    # truncated series, (pi/4)^9 / 9! = 3e-7.
    exact = np.cos(2 * np.pi * (turn.astype(np.float64) / 2**32 - 1 / 8))
    np.testing.assert_allclose(cosine(jnp.asarray(turn)), exact, atol=7e-7)


@pytest.fixture(scope="module")
def noise():
    draw = jax.jit(lambda step: standard_normal(words(3, 7), step, 2000))
    return np.asarray(jax.vmap(draw)(jnp.arange(200)), np.float64)


def test_numbers_are_standard_normal(noise):
    # Kolmogorov-Smirnov at 400,000 numbers: this seed is fixed, a p-value below 1e-3 is a defect.
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    n = noise.size
    # Standard errors of the first moments of a normal sample; five of them.
    assert abs(noise.mean()) < 5 / n**0.5
    assert abs(noise.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs(stats.kurtosis(noise.ravel())) < 5 * (24 / n) ** 0.5
    assert 4 < np.abs(noise).max() < 6


def test_numbers_of_different_steps_and_elements_are_uncorrelated(noise):
    n = noise.size
    neighbours = [
        (noise[1:], noise[:-1]),
        (noise[:, 1:], noise[:, :-1]),
        (noise[1:, 1:], noise[:-1, :-1]),
    ]
    # Products of two independent numbers have variance 1, products of two chi^2 - 1 variance 4.
    for a, b in neighbours:
        assert abs((a * b).mean()) < 5 / n**0.5
        assert abs(((a**2 - 1) * (b**2 - 1)).mean()) < 10 / n**0.5


def test_numbers_depend_on_key_step_and_element_only():
    draw = jax.jit(standard_normal, static_argnums=2)
    first = draw(words(3, 7), jnp.asarray(5), 100)
    np.testing.assert_array_equal(first, draw(words(3, 7), jnp.asarray(5), 300)[:100])
    assert not np.isclose(first, draw(words(3, 8), jnp.asarray(5), 100)).any()
    assert not np.isclose(first, draw(words(3, 7), jnp.asarray(6), 100)).any()


def test_numbers_agree_in_distribution_with_jax():
    ours = standard_normal(words(1, 2), jnp.asarray(0), 100_000)
    theirs = random.normal(random.key(0), (100_000,))
    assert stats.ks_2samp(np.asarray(ours), np.asarray(theirs)).pvalue > 1e-3
