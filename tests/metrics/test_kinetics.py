import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.metrics.kinetics import Dynamics, chosen_lag, kinetics, lags_of
from fokker.metrics.markov import StateTrajectories, fit_counts, interval

pytest.importorskip("deeptime")

MATRIX = np.array([[0.97, 0.03, 0.0], [0.01, 0.97, 0.02], [0.0, 0.05, 0.95]])
"""A chain of three states; birth and death, so it is reversible."""


def eigenvalues(matrix):
    return np.sort(np.linalg.eigvals(matrix).real)[::-1]


def passage(matrix, start, target):
    """Mean first-passage time in steps from one state to another."""
    others = [k for k in range(len(matrix)) if k != target]
    times = np.linalg.solve(
        np.eye(len(others)) - matrix[np.ix_(others, others)], np.ones(len(others))
    )
    return times[others.index(start)]


def equilibrium(matrix):
    return np.linalg.matrix_power(matrix, 100_000)[0]


def walks(matrix, n, length, seed, every=1):
    """States of n chains that start in equilibrium, every so many steps."""
    rng = np.random.default_rng(seed)
    weights = equilibrium(matrix)
    state = rng.choice(len(matrix), n, p=weights / weights.sum())
    steps = np.cumsum(np.linalg.matrix_power(matrix, every), axis=1)
    found = np.empty((length, n), int)
    for k in range(length):
        found[k] = state
        state = np.minimum((rng.random(n)[:, None] > steps[state]).sum(axis=1), len(matrix) - 1)
    return list(found.T)


def frames_of(states, seed):
    """Positions in the plane around one centre a state."""
    centres = np.array([[0.0, 0.0], [3.0, 1.0], [5.0, 4.0]])
    rng = np.random.default_rng(seed)
    return [centres[s] + 0.05 * rng.normal(size=(len(s), 2)) for s in states]


def dynamics(n, length, seed, every=1, interval=1.0):
    return Dynamics(frames_of(walks(MATRIX, n, length, seed, every), seed), interval)


def test_timescales_and_passages_of_a_known_chain():
    counts = 1e6 * equilibrium(MATRIX)[:, None] * MATRIX
    model = fit_counts(counts, lag=1)
    assert model.matrix == pytest.approx(MATRIX, abs=1e-5)
    assert model.timescales(2) == pytest.approx(-1 / np.log(eigenvalues(MATRIX)[1:]), rel=1e-3)
    one = np.eye(3, dtype=bool)
    for i, j in ((0, 2), (2, 0), (1, 0)):
        assert model.passage(one[i], one[j]) == pytest.approx(passage(MATRIX, i, j), rel=1e-3)
    stays = model.staying(np.arange(3), 4)
    assert stays == pytest.approx(np.diag(np.linalg.matrix_power(MATRIX, 4)), rel=1e-3)


def test_no_transition_over_the_border_of_two_files():
    pieces = [np.zeros(50, int), np.ones(50, int)]
    assert StateTrajectories(pieces, 2).model(1) is None
    assert StateTrajectories([np.concatenate(pieces)], 2).counts(1).sum(axis=0)[0, 1] == 1


def test_states_that_are_left_for_good_are_not_connected():
    piece = np.array([2] * 10 + [0, 1] * 50)
    model = StateTrajectories([piece], 3).model(1)
    assert model.active.tolist() == [0, 1]
    assert model.weights[2] == 0.0


@pytest.mark.statistics
@pytest.mark.parametrize(("n", "length"), [(40, 500), (1, 20_000)])
def test_intervals_hold_the_truth_in_two_of_three_cases(n, length):
    truth = -1 / np.log(eigenvalues(MATRIX)[1])
    one, inside, trials = np.eye(3, dtype=bool), np.zeros(2), 100
    for seed in range(trials):
        many = StateTrajectories(walks(MATRIX, n, length, seed), 3, seed)
        value, draws = many.estimate(1, lambda m: m.timescales(1))
        found = interval(value[0], draws[:, 0], many.widening)
        inside[0] += found.low <= truth <= found.high
        value, draws = many.estimate(1, lambda m: [m.passage(one[0], one[2])])
        found = interval(value[0], draws[:, 0], many.widening)
        inside[1] += found.low <= passage(MATRIX, 0, 2) <= found.high
    # 68 of 100 with a binomial spread of 4.7; three of these, and the draws spread by a tenth
    assert np.abs(inside / trials - 0.683).max() < 0.17


