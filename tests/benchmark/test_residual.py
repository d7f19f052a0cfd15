"""The residual that a table compares is at one time for all methods."""

import numpy as np
import pytest

from fokker.benchmark.numbers import RESIDUAL_TIME, residual_at
from fokker.config import T_MIN
from fokker.workflow.residual import residual_times

RANGES = [(0.0, 1.0), (0.0, 0.1), (0.0, 0.03)]


@pytest.mark.parametrize("per_decade", [1, 3])
def test_experts_of_any_range_share_their_times(per_decade):
    one, three, short = (residual_times(*r, per_decade) for r in RANGES)
    assert set(three[:-1]) < set(one)
    assert set(short[:-1]) < set(three)
    for times, (_, high) in zip((one, three, short), RANGES, strict=True):
        assert times == sorted(set(times))
        assert (times[0], times[-1]) == (T_MIN, 0.999 * high)
        assert RESIDUAL_TIME in times


def test_late_experts_have_their_ends_at_least():
    assert residual_times(0.6, 1.0, 3) == [0.6, 0.999]
    assert residual_times(0.1, 0.6, 1) == [0.1, 0.999 * 0.6]


def test_the_time_of_the_table_is_taken_as_computed():
    t = residual_times(0.0, 0.1, 3)
    rng = np.random.default_rng(0)
    rms = rng.uniform(1, 2, len(t)).tolist()
    found = residual_at({"t": t, "rms": rms, "not_finite": []})
    assert found == pytest.approx(rms[t.index(RESIDUAL_TIME)], rel=1e-12)


@pytest.mark.parametrize("high", [0.1, 1.0])
def test_other_times_are_brought_to_that_of_the_table(high):
    """Those of one expert had 1e-3 nearly, those of three 7.35e-4: a power law is one number."""
    t = np.geomspace(1e-5, 0.999 * high, 16)
    found = residual_at({"t": t.tolist(), "rms": (0.3 * t**-0.7).tolist()})
    assert found == pytest.approx(0.3 * RESIDUAL_TIME**-0.7, rel=1e-9)


def test_a_residual_that_is_not_there_is_no_number():
    assert residual_at(None) is None
    t = residual_times(0.0, 0.1, 3)
    t.remove(RESIDUAL_TIME)
    curve = {"t": t, "rms": [1.0] * len(t), "not_finite": [RESIDUAL_TIME]}
    assert residual_at(curve) is None
    assert residual_at({"t": [0.1, 0.5], "rms": [1.0, 1.0]}) is None
