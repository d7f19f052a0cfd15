"""Correlation times against closed forms, and bootstrap errors against many repetitions."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fokker.metrics import evaluate, jensen_shannon, statistical_inefficiency, wasserstein_1d
from fokker.metrics.bootstrap import (
    blocks_of,
    histogram_error,
    mean_error,
    student,
    wasserstein_error,
)
from fokker.system import Bead, CollectiveVariable, System


def autoregressive(n: int, rho: float, chains: int = 1, seed: int = 0) -> np.ndarray:
    """Gaussian of unit variance with autocorrelation rho^k, so g = (1 + rho) / (1 - rho)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, chains)) * np.sqrt(1 - rho**2)
    x = np.empty((n, chains))
    x[0] = rng.normal(size=chains)
    for i in range(1, n):
        x[i] = rho * x[i - 1] + noise[i]
    return x


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.97])
@pytest.mark.parametrize(("n", "chains"), [(40_000, 1), (2_000, 20)])
def test_inefficiency_of_an_autoregressive_process(rho, n, chains):
    expected = (1 + rho) / (1 - rho)
    found = statistical_inefficiency([autoregressive(n, rho, chains)])
    assert found == pytest.approx(expected, rel=0.15)


def test_pieces_are_not_joined():
    """White noise about levels that differ from piece to piece is slow only across the pieces."""
    x = autoregressive(20_000, 0.8)
    whole = statistical_inefficiency([x])
    assert statistical_inefficiency(list(np.split(x, 10))) == pytest.approx(whole, rel=0.15)


def test_an_angle_does_not_care_where_its_circle_is_cut():
    angle = 0.5 * autoregressive(20_000, 0.9)
    cut = np.angle(np.exp(1j * (angle + np.pi)))
    period = 2 * np.pi
    assert statistical_inefficiency([cut], period) == pytest.approx(
        statistical_inefficiency([angle], period), rel=1e-6
    )


def test_a_variable_that_never_returns_has_no_independent_frames():
    ramp = np.linspace(0, 1, 1000)[:, None]
    assert statistical_inefficiency([ramp]) > 200


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=40))
def test_any_values_give_a_number_of_at_least_one(values):
    with np.errstate(all="ignore"):
        found = statistical_inefficiency([np.array(values, np.float64)[:, None]])
    assert found >= 1.0


def test_blocks_hold_one_chain_and_neighbouring_times():
    # 16 independent frames: two blocks in each of two chains
    blocks = blocks_of(32, 2.0, chains=2)
    assert blocks.index.tolist() == [0, 2] * 8 + [1, 3] * 8
    assert (blocks.drawn.sum(axis=1) == 4).all()


def test_many_chains_are_the_blocks_and_too_many_are_joined():
    assert blocks_of(60, 1.0, chains=20).index.tolist() == [*range(20)] * 3
    assert blocks_of(1_000, 1.0, chains=500).index.tolist() == [i // 2 for i in range(500)] * 2


def test_blocks_of_the_frames_that_are_kept_are_never_empty():
    kept = np.arange(32) % 2 == 0  # one of two chains
    kept[24:] = False
    blocks = blocks_of(32, 2.0, chains=2, kept=kept)
    assert blocks.index.tolist() == [0] * 8 + [1] * 4
    assert (blocks.drawn.sum(axis=1) == 2).all()
    assert mean_error(np.zeros(0), blocks_of(32, 2.0, kept=np.zeros(32, bool))) is None


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 20])
def test_half_width_ofstudent(freedom):
    exact = scipy.stats.t.ppf(scipy.stats.norm.cdf(1), freedom)
    assert student(freedom) == pytest.approx(exact, rel=0.015 if freedom == 1 else 1e-3)