def test_speed_up_is_the_known_factor():
    """The simulation sees the same chain every third step, and says that a frame is 0.5 ps."""
    table = kinetics(dynamics(40, 1500, 11, interval=100.0), dynamics(40, 700, 12, 3, 0.5))
    truth = -100.0 / np.log(eigenvalues(MATRIX)[1:])
    assert table["states"] == 50
    for found, value in zip(table["data"]["timescales"], truth, strict=True):
        assert abs(np.log(found["value"] / value)) < 3 * np.log(found["high"] / found["value"])
    known = 100.0 / (0.5 / 3)
    speed = table["speed_up"]
    assert [p["data"] for p in speed["processes"]] == [0, 1]
    assert [p["simulation"] for p in speed["processes"]] == [0, 1]
    for found in (speed["mean"], *(p["ratio"] for p in speed["processes"])):
        assert abs(np.log(found["value"] / known)) < 3 * np.log(found["high"] / found["value"])
        assert found["high"] / found["value"] < 1.2
    assert min(p["overlap"] for p in speed["processes"]) > 0.95
    assert 1.0 <= speed["unevenness"]["value"] < 1.3


def test_sets_are_the_states_of_the_chain():
    table = kinetics(dynamics(40, 1000, 3))
    weights = np.sort(equilibrium(MATRIX))[::-1]
    found = table["data"]["populations"]
    assert [p["value"] for p in found] == pytest.approx(weights, abs=0.03)
    order = np.argsort(-equilibrium(MATRIX))
    for i in range(3):
        for j in range(3):
            cell = table["data"]["passage"][i][j]
            if i == j:
                assert cell is None
                continue
            truth = passage(MATRIX, order[i], order[j])
            assert abs(np.log(cell["value"] / truth)) < 3 * np.log(cell["high"] / cell["value"])


def test_a_markov_chain_passes_the_test_of_chapman_and_kolmogorov():
    test = kinetics(dynamics(40, 1000, 4))["data"]["chapman_kolmogorov"]
    assert len(test["times"]) == 5
    # the largest of 12 deviations, correlated, in errors
    assert test["largest_deviation"] < 4.0


def test_hidden_memory_fails_at_the_first_lag_and_gets_a_longer_one():
    """The two states beside a barrier look alike, so that one frame is too short a lag."""
    matrix = np.array(
        [[0.9, 0.1, 0, 0], [0.1, 0.895, 0.005, 0], [0, 0.005, 0.895, 0.1], [0, 0, 0.1, 0.9]]
    )
    states = [np.array([0, 1, 1, 2])[w] for w in walks(matrix, 40, 5000, 5)]
    lag, _ = chosen_lag(StateTrajectories(states, 3), lags_of(5000))
    honest, _ = chosen_lag(StateTrajectories(walks(MATRIX, 40, 5000, 6), 3), lags_of(5000))
    assert lag > 2 * honest


def test_states_that_the_simulation_never_visits_are_counted():
    half = MATRIX[:2, :2] / MATRIX[:2, :2].sum(axis=1, keepdims=True)
    sim = frames_of(walks(half, 20, 500, 7), 7)
    sim[0][-100:] = np.nan
    table = kinetics(dynamics(40, 1000, 7), Dynamics(sim, 1.0))
    # the third state of the chain is never seen
    assert table["unvisited"]["share"] == pytest.approx(equilibrium(MATRIX)[2], abs=0.06)
    assert table["unvisited"]["states"] > 5
    assert table["simulation"]["failed_frames"] == 100
    assert table["unvisited"]["beyond"] < 0.02


def test_frames_where_the_data_never_are_are_told():
    sim = dynamics(20, 500, 8)
    far = Dynamics([piece + np.array([0, 40]) for piece in sim.pieces], 1.0)
    assert kinetics(dynamics(40, 1000, 7), far)["unvisited"]["beyond"] > 0.99


def test_a_short_simulation_leaves_the_data_alone():
    table = kinetics(dynamics(20, 300, 8), dynamics(5, 10, 9))
    assert table["simulation"] is None
    assert table["speed_up"] is None
    assert "10 frames in a typical piece are too few" in table["without_simulation"]


def test_bad_input_is_one_sentence():
    with pytest.raises(FokkerError, match="too few for any lag"):
        kinetics(dynamics(5, 10, 9))
    with pytest.raises(FokkerError, match="0 ps; give a positive one"):
        kinetics(Dynamics(dynamics(5, 100, 9).pieces, 0.0))
    with pytest.raises(FokkerError, match="no state is left"):
        kinetics(Dynamics([np.zeros((100, 2)) + k for k in range(3)], 1.0))
