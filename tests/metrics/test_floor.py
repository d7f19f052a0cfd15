"""Floors against exact enumeration and asymptotic theory."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from fokker.metrics import jensen_shannon, js_floor, pmf_error, pmf_floor, wasserstein_floor


@pytest.mark.parametrize(("floor", "metric"), [(js_floor, jensen_shannon), (pmf_floor, pmf_error)])
def test_floor_of_two_bins_by_enumeration(floor, metric):
    pool, n, m, draws = np.array([6, 0, 14]), 5, 8, 20_000
    outcomes = [
        (
            binom.pmf(i, n, 0.3) * binom.pmf(j, m, 0.3),
            float(metric(np.array([i, 0, n - i]), np.array([j, 0, m - j]))),
        )
        for i, j in product(range(n + 1), range(m + 1))
    ]
    mean = sum(weight * value for weight, value in outcomes)
    std = math.sqrt(sum(weight * (value - mean) ** 2 for weight, value in outcomes))
    got = floor(pool, n, m, draws=draws, seed=1)
    # Five standard errors of the mean of the draws.
    assert got.mean == pytest.approx(mean, abs=5 * std / math.sqrt(draws))
    assert got.std == pytest.approx(std, rel=0.05)


def test_js_floor_of_many_frames_is_chi_squared():
    # JS of two samples near each other is chi^2 / 8: E = (bins - 1) (1/n + 1/m) / 8. The next order
    # is 1/n smaller relative to bin counts of 1000 and more.
    pool = np.arange(10, 60)
    n, m, draws = 100_000, 40_000, 256
    expected = 49 / 8 * (1 / n + 1 / m)
    floor = js_floor(pool, n, m, draws=draws)
    assert floor.mean == pytest.approx(expected, abs=5 * floor.std / math.sqrt(draws))


def test_floor_falls_with_the_counts_and_repeats_with_the_seed():
    pool = np.random.default_rng(0).integers(0, 50, size=500)
    floors = [js_floor(pool, n, n).mean for n in (1_000, 10_000, 100_000)]
    assert floors[0] > 5 * floors[1] > 25 * floors[2]
    assert js_floor(pool, 100, 100, seed=3) == js_floor(pool, 100, 100, seed=3)
    assert js_floor(pool, 100, 100, seed=3) != js_floor(pool, 100, 100, seed=4)


def test_wasserstein_floor_of_a_uniform_distribution():
    # The difference of two empirical distributions is Gaussian with variance F (1 - F)(1/n + 1/m);
    # the integral of sqrt(F (1 - F)) over [0, 1] is pi / 8.
    n, m, draws = 2_000, 3_000, 200
    expected = math.sqrt(2 / math.pi * (1 / n + 1 / m)) * math.pi / 8
    pool = np.random.default_rng(0).permutation((np.arange(20_000) + 0.5) / 20_000)
    floor = wasserstein_floor(pool, n, m, draws=draws)
    assert floor.mean == pytest.approx(expected, abs=5 * floor.std / math.sqrt(draws))


def test_wasserstein_floor_on_the_circle_and_with_failures():
    pool = np.random.default_rng(0).uniform(size=1_000)
    line = wasserstein_floor(pool, 500, 500)
    assert wasserstein_floor(pool, 500, 500, period=1.0).mean < line.mean
    assert wasserstein_floor(np.append(pool, [np.nan, np.inf]), 500, 500) == line
