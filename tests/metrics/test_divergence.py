"""JS and PMF error: closed forms, bounds, binning, failed frames, error bars."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from fokker.metrics import (
    jensen_shannon,
    jensen_shannon_error,
    joint_bins,
    joint_edges,
    joint_size,
    pmf_bins,
    pmf_error,
    pmf_size,
)

LN2 = math.log(2.0)
FINE = np.zeros(3000, bool)


@pytest.fixture
def planes():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3000, 2)), rng.normal(0.3, 1.2, size=(3000, 2))


def test_js_closed_forms():
    p = np.array([3, 1, 0])
    assert jensen_shannon(p, 5 * p) == 0.0
    assert jensen_shannon(p, np.array([0, 0, 7])) == pytest.approx(LN2, rel=1e-15)
    # m = (3/4, 1/4): 1/2 log(4/3) + 1/2 (1/2 log(2/3) + 1/2 log 2)
    expected = 0.5 * math.log(4 / 3) + 0.25 * (math.log(2 / 3) + LN2)
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(expected)


counts = st.lists(st.integers(0, 1000), min_size=6, max_size=6).filter(any).map(np.array)


@settings(deadline=None, max_examples=200)
@given(counts, counts)
def test_js_is_bounded_and_symmetric(p, q):
    js = float(jensen_shannon(p, q))
    assert 0.0 <= js <= LN2
    assert js == pytest.approx(float(jensen_shannon(q, p)), abs=1e-15)


def test_js_of_frames_is_scipys_squared_distance_of_numpys_histograms(planes):
    a, b = planes
    edges = joint_edges(a, b, 64)
    histograms = [np.histogram2d(*plane.T, bins=edges)[0].ravel() for plane in planes]
    binned = [joint_bins(plane, edges, FINE) for plane in planes]
    counts = [np.bincount(bins, minlength=joint_size(edges)) for bins in binned]
    np.testing.assert_array_equal(counts[0][:-1], histograms[0])
    np.testing.assert_array_equal(counts[1][:-1], histograms[1])
    assert jensen_shannon(*counts) == pytest.approx(jensenshannon(*histograms) ** 2, rel=1e-12)


def test_joint_edges_span_both_sets_and_survive_constants(planes):
    a, b = planes
    for column, edge in enumerate(joint_edges(a, b, 10)):
        both = np.concatenate(planes)[:, column]
        assert len(edge) == 11
        assert (edge[0], edge[-1]) == (both.min(), both.max())
    constant = np.ones((4, 1))
    (edge,) = joint_edges(constant, constant, 10)
    assert np.all(np.diff(edge) > 0)
    assert np.all(joint_bins(constant, [edge], np.zeros(4, bool)) == 0)
    assert np.isfinite(joint_edges(np.full((3, 2), np.nan), np.full((1, 2), np.inf), 4)).all()


def test_failed_frames_fill_the_last_bin(planes):
    a, b = planes
    a[5] = np.nan
    failed = FINE.copy()
    failed[[7, 9]] = True
    edges = joint_edges(a, b, 8)
    assert set(np.flatnonzero(joint_bins(a, edges, failed) == 64)) == {5, 7, 9}
    limits = [(-1.0, 1.0), (-1.0, 1.0)]
    assert set(np.flatnonzero(pmf_bins(a, limits, failed) == 64 * 64)) == {5, 7, 9}
    assert (joint_size(edges), pmf_size(2), pmf_size(1)) == (65, 4097, 65)


def test_a_failing_frame_never_lowers_js(planes):
    a, b = planes
    edges = joint_edges(a, b, 16)
    size = joint_size(edges)
    p = np.bincount(joint_bins(a, edges, FINE), minlength=size)
    failed = FINE.copy()

    def js():
        return float(jensen_shannon(p, np.bincount(joint_bins(b, edges, failed), minlength=size)))

    start = before = js()
    for frame in np.random.default_rng(1).permutation(3000)[::50]:
        failed[frame] = True
        # Equal if the frame leaves a bin that the training data never visit; then rounding shows.
        after = js()
        assert after > before - 1e-15
        before = after
    # 60 of 3000 frames failed: 2 % of the mass at up to 1/2 log 2 each.
    assert start + 0.002 < before < start + 0.02 * LN2


def test_pmf_error_by_hand():
    assert pmf_error(np.array([2, 5]), np.array([4, 10])) == 0.0
    # Weights 1/2 each, both logarithms are +-log 3.
    assert pmf_error(np.array([3, 1]), np.array([1, 3])) == pytest.approx(math.log(3) ** 2)
    # The third bin is empty in both sets, the second in the first set only.
    error = pmf_error(np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.5, 0.0]))
    total = 0.75 * math.log(2) ** 2 + (0.5 + 1e-6) / 2 * math.log(0.5 / 1e-6) ** 2
    assert error == pytest.approx(total / (1 + 0.5e-6), rel=1e-12)


def test_pmf_bins_are_62_and_two_outliers():
    values = np.array([-5.0, -1.0, -0.999, 0.0, 0.999, 1.0, 5.0])
    bins = pmf_bins(values[:, None], [(-1.0, 1.0)], np.zeros(7, bool))
    np.testing.assert_array_equal(bins, [0, 1, 1, 32, 62, 63, 63])
    # Width of an inner bin: 2 / 62.
    grid = -1.0 + 2.0 / 62 * (np.arange(62) + 0.5)
    np.testing.assert_array_equal(
        pmf_bins(grid[:, None], [(-1.0, 1.0)], np.zeros(62, bool)), np.arange(1, 63)
    )


def test_pmf_bins_of_two_axes_do_not_mix():
    values = np.array([[-2.0, 0.1], [0.1, -2.0], [2.0, 2.0]])
    bins = pmf_bins(values, [(-1.0, 1.0), (-1.0, 1.0)], np.zeros(3, bool))
    assert len(set(bins)) == 3
    assert max(bins) == 64 * 64 - 1


def test_failing_frames_raise_the_pmf_error():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 5000, 1))
    limits = [(-4.0, 4.0)]
    p = np.bincount(pmf_bins(a, limits, np.zeros(5000, bool)), minlength=65)
    errors = [
        float(pmf_error(p, np.bincount(pmf_bins(b, limits, np.arange(5000) < n), minlength=65)))
        for n in (0, 5, 50, 500, 5000)
    ]
    assert all(x < y for x, y in pairwise(errors))


def test_js_error_is_the_spread_over_repeats():
    # 200 repeats give the spread to 5 %, a jackknife of 20 blocks each error to 16 % (mean: 2 %);
    # the jackknife is known to be somewhat conservative.
    rng = np.random.default_rng(3)
    p = np.array([400, 300, 200, 100, 0])
    q = np.array([0.2, 0.3, 0.3, 0.15, 0.05])
    values, errors = [], []
    for _ in range(200):
        bins = rng.choice(5, size=2000, p=q)
        values.append(jensen_shannon(p, np.bincount(bins, minlength=5)))
        errors.append(jensen_shannon_error(p, bins))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


def test_js_error_grows_with_correlation_and_needs_two_frames():
    rng = np.random.default_rng(4)
    p = np.full(4, 100)
    bins = rng.choice(4, size=400, p=[0.4, 0.3, 0.2, 0.1])
    correlated = np.repeat(bins, 25)
    ratio = jensen_shannon_error(p, correlated) / jensen_shannon_error(p, np.tile(bins, 25))
    # Of 10,000 frames only 400 are independent: tiling hides it (blocks alike), repeating not.
    assert ratio > 2.0
    assert math.isnan(jensen_shannon_error(p, bins[:1]))
