"""Folding in the report: numbers of the figures, figures and page."""

import json

import numpy as np
import pytest

from fokker.metrics import evaluate
from fokker.report import Chains, gather, write_report
from fokker.report.contacts import contact_maps, folded_fraction
from fokker.report.records import Metrics, Plots
from tests.metrics.test_folding import N, chain, independent


@pytest.fixture(scope="module")
def results():
    sets = {
        "data": independent(800),
        "reference": independent(400, 0.3, 1),
        "iid": independent(400, 0.35, 2),
        "sim": independent(400, 0.25, 3),
    }
    metrics = evaluate(
        chain(), sets["data"], sets["iid"], sets["sim"], sets["reference"], sim_chains=4
    )
    return metrics, gather(chain(), sets, chains=Chains(4, 0.5))


def test_numbers_of_the_figures(results):
    _, plots = results
    record = plots["contacts"]
    assert record["beads"] == N
    assert set(record["probability"]) == {"data", "reference", "iid", "sim"}
    assert len(record["pairs"]) == 2 * len(record["probability"]["data"])
    traces = plots["traces"]
    assert np.shape(traces["values"]) == (3, 100)
    assert traces["interval"] == 0.5
    json.dumps(plots, allow_nan=False)


def test_figures_hold_every_set(results):
    metrics, plots = (Metrics.model_validate(results[0]), Plots.model_validate(results[1]))
    maps = contact_maps(plots)
    assert maps is not None
    assert "dots are the native contacts" in maps.caption
    fractions = folded_fraction(metrics, plots)
    assert fractions is not None
    assert folded_fraction(metrics, None) is not None
    assert folded_fraction(Metrics(), plots) is None
    assert contact_maps(Plots()) is None


def test_page_has_the_section_only_for_chains(results, tmp_path):
    metrics, plots = results
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "plots.json").write_text(json.dumps(plots))
    page = write_report(tmp_path).read_text()
    assert "<h2>Folding</h2>" in page
    assert {"contacts.svg", "folding.svg"} <= {p.name for p in (tmp_path / "figures").iterdir()}
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "plots.json").write_text("{}")
    assert "<h2>Folding</h2>" not in write_report(tmp_path).read_text()
    assert not (tmp_path / "figures" / "contacts.svg").exists()
