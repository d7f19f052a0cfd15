"""Tables of all metrics: consistency, failures, JSON."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from fokker.cli.display import metrics_table
from fokker.errors import FokkerError
from fokker.metrics import compare, evaluate
from fokker.system import Bead, CollectiveVariable, System
from fokker.workflow.residual import residual_frames


def coordinate(axis, name):
    return CollectiveVariable(name=name, kind="coordinate", indices=(axis,), limits=(-4, 4))


TOY = System(
    name="toy",
    dim=2,
    kT=1.0,
    beads=(Bead(name="X"),),
    centred=False,
    histogram_bins=16,
    length_unit="",
    collective_variables=(coordinate(0, "x"), coordinate(1, "y")),
)


def gaussian(n, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, size=(n, 1, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def training():
    return gaussian(20_000, 0)


@pytest.fixture(scope="module")
def reference():
    return gaussian(20_000, 1)


def test_samples_of_the_same_distribution_sit_at_the_floor(training, reference):
    table = compare(TOY, training, gaussian(10_000, 2), reference_frames=reference)
    # Five standard deviations of one draw; the pool is large enough not to miss many bins.
    assert table["js"] == pytest.approx(table["js_floor"], abs=5 * table["js_floor_std"])
    assert table["pmf"] == pytest.approx(table["pmf_floor"], abs=5 * table["pmf_floor_std"])
    assert table["js_ratio"] == pytest.approx(table["js"] / table["js_floor"])
    assert table["pmf_ratio"] == pytest.approx(table["pmf"] / table["pmf_floor"])
    assert (table["n"], table["n_training"]) == (10_000, 20_000)
    assert table["failed_fraction"] == table["nan_fraction"] == 0.0


def test_a_wrong_distribution_stands_out(training):
    table = compare(TOY, training, gaussian(10_000, 2, shift=0.5))
    for metric in ("js", "pmf"):
        assert table[metric] > table[f"{metric}_floor"] + 10 * table[f"{metric}_floor_std"]
    x = table["collective_variables"]["x"]
    # W1 of a shift is the shift; the mean of 10,000 and 20,000 frames is right to 0.012.
    assert x["w1"] == pytest.approx(0.5, abs=0.05)
    assert x["w1"] > 10 * x["floor"]
    assert x["mean"] - x["training_mean"] == pytest.approx(0.5, abs=0.05)
    assert x["w1_relative"] == pytest.approx(x["w1"] / x["training_std"])


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e4, 1e30])
def test_failing_frames_raise_the_metrics_and_show(training, broken):
    good = gaussian(10_000, 2)
    before = compare(TOY, training, good)
    js, pmf = before["js"], before["pmf"]
    for n in (100, 1_000, 10_000):
        frames = good.copy()
        frames[:n, 0, 0] = broken
        table = compare(TOY, training, frames)
        assert table["failed_fraction"] == n / 10_000
        assert table["nan_fraction"] == (0.0 if math.isfinite(broken) else n / 10_000)
        assert table["js"] > js
        assert table["pmf"] > pmf
        js, pmf = table["js"], table["pmf"]
        json.dumps(table, allow_nan=False)
        w1 = table["collective_variables"]["x"]["w1"]
        if n == 10_000:
            assert w1 is None
        else:
            wanted = compare(TOY, training, good[n:])["collective_variables"]["x"]["w1"]
            assert w1 == pytest.approx(wanted, rel=1e-6)
    assert js == pytest.approx(math.log(2))


def test_evaluate_has_every_comparison(training, reference):
    iid, sim = gaussian(5_000, 2), gaussian(8_000, 3)
    tables = evaluate(TOY, training, iid, sim, reference)
    assert list(tables) == ["iid", "sim", "reference"]
    assert list(tables["reference"]) == ["iid", "sim", "training"]
    assert tables["iid"] == compare(TOY, training, iid, reference_frames=reference)
    assert tables["reference"]["sim"]["n"] == 8_000
    assert tables["reference"]["training"]["js"] == pytest.approx(
        compare(TOY, training, reference)["js"]
    )
    json.dumps(tables, allow_nan=False)
    assert list(evaluate(TOY, training, sim=sim)) == ["sim"]


def test_reference_comparisons_judge_failures_by_the_training_frames(training):
    narrow = 0.01 * gaussian(1_000, 4)
    table = evaluate(TOY, training, iid=gaussian(1_000, 5), reference=narrow)
    assert table["reference"]["iid"]["failed_fraction"] == 0.0


def test_one_variable_or_none(training):
    one = TOY.model_copy(update={"collective_variables": TOY.collective_variables[:1]})
    frames = gaussian(10_000, 2)
    table = compare(one, training, frames)
    assert 0 < table["js"] < compare(TOY, training, frames)["js"]
    none = compare(TOY.model_copy(update={"collective_variables": ()}), training, frames)
    assert none["js"] is None
    assert none["pmf_ratio"] is None
    assert set(none) == set(table)


def test_periodic_variables_are_averaged_on_the_circle():
    rng = np.random.default_rng(0)
    phi = CollectiveVariable(
        name="phi", kind="coordinate", indices=(0,), limits=(-math.pi, math.pi), periodic=True
    )
    ring = System(
        name="ring",
        dim=1,
        kT=1.0,
        beads=(Bead(name="X"),),
        centred=False,
        collective_variables=(phi,),
    )
    wrapped = np.angle(np.exp(1j * rng.normal(math.pi, 0.3, size=(4_000, 1, 1))))
    shifted = np.angle(np.exp(1j * (wrapped + 0.4)))
    row = compare(ring, wrapped, shifted)["collective_variables"]["phi"]
    # The mean of 4,000 frames of spread 0.3 is right to 0.005, their spread to 0.0034.
    assert row["mean"] == pytest.approx(-math.pi + 0.4, abs=0.02)
    assert row["std"] == pytest.approx(0.3, abs=0.015)
    assert row["w1"] == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize("frames", [np.zeros((5, 2, 2)), np.zeros((5, 1, 3)), np.zeros((0, 1, 2))])
def test_frames_that_do_not_fit_are_a_user_error(training, frames):
    with pytest.raises(FokkerError, match=r"evaluated frames have shape .*'toy' needs \(frames, 1"):
        compare(TOY, training, frames)


def test_metrics_import_no_jax():
    code = (
        "import sys, fokker.metrics; sys.exit(bool({'jax', 'equinox', 'scipy'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_residual_is_of_fewer_frames_of_a_large_molecule():
    """Frames times second derivatives times pairs grows slower than the molecule."""
    found = [residual_frames(3 * (beads - 1)) for beads in (2, 5, 10, 28, 100)]
    assert found[0] == found[1] == 512
    assert found == sorted(found, reverse=True)
    assert found[-1] == 4


def test_the_table_has_the_training_frames_against_the_reference_as_a_yardstick(
    training, reference
):
    found = evaluate(TOY, training, iid=gaussian(5_000, 2), reference=reference)
    names, against, *_ = metrics_table({"system": "toy", "method": "fokker", **found}).columns
    rows = [("iid", "training"), ("data", "reference"), ("iid", "reference")]
    assert list(zip(names.cells, against.cells, strict=True)) == rows
