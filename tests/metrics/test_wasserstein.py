"""Wasserstein-1: closed forms on the line and on the circle, metric axioms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm, wasserstein_distance

from fokker.metrics import wasserstein_1d

TURN = 2 * math.pi


def test_shift():
    a = np.random.default_rng(0).normal(size=1000)
    assert wasserstein_1d(a, a) == 0.0
    assert wasserstein_1d(a, a - 0.7) == pytest.approx(0.7, rel=1e-12)


def test_two_gaussians_of_unequal_size():
    # Quantiles stand for samples. W1 = E |dm + ds Z|, the mean of a folded normal distribution; the
    # quantile rule leaves out the tails beyond 1/n, about log(n)/n.
    a = norm.ppf((np.arange(20_000) + 0.5) / 20_000, loc=0.0, scale=1.0)
    b = norm.ppf((np.arange(30_000) + 0.5) / 30_000, loc=0.5, scale=1.8)
    dm, ds = 0.5, 0.8
    exact = ds * math.sqrt(2 / math.pi) * math.exp(-0.5 * (dm / ds) ** 2)
    exact += dm * (1 - 2 * norm.cdf(-dm / ds))
    assert wasserstein_1d(a, b) == pytest.approx(exact, abs=5e-4)


def test_agrees_with_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=37), rng.exponential(size=113)
    assert wasserstein_1d(a, b) == pytest.approx(wasserstein_distance(a, b), rel=1e-12)
    ties = np.round(a), np.round(b)
    assert wasserstein_1d(*ties) == pytest.approx(wasserstein_distance(*ties), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_circle_agrees_with_the_optimal_assignment(seed):
    a, b = np.random.default_rng(seed).uniform(-math.pi, math.pi, size=(2, 12))
    cost = np.abs(np.angle(np.exp(1j * (a[:, None] - b))))
    rows, columns = linear_sum_assignment(cost)
    assert wasserstein_1d(a, b, TURN) == pytest.approx(cost[rows, columns].mean(), rel=1e-10)


def test_circle_closes_at_pi():
    a, b = np.full(5, math.pi - 0.1), np.full(3, -math.pi + 0.2)
    assert wasserstein_1d(a, b, TURN) == pytest.approx(0.3, rel=1e-12)
    assert wasserstein_1d(a, b) == pytest.approx(TURN - 0.3, rel=1e-12)


def test_a_value_that_is_not_finite_is_infinitely_far():
    a = np.arange(4.0)
    assert wasserstein_1d(a, np.array([0.0, np.nan])) == math.inf
    assert wasserstein_1d(np.array([np.inf]), a, TURN) == math.inf


samples = st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=8).map(np.array)


@settings(deadline=None, max_examples=200)
@given(samples, samples, samples, st.sampled_from([None, TURN]))
def test_metric_axioms(a, b, c, period):
    ab, bc, ac = (wasserstein_1d(*pair, period) for pair in ((a, b), (b, c), (a, c)))
    assert ac <= ab + bc + 1e-12
    assert ab == pytest.approx(wasserstein_1d(b, a, period), abs=1e-12)
    assert wasserstein_1d(a, a, period) == pytest.approx(0.0, abs=1e-12)
