"""A frame that failed is one thing, whatever the file: everything is of those that did not fail."""

import json

import numpy as np
import pytest

from fokker.metrics import (
    GeometryLimits,
    compare,
    compute_all,
    contact_probabilities,
    failed_frames,
    free_energies_1d,
    lost_frames,
)
from fokker.report import Chains, gather
from fokker.report.contacts import contact_maps
from fokker.report.figures import free_energy_profiles
from fokker.report.records import Plots
from fokker.trajectory import FrameWriter, read_frames
from tests.metrics.test_folding import FOLDED, chain, independent

SYSTEM = chain()
CHAINS = 20
EVERY = 10
"""One frame in so many failed."""

# beyond 1000 nm XTC keeps no frame; a torn bond is a structure that no file changes
FAILURES = {"nan": np.nan, "inf": np.inf, "far": 5000.0, "torn": None}


def broken(good: np.ndarray, failure: float | None) -> np.ndarray:
    spoiled = good.copy()
    if failure is None:
        spoiled[::EVERY, 0, 2] = 50.0
    else:
        spoiled[::EVERY] = failure
    return spoiled


@pytest.fixture(scope="module")
def training():
    return independent(1000)


@pytest.fixture(scope="module")
def good():
    return independent(2000, 0.5, 1)


@pytest.fixture(params=[(s, f) for s in (".xtc", ".dcd", ".npy") for f in FAILURES], ids=str)
def stored(request, good, tmp_path):
    """A tenth of the frames failed, as they come back from a file."""
    suffix, failure = request.param
    path = tmp_path / f"frames{suffix}"
    with FrameWriter(path, SYSTEM) as writer:
        writer.write(broken(good, FAILURES[failure]))
    return read_frames(path, SYSTEM, allow_failed=True)


def kept(good: np.ndarray) -> np.ndarray:
    return good[np.arange(len(good)) % EVERY != 0]


def test_metrics_are_those_of_the_frames_that_did_not_fail(training, good, stored):
    found = compare(SYSTEM, training, stored, chains=CHAINS)
    wanted = compare(SYSTEM, training, kept(good))
    assert found["failed_fraction"] == 1 / EVERY
    for key in ("threshold", "fraction", "free_energy", "difference", "contacts"):
        assert found["folding"][key] == pytest.approx(wanted["folding"][key], rel=1e-3)
    for table in ("bonds", "angles", "collective_variables"):
        for name, row in wanted[table].items():
            for key in ("w1", "mean", "std"):
                # angstrom inside a DCD file cost a last digit
                assert found[table][name][key] == pytest.approx(row[key], rel=1e-3, abs=1e-6)
    # frames that failed have a bin of their own, which the data leave empty
    assert found["js_data"] > wanted["js_data"]
    assert found["js"] > wanted["js"]
    json.dumps(found, allow_nan=False)


def test_every_file_gives_the_same_table(training, good, tmp_path):
    """Simulation chains that died at some time, and the same from each format."""
    dead = good.copy().reshape(-1, CHAINS, *good.shape[1:])
    dead[40:, 3] = np.nan
    dead[70:, 7] = np.nan
    tables = []
    for suffix in (".xtc", ".dcd", ".npy"):
        with FrameWriter(tmp_path / f"frames{suffix}", SYSTEM) as writer:
            writer.write(dead.reshape(good.shape))
        read = read_frames(tmp_path / f"frames{suffix}", SYSTEM, allow_failed=True)
        tables.append(compare(SYSTEM, training, read, chains=CHAINS))
    for table in tables:
        assert table["nan_fraction"] == table["failed_fraction"] == 90 / 2000
        for key in ("js_data", "js", "pmf", "effective_frames"):
            assert table[key] == pytest.approx(tables[-1][key], rel=1e-3)
        for key in ("fraction", "fraction_error", "contacts_error"):
            assert table["folding"][key] == pytest.approx(tables[-1]["folding"][key], rel=1e-3)


def test_figures_are_of_the_frames_that_did_not_fail(training, good, stored):
    found = gather(SYSTEM, {"data": training, "sim": stored}, chains=Chains(CHAINS, 1.0))
    wanted = gather(SYSTEM, {"data": training, "sim": kept(good)})
    assert found["not_finite"] == {"data": 0, "sim": 200}
    probability = found["contacts"]["probability"]["sim"]
    np.testing.assert_allclose(probability, wanted["contacts"]["probability"]["sim"], atol=2e-3)
    for name, profile in wanted["profiles"].items():
        # a frame on the edge of a bin may change it when a file rounds
        of_found, of_wanted = (
            np.exp(-np.array(p["energy"]["sim"], float)) for p in (found["profiles"][name], profile)
        )
        np.testing.assert_allclose(of_found, of_wanted, atol=0.03)
    # the first chain is every twentieth frame from the first on, which all failed
    assert found["traces"]["values"][0] == [None] * 100
    assert None not in found["traces"]["values"][1]
    plots = Plots.model_validate(found)
    picture = free_energy_profiles(plots)
    assert picture is not None
    assert "200 frames (simulation)" in picture.caption
    assert contact_maps(plots) is not None


def test_variables_and_energies_of_lost_frames_do_not_count(good, tmp_path):
    with FrameWriter(tmp_path / "frames.xtc", SYSTEM) as writer:
        writer.write(broken(good, np.nan))
    stored = read_frames(tmp_path / "frames.xtc", SYSTEM, allow_failed=True)
    lost = np.arange(len(good)) % EVERY == 0
    np.testing.assert_array_equal(lost_frames(stored), lost)
    for values in compute_all(SYSTEM, stored).values():
        np.testing.assert_array_equal(np.isnan(values), lost)
    for name, energy in free_energies_1d(SYSTEM, kept(good)).items():
        np.testing.assert_array_equal(free_energies_1d(SYSTEM, stored)[name].energy, energy.energy)
    np.testing.assert_allclose(
        contact_probabilities(SYSTEM, stored), contact_probabilities(SYSTEM, kept(good))
    )


def test_training_frames_that_failed_set_no_limits_and_no_threshold(training):
    spoiled = training.copy()
    spoiled[::7] = 0.0
    limits = GeometryLimits.from_frames(SYSTEM, spoiled)
    assert min(low for low, _ in limits.bonds) > 0.1  # bonds are 0.38 nm
    table = compare(SYSTEM, spoiled, independent(500, 0.3, 4))
    assert 0.2 < table["folding"]["training_fraction"] < 0.4
    assert failed_frames(SYSTEM, spoiled, limits).sum() == len(spoiled[::7])


@pytest.mark.parametrize("failure", [np.nan, 0.0])
def test_a_set_of_failed_frames_alone(training, failure):
    nothing = np.full((50, *FOLDED.shape), failure, np.float32)
    table = compare(SYSTEM, training, nothing, chains=5)
    assert table["failed_fraction"] == table["nan_fraction"] == 1.0
    assert table["folding"] is None
    assert table["effective_frames"] == 0
    assert table["js_data"] == pytest.approx(np.log(2))
    assert all(row["w1"] is None for row in table["bonds"].values())
    json.dumps(table, allow_nan=False)
    plots = gather(SYSTEM, {"data": training, "sim": nothing}, chains=Chains(5, 1.0))
    Plots.model_validate(plots)
    assert plots["not_finite"]["sim"] == 50
    json.dumps(plots, allow_nan=False)
    assert contact_maps(Plots.model_validate(plots)) is None