@pytest.mark.parametrize("independent", [10, 20, 50, 400])
@pytest.mark.parametrize(
    ("inefficiency", "chains"), [(1, 1), (5, 1), (30, 1), (5, 4), (30, 4), (5, 20), (30, 20)]
)
def test_a_68_per_cent_interval_covers_68_per_cent(independent, inefficiency, chains):
    """The mean of an autoregressive process, g estimated from the same frames.

    Of R repetitions a share p is covered with a binomial error of `(p (1 - p) / R)^(1/2)`; bounds
    are four of those. What is known of g is little at ten independent frames: two more points.
    """
    repetitions, times = 500, round(independent * inefficiency / chains)
    if times < 3:
        pytest.skip("no chain to speak of")
    rho = (inefficiency - 1) / (inefficiency + 1)
    x = autoregressive(times, rho, repetitions * chains, seed=independent)
    covered = []
    for run in np.split(x, repetitions, axis=1):
        blocks = blocks_of(run.size, statistical_inefficiency([run]), chains)
        error = mean_error(run.ravel(), blocks)
        if error is not None:
            covered.append(abs(run.mean()) < error)
    assert len(covered) > 0.95 * repetitions
    tolerance = 4 * np.sqrt(0.683 * 0.317 / repetitions)
    assert np.mean(covered) == pytest.approx(0.683, abs=tolerance + 0.02 * (independent == 10))


def test_bootstrap_error_is_the_spread_over_repetitions():
    """Two hundred pairs of correlated trajectories against the error estimated from one of them."""
    rho, n, repetitions = 0.9, 4_000, 200
    edges = np.linspace(-3, 3, 11)
    x = autoregressive(n, rho, 2 * repetitions)
    bins = np.clip(
        np.digitize(x + np.where(np.arange(2 * repetitions) % 2, 0.4, 0.0), edges), 0, 11
    )
    js, w1, js_errors, w1_errors = [], [], [], []
    shifted = x + np.where(np.arange(2 * repetitions) % 2, 0.4, 0.0)
    for k in range(0, 2 * repetitions, 2):
        counts = [np.bincount(bins[:, k + i], minlength=12) for i in (0, 1)]
        js.append(float(jensen_shannon(*counts)))
        w1.append(wasserstein_1d(shifted[:, k], shifted[:, k + 1]))
        if k < 40:
            sets = [blocks_of(n, (1 + rho) / (1 - rho), seed=k + i) for i in (0, 1)]
            js_errors.append(
                histogram_error(jensen_shannon, (bins[:, k], sets[0]), (bins[:, k + 1], sets[1]))
            )
            w1_errors.append(
                wasserstein_error((shifted[:, k], sets[0]), (shifted[:, k + 1], sets[1]))
            )
    # The spread of 200 repetitions is known to 5 per cent, the mean of 20 errors of 64 draws of 14
    # blocks to 5; and 14 blocks are 4 per cent wider than the spread, by Student's t.
    assert 0.85 < np.mean(js_errors) / np.std(js) < 1.3
    assert 0.85 < np.mean(w1_errors) / np.std(w1) < 1.3


def test_no_error_from_a_single_block_or_lost_frames():
    one, molecules = blocks_of(50, 100.0), blocks_of(50, 1.0, seed=1)
    values = np.linspace(0, 1, 50)
    bins = np.zeros(50, int)
    assert histogram_error(jensen_shannon, (bins, one), (bins, molecules)) is None
    assert wasserstein_error((values, molecules), (np.full(50, np.nan), molecules)) is None
    assert wasserstein_error((np.zeros(50), molecules), (np.zeros(50), molecules)) == 0.0


@pytest.mark.parametrize("n_variables", [0, 1, 2, 3])
def test_every_number_of_variables_has_its_errors(n_variables):
    axes = tuple(
        CollectiveVariable(name=n, kind="coordinate", indices=(i,), limits=(-4, 4))
        for i, n in enumerate("xyz")
    )
    system = System(
        name="point",
        dim=3,
        kT=1.0,
        beads=(Bead(name="X"),),
        centred=False,
        collective_variables=axes[:n_variables],
    )
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(600, 1, 3))
    simulated = autoregressive(60, 0.8, 30).reshape(60, 10, 3).reshape(600, 1, 3)
    tables = evaluate(system, frames, frames[:300], simulated, sim_chains=10)
    row = tables["sim"]
    assert len(row["collective_variables"]) == n_variables
    assert (row["js"] is None) == (n_variables == 0)
    assert (row["js_bootstrap_error"] is None) == (n_variables == 0)
    assert (row["pmf_bootstrap_error"] is None) == (n_variables == 0)
    if n_variables:
        assert row["correlation_time"] > 2.5  # 9 for rho = 0.8, cut by 60 times
        assert tables["iid"]["correlation_time"] < 2
        assert 0 < row["js_bootstrap_error"] < row["js"]
        assert all(v["w1_error"] > 0 for v in row["collective_variables"].values())
