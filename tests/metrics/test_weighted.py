"""Metrics against frames with weights: as if they were unbiased, with the floor of fewer."""

import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.metrics import compare, effective_number, evenly
from fokker.metrics.weighted import scatter_of

from ..dataset.test_emphasis import plane_system

pytestmark = pytest.mark.statistics

N, SETS = 8000, 12
SYSTEM = plane_system().model_copy(update={"histogram_bins": 12})
"""Wide bins: how JS scatters follows from variances where a bin has many frames."""
SHIFT = 0.5


def unbiased(rng, n=N):
    return rng.normal(size=(n, 1, 2)).astype(np.float32)


def biased(rng, n=N):
    """A Gaussian beside the right one, and the weights that move it there."""
    frames = unbiased(rng, n) + np.array([SHIFT, 0.0], np.float32)
    return frames, np.exp(-SHIFT * frames[:, 0, 0].astype(np.float64))


@pytest.fixture(scope="module")
def tables():
    """Of perfect models, each against other frames with weights."""
    rng = np.random.default_rng(1)
    found = []
    for seed in range(SETS):
        frames, weights = biased(rng)
        exact = unbiased(rng, 2 * N)
        found.append(
            [
                compare(SYSTEM, frames, exact, seed=seed, training_weights=given)
                for given in (weights, None)
            ]
        )
    return found


def test_effective_number_of_frames():
    assert effective_number(np.full(10, 7.0)) == pytest.approx(10)
    assert effective_number(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_number(np.array([3.0, 1.0])) == pytest.approx(16 / 10)
    assert effective_number(1e-300 * np.array([3.0, 1.0])) == pytest.approx(16 / 10)


def test_frames_are_drawn_in_proportion_to_their_weights():
    """Each as often as its weight says, to within one; of log-normal ones, by `exp(mu, sigma)`."""
    rng = np.random.default_rng(0)
    weights = np.exp(rng.normal(size=N))
    rows = evenly(weights)
    counts = np.bincount(rows, minlength=N)
    assert np.all(np.diff(rows) >= 0)
    assert np.abs(counts - N * weights / weights.sum()).max() < 1
    assert effective_number(weights) == pytest.approx(N / np.e, rel=0.1)
    # rounding to whole numbers adds at most a quarter a frame to the mean of the squares
    least = N / (N / effective_number(weights) + 0.25)
    assert least <= scatter_of(rows) < 1.01 * effective_number(weights)


def test_a_perfect_model_is_as_far_above_the_floor_as_with_as_many_unbiased_frames(tables):
    """Not at 1: bins that no frame has visited are missing in every floor.

    The effective number is one for all bins. Where weights follow the plane, as here, that of rare
    bins differs: a quarter of the ratio is left for it.
    """
    rng = np.random.default_rng(2)
    n = tables[0][0]["n_training_effective"]
    exact = [
        compare(SYSTEM, unbiased(rng, n), unbiased(rng, 2 * N), seed=seed)
        for seed in range(SETS // 2)
    ]
    for name in ("js_data", "js", "pmf"):
        ratio = np.mean([table[f"{name}_ratio"] for table in exact])
        weighted = np.array([with_weights[f"{name}_ratio"] for with_weights, _ in tables])
        plain = np.array([without[f"{name}_ratio"] for _, without in tables])
        assert 0.8 < weighted.mean() / ratio < 1.25, name
        assert plain.min() > (1.1 if name == "pmf" else 1.5) * weighted.max(), name


def test_weights_that_know_nothing_only_make_the_frames_fewer():
    """Log-normal ones: divergence and floor are those of `exp(-sigma^2)` times as many frames."""
    rng = np.random.default_rng(3)
    sigma = 1.2
    found, fewer, all_alike = [], [], []
    for seed in range(SETS):
        frames, exact = unbiased(rng), unbiased(rng, 2 * N)
        weights = np.exp(sigma * rng.normal(size=N))
        found.append(compare(SYSTEM, frames, exact, seed=seed, training_weights=weights))
        few = frames[: found[-1]["n_training_effective"]]
        fewer.append(compare(SYSTEM, few, exact, seed=seed))
        all_alike.append(compare(SYSTEM, frames, exact, seed=seed))
    n = np.mean([table["n_training_effective"] for table in found])
    assert n == pytest.approx(N * np.exp(-(sigma**2)), rel=0.15)

    def mean(tables, key):
        return np.mean([table[key] for table in tables])

    def of_x(tables, key):
        return np.mean([table["collective_variables"]["x"][key] for table in tables])

    # the tails of repeated frames reach further than those of fewer, in bins with one frame or none
    for name in ("js_data", "js"):
        assert mean(found, name) == pytest.approx(mean(fewer, name), rel=0.3)
        assert mean(found, f"{name}_floor") == pytest.approx(mean(fewer, f"{name}_floor"), rel=0.15)
        assert mean(found, f"{name}_floor") > 1.5 * mean(all_alike, f"{name}_floor")
    # distances of 12 sets have an error of 15 per cent, errors of blocks are better known
    assert of_x(found, "floor") == pytest.approx(of_x(fewer, "floor"), rel=0.3)
    assert of_x(found, "w1_error") == pytest.approx(of_x(fewer, "w1_error"), rel=0.3)
    assert of_x(found, "w1_error") > 1.3 * of_x(all_alike, "w1_error")


def test_moments_and_distances_are_those_of_unbiased_frames(tables):
    expected = N / np.exp(SHIFT**2)
    for table, without in tables:
        assert table["n_training"] == without["n_training_effective"] == N
        assert 0.75 * expected < table["n_training_effective"] < 1.1 * expected
        x = table["collective_variables"]["x"]
        # a single Gaussian: 1 / sqrt(n) and 1 / sqrt(2 n), n that of the weighted frames
        assert abs(x["training_mean"]) < 4 / np.sqrt(table["n_training_effective"])
        assert abs(x["training_std"] - 1) < 4 / np.sqrt(table["n_training_effective"])
        assert without["collective_variables"]["x"]["training_mean"] > 0.4


def test_weights_of_another_number_of_frames_are_refused():
    frames, weights = biased(np.random.default_rng(0))
    with pytest.raises(FokkerError, match=r"training frames have weights of shape \(7999,\)"):
        compare(SYSTEM, frames, frames, training_weights=weights[1:])
