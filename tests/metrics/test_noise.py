"""The part of a Jensen-Shannon divergence that few chains make."""

import numpy as np
import pytest

from fokker.cli.display import few_chains
from fokker.metrics import compare, jensen_shannon, js_noise
from tests.helpers.tetramer import SYSTEM, frames


def by_chain(bins, size):
    """Histograms of chains, from bins of shape (chains, times)."""
    return np.stack([np.bincount(row, minlength=size) for row in bins])


def switching(rng, chains, times, p, stay, fast):
    """A slow state of two, with probability p of the first, beside a fast one; bins."""
    state = rng.random(chains) < p
    slow = np.empty((chains, times), int)
    for t in range(times):
        again = rng.random(chains) >= stay
        state = np.where(again, rng.random(chains) < p, state)
        slow[:, t] = state
    return slow * fast + rng.integers(fast, size=(chains, times))


def test_chains_that_never_leave_their_state():
    """Shares of 5 states by 400 chains: the divergence from the truth is (5 - 1) / (8 * 400)."""
    rng = np.random.default_rng(0)
    chains, p = 400, np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    found, true = [], []
    for _ in range(100):
        counts = np.eye(5, dtype=int)[rng.choice(5, size=chains, p=p)] * 50
        found.append(js_noise(counts))
        true.append(jensen_shannon(p, counts.sum(axis=0)))
    expected = 4 / (8 * chains)
    assert np.mean(true) == pytest.approx(expected, abs=4 * np.std(true) / 10)
    # halves of 64 draws scatter by sqrt(2 / 4 / 64); the next order is of the size of JS
    assert np.mean(found) == pytest.approx(expected, rel=4 * 0.09 / 10 + 0.02)


def test_it_is_what_correlation_adds_to_the_divergence_from_independent_data():
    rng = np.random.default_rng(1)
    chains, times, fast, stay = 50, 200, 10, 0.98
    found, above = [], []
    for _ in range(200):
        bins = switching(rng, chains, times, 0.1, stay, fast)
        data, independent = (switching(rng, chains, times, 0.1, 0.0, fast) for _ in range(2))
        data, independent, all_of_it = (
            by_chain(b, 2 * fast).sum(axis=0) for b in (data, independent, bins)
        )
        found.append(js_noise(by_chain(bins, 2 * fast)))
        above.append(jensen_shannon(data, all_of_it) - jensen_shannon(data, independent))
    error = np.hypot(np.std(found), np.std(above)) / np.sqrt(len(found))
    assert np.mean(above) > 5 * error
    assert np.mean(found) == pytest.approx(np.mean(above), abs=4 * error)


def test_independent_frames_have_none():
    rng = np.random.default_rng(2)
    bins = rng.integers(200, size=(100, 100))
    floor = 199 / (8 * bins.size)
    assert js_noise(by_chain(bins, 200)) < 0.1 * floor


@pytest.mark.parametrize("chains", [1, 2, 3])
def test_too_few_chains_to_halve(chains):
    assert js_noise(np.full((chains, 4), 10)) is None


def test_an_odd_chain_is_left_out_and_identical_chains_differ_by_nothing():
    assert js_noise(np.tile(np.array([[40, 30, 20, 10]]), (5, 1))) == 0.0


@pytest.mark.parametrize(("noise", "said"), [(6e-4, "0.12 of"), (5e-5, None), (None, None)])
def test_the_command_line_says_what_can_be_seen(noise, said):
    found = few_chains({"sim": {"js_noise": noise, "js_floor": 0.005, "js_ratio": 1.2}})
    assert found is None if said is None else found.startswith(said)
    assert few_chains({"iid": {}}) is None


def test_chains_that_broke_are_not_called_noise():
    training, simulated = frames(2_000, 0), frames(2_000, 1)
    assert compare(SYSTEM, training, simulated, chains=10)["js_noise"] is not None
    simulated = simulated.copy()
    simulated[::10] = np.nan  # one chain of ten
    assert compare(SYSTEM, training, simulated, chains=10)["js_noise"] is None
