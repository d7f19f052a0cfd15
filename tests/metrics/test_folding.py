"""Folded fraction, free energy of folding and contact maps, with their errors and floors."""

import json

import numpy as np
import pytest

from fokker.metrics import (
    compare,
    contact_pairs,
    contact_probabilities,
    contact_reach,
    evaluate,
    folding_threshold,
    native_contacts,
)
from fokker.system import Bead, System
from fokker.variables import CollectiveVariable

N = 8
RNG = np.random.default_rng(0)
# A flat hairpin, and the stretched chain.
FOLDED = np.array([[0.38 * min(i, 7 - i), 0.5 * (i > 3), 0.0] for i in range(N)])
STRETCHED = np.array([[0.38 * i, 0.0, 0.0] for i in range(N)])
PAIRS = [(0, 7), (1, 6), (0, 6), (1, 7)]


def chain(variables=True) -> System:
    lengths = [float(np.linalg.norm(FOLDED[i] - FOLDED[j])) for i, j in PAIRS]
    native = CollectiveVariable(
        name="native contacts",
        kind="native-contacts",
        indices=tuple(i for pair in PAIRS for i in pair),
        values=tuple(1.2 * length for length in lengths),
        limits=(0.0, 1.0),
    )
    ends = CollectiveVariable(name="ends", kind="distance", indices=(0, 7), limits=(0.0, 3.0))
    return System(
        name="chain",
        dim=3,
        beads=tuple(Bead(name="CA", residue_index=i + 1) for i in range(N)),
        kT=2.5,
        bonds=tuple((i, i + 1) for i in range(N - 1)),
        collective_variables=(native, ends) if variables else (ends,),
    )


def frames(states, seed=0):
    noise = 0.01 * np.random.default_rng(seed).normal(size=(len(states), N, 3))
    x = np.where(np.asarray(states)[:, None, None], FOLDED, STRETCHED) + noise
    return x.astype(np.float32)


def independent(n, share=0.3, seed=0):
    return frames(np.random.default_rng(100 + seed).random(n) < share, seed)


def test_threshold_lies_between_the_classes():
    low, high = RNG.normal(0.2, 0.05, 5000), RNG.normal(0.9, 0.03, 500)
    q = np.concatenate([low, high, [np.nan]])
    assert 0.4 < folding_threshold(q) < 0.75
    assert folding_threshold(np.array([0.1, 0.9])) == pytest.approx(0.5, abs=0.01)
    assert folding_threshold(np.full(10, 0.3)) == 0.5


def test_fraction_free_energy_and_error_of_independent_frames():
    table = compare(chain(), independent(4000), independent(2000, 0.5, 1))["folding"]
    p = table["fraction"]
    assert p == pytest.approx(0.5, abs=0.05)
    assert table["training_fraction"] == pytest.approx(0.3, abs=0.03)
    assert table["difference"] == pytest.approx(p - table["training_fraction"])
    assert table["fraction_error"] == pytest.approx(np.sqrt(0.25 / 2000), rel=0.35)
    wanted = -2.5 * np.log(table["training_fraction"] / (1 - table["training_fraction"]))
    assert table["training_free_energy"] == pytest.approx(wanted)
    # Far above what a perfect model would give.
    assert abs(table["difference"]) > 10 * table["difference_floor"]
    assert table["contacts"] > 10 * table["contacts_floor"]


def test_a_perfect_model_is_at_its_floor():
    found = [
        compare(chain(), independent(2000, 0.3, 2 * s), independent(2000, 0.3, 2 * s + 1))
        for s in range(12)
    ]
    tables = [table["folding"] for table in found]
    floor = np.mean([t["difference_floor"] for t in tables])
    expected = np.sqrt(2 / np.pi * 0.21 * 2 / 2000)
    assert floor == pytest.approx(expected, rel=0.2)
    assert 0.4 < np.mean([abs(t["difference"]) for t in tables]) / floor < 1.8
    assert all(abs(t["difference"]) < 4.5 * t["difference_error"] for t in tables)
    ratios = [t["contacts"] / t["contacts_floor"] for t in tables]
    assert 0.4 < np.mean(ratios) < 2.5


def test_errors_and_floors_grow_with_the_correlation_time():
    slow = np.repeat(np.random.default_rng(5).random(100) < 0.3, 40)
    table = compare(chain(), independent(4000), frames(slow))["folding"]
    p = table["fraction"]
    assert table["fraction_error"] == pytest.approx(np.sqrt(p * (1 - p) / 100), rel=0.5)
    assert table["fraction_error"] > 3 * np.sqrt(p * (1 - p) / 4000)
    quick = compare(chain(), independent(4000), independent(4000, 0.3, 1))["folding"]
    assert table["difference_floor"] > 3 * quick["difference_floor"]
    assert table["contacts_floor"] > 2 * quick["contacts_floor"]


def test_frames_that_are_not_finite_are_neither_folded_nor_unfolded():
    good = independent(400, 0.5)
    bad = good.copy()
    bad[::2] = np.nan
    table = compare(chain(), independent(1000), bad)["folding"]
    wanted = compare(chain(), independent(1000), good[1::2])["folding"]
    assert table["fraction"] == wanted["fraction"]
    np.testing.assert_array_equal(
        contact_probabilities(chain(), bad), contact_probabilities(chain(), good[1::2])
    )


def test_all_in_one_state_has_no_free_energy():
    table = compare(chain(), independent(1000), frames([True] * 200))["folding"]
    assert table["fraction"] == 1.0
    assert table["free_energy"] is None
    json.dumps(table, allow_nan=False)


def test_contact_map_is_that_of_the_definition():
    system, x = chain(), independent(200)
    pairs = contact_pairs(system)
    # The native pair with the fewest bonds between, 5, sets the least of the map.
    assert {(int(i), int(j)) for i, j in pairs} == {
        (i, j) for i in range(N) for j in range(i + 1, N) if j - i >= 5
    }
    reach = contact_reach(system)
    assert reach == pytest.approx(1.2 * np.hypot(0.38, 0.5), rel=1e-6)
    wanted = [np.mean(np.linalg.norm(x[:, i] - x[:, j], axis=-1) < reach) for i, j in pairs]
    np.testing.assert_allclose(contact_probabilities(system, x), wanted)


def test_systems_without_native_contacts_have_no_folding():
    system = chain(variables=False)
    assert native_contacts(system) is None
    assert compare(system, independent(200), independent(200, seed=1))["folding"] is None


def test_reference_frames_are_judged_by_the_threshold_of_the_training_frames():
    training, held = independent(2000), independent(1000, 0.4, 3)
    tables = evaluate(chain(), training, iid=independent(500, 0.35, 4), reference=held)
    found = tables["reference"]["iid"]["folding"]
    assert found["threshold"] == tables["iid"]["folding"]["threshold"]
    assert (
        found["training_fraction"]
        == tables["reference"]["training"]["folding"]["training_fraction"]
    )
    assert found["training_fraction"] == pytest.approx(0.4, abs=0.05)
