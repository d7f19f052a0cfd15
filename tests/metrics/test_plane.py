"""The divergence that a model is judged by does not depend on a few of the model's frames."""

import numpy as np
import pytest

from fokker.cli.display import metrics_table
from fokker.metrics import compare, data_edges, joint_edges, judged_js
from fokker.report import content
from fokker.report.records import Metrics, Relaxation, Run
from fokker.system import Bead, CollectiveVariable, System

N = 20_000
# The third bead has no bond: how far away it is makes no frame fail.
SYSTEM = System(
    name="pair and one",
    dim=3,
    kT=1.0,
    beads=(Bead(name="A"), Bead(name="B"), Bead(name="C")),
    bonds=((0, 1),),
    histogram_bins=32,
    collective_variables=tuple(
        CollectiveVariable(name=f"r{i}", kind="distance", indices=(i, 2), limits=(0.0, 6.0))
        for i in (0, 1)
    ),
)


def frames(seed: int, mean: float = 3.0, outliers: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.zeros((N, 3, 3), np.float32)
    x[:, 1, 1] = 0.15 + 0.003 * rng.normal(size=N)
    x[:, 2, 0] = mean + 0.4 * rng.normal(size=N)
    x[:, 2, 1] = 0.1 * rng.normal(size=N)
    x[:outliers, 2, 0] = 200.0
    return x


@pytest.fixture(scope="module")
def training():
    return frames(0)


def test_outliers_dilute_the_papers_and_not_the_one_that_judges(training):
    clean = compare(SYSTEM, training, frames(1, 3.2))
    spoiled = compare(SYSTEM, training, frames(1, 3.2, outliers=2))
    assert spoiled["failed_fraction"] == 0.0
    assert spoiled["js"] < 0.5 * clean["js"]
    # two frames of 20,000 may shift JS by no more than their share times ln 2, twice
    allowed = 2 * 2 / N * np.log(2)
    assert spoiled["js_data"] == pytest.approx(clean["js_data"], abs=allowed)
    assert spoiled["js_data_floor"] == clean["js_data_floor"]
    assert spoiled["js_data_ratio"] > 10


def test_outliers_of_the_data_dilute_nothing(training):
    clean = compare(SYSTEM, training, frames(1, 3.2))
    spoiled = compare(SYSTEM, frames(0, outliers=2), frames(1, 3.2))
    # edges move by the two frames in ten beyond a quantile, a small part of a bin
    assert spoiled["js_data"] == pytest.approx(clean["js_data"], rel=0.05)


def test_a_perfect_model_is_at_the_floor(training):
    table = compare(SYSTEM, training, frames(2), reference_frames=frames(3))
    # five standard deviations of one draw; what the pool has not visited is a little more
    assert table["js_data"] == pytest.approx(
        table["js_data_floor"], abs=5 * table["js_data_floor_std"]
    )
    assert table["js_data_ratio"] == pytest.approx(table["js_data"] / table["js_data_floor"])
    assert table["js_data_bootstrap_error"] > 0


def test_edges_are_the_period_of_an_angle_and_the_bulk_of_anything_else():
    rng = np.random.default_rng(0)
    data = np.stack([rng.uniform(-1, 1, N), rng.normal(size=N)], axis=1)
    data[:3, 1] = np.nan, 1e4, -1e4
    angle = CollectiveVariable(
        name="a", kind="coordinate", indices=(0,), limits=(-np.pi, np.pi), periodic=True
    )
    first, second = data_edges(data, [angle, SYSTEM.collective_variables[0]], 64)
    np.testing.assert_array_equal(first, np.linspace(-np.pi, np.pi, 65))
    assert len(second) == 67
    assert (second[0], second[-1]) == (-np.inf, np.inf)
    # quantiles 0.0005 of a normal distribution are at 3.29, where ten of 20,000 frames lie beyond
    np.testing.assert_allclose([-second[1], second[-2]], 3.29, atol=0.3)
    full = rng.uniform(-np.pi, np.pi, (N, 1))
    (joint,) = joint_edges(full, full, 64)
    np.testing.assert_allclose(joint, first, atol=2 * np.pi * 20 / N)


def table_of(js_data, js):
    return {
        **{"n": 10, "failed_fraction": 0.0, "pmf": 0.1, "pmf_floor": 0.1},
        **{"js_data": 0.01 * js_data, "js_data_floor": 0.01, "js_data_ratio": js_data},
        **{"js": 0.02 * js, "js_floor": 0.02, "js_ratio": js},
    }


def test_verdict_table_and_relaxation_go_by_it():
    found = table_of(3.0, 1.0)
    metrics = Metrics.model_validate({"iid": found, "sim": found})
    assert content.verdict(metrics, Run()).level == "poor"
    assert content.tiles(metrics, Run(), [])[0].note == "3.00 × floor"
    columns = metrics_table({"system": "s", "method": "m", "iid": found}).columns
    assert [next(iter(c.cells)) for c in columns[3:6]] == ["0.0300", "0.0100", "3.00"]
    record = Relaxation(time=[1.0], js=[0.5], js_floor=0.2, js_data=[0.4], js_data_floor=0.1)
    assert record.judged == ([0.4], 0.1)


def test_files_of_an_earlier_version_are_judged_by_what_they_have():
    old = {k: v for k, v in table_of(3.0, 1.0).items() if not k.startswith("js_data")}
    assert judged_js(old)[:3] == (0.02, None, 0.02)
    metrics = Metrics.model_validate({"iid": old, "sim": old})
    assert content.verdict(metrics, Run()).level == "good"
    assert Relaxation(time=[1.0], js=[0.5], js_floor=0.2).judged == ([0.5], 0.2)
