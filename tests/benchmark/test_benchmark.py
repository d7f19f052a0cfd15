"""The benchmark command on a toy system of seconds: resumable, honest, and the same for a seed."""

import csv
import io
import json
import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fokker.benchmark import Budget, Plan
from fokker.benchmark import run as run_plan
from fokker.benchmark.calibration import calibrate
from fokker.benchmark.numbers import RESIDUAL_TIME, _bond
from fokker.benchmark.plan import same_weights, with_steps
from fokker.cli import app
from fokker.cli.benchmark import _pieces
from fokker.config import parse, read_toml
from fokker.config.presets import assignment, combine
from fokker.errors import FokkerError
from fokker.runtime.interruption import Interrupted, Stop
from tests.helpers.peptides import SELECT, write_molecule

TINY = [
    "experts.*.network.width=8",
    "experts.*.network.depth=1",
    "experts.*.training.batch_size=16",
    "experts.*.training.steps=20",
    "sampling.n=200",
    "sampling.batch_size=200",
    "sampling.sampler.steps=5",
    "simulation.chains=10",
    "simulation.steps=100",
    "simulation.stride=10",
]
VARIANTS = Path(__file__).parents[2] / "benchmarks" / "accuracy" / "variants"
ROWS = ("reference dynamics", "diffusion", "two-for-one", "half")


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    variant = folder / "half.toml"
    variant.write_text(
        'method = "both"\n[experts.0.training.objectives.fokker-planck]\nfraction = 0.5\n'
    )
    more = [part for text in TINY for part in ("-s", text)]
    return ["mixture-2d", "--methods", "diffusion,two-for-one", "--variant", f"half={variant}",
            "--effort", 0.5, "-o", folder / "out", *more]  # fmt: skip


@pytest.fixture(scope="module")
def finished(arguments):
    call("benchmark", *arguments, "--seeds", 1)
    return arguments[arguments.index("-o") + 1]


def test_table_has_every_row_and_file(finished):
    table = json.loads((finished / "table.json").read_text())
    assert tuple(table["rows"]) == ROWS
    for name in ROWS:
        for key in (
            "iid_js_data",
            "iid_js",
            "sim_js",
            "iid_pmf",
            "sim_pmf",
            "sim_failed",
            "steps_per_second",
        ):
            assert table["rows"][name][key]["mean"] is not None
    assert table["rows"]["half"]["steps"]["mean"] == 3 * 10
    assert table["floor"]["sim_js"]["mean"] > 0
    assert table["rows"]["reference dynamics"]["diverged"]["mean"] == 0
    text = (finished / "table.md").read_text()
    assert "    fokker" in text
    assert all(f"| {name} |" in text for name in ROWS)
    lines = list(csv.DictReader((finished / "table.csv").open()))
    assert [line["method"] for line in lines] == [*ROWS, "floor"]
    assert float(lines[1]["sim_js_mean"]) == table["rows"]["diffusion"]["sim_js"]["mean"]
    assert (finished / "table.svg").read_text().startswith("<svg")
    assert (finished / "table.png").read_bytes().startswith(b"\x89PNG")


def test_residuals_against_time_are_those_of_the_cells(finished):
    table = json.loads((finished / "table.json").read_text())
    assert list(table["residuals"]) == list(ROWS[1:])
    cell = json.loads((finished / "half-0" / "metrics.json").read_text())["residual"]
    curve = table["residuals"]["half"]
    assert (curve["t"], curve["rms"]) == (cell["t"], cell["rms"])
    for name in ROWS[1:]:
        of_row = table["residuals"][name]
        at = of_row["t"].index(RESIDUAL_TIME)
        assert table["rows"][name]["residual"]["mean"] == pytest.approx(of_row["rms"][at])
    assert table["columns"]["residual"] == f"FP residual at t = {RESIDUAL_TIME:g}"
    svg = (finished / "residuals.svg").read_text()
    assert ">half<" in svg
    assert ">two-for-one<" not in svg  # the weights, and so the line, of diffusion


def test_two_for_one_has_the_weights_of_diffusion_and_its_best_time(finished):
    table = json.loads((finished / "table.json").read_text())
    diffusion, two = table["rows"]["diffusion"], table["rows"]["two-for-one"]
    assert two["iid_js"]["values"] == diffusion["iid_js"]["values"]
    record = json.loads((finished / "two-for-one-0" / "run.json").read_text())
    assert record["training"]["shared_with"] == "diffusion-0"
    assert record["simulation"]["t"] == float(min(record["scan"], key=record["scan"].get))
    assert len(record["scan"]) > 3
    weights = [
        next((finished / f"{name}-0" / "checkpoint").glob("*/model.safetensors")).read_bytes()
        for name in ("diffusion", "two-for-one")
    ]
    assert weights[0] == weights[1]
    # A cell is a run like any other.
    call("sample", finished / "two-for-one-0", "-n", 10, "-o", finished / "few.npy")


def test_cells_of_several_machines_are_one_benchmark_by_their_numbers_alone(
    finished, arguments, tmp_path
):
    where = arguments.index("-o") + 1

    def into(folder):
        return [*arguments[:where], folder, *arguments[where + 1 :]]

    call("benchmark", *into(tmp_path / "second"), "--seeds", 1, "--first-seed", 1)
    assert not (tmp_path / "second" / "half-0").exists()
    both = tmp_path / "both"
    for source in (finished, tmp_path / "second"):
        for cell in source.glob("*-[01]/cell.json"):
            (both / cell.parent.name).mkdir(parents=True, exist_ok=True)
            (both / cell.parent.name / "cell.json").write_bytes(cell.read_bytes())
    output = call("benchmark", *into(both), "--seeds", 2)
    assert ", seed" not in output
    table = json.loads((both / "table.json").read_text())
    one = json.loads((finished / "table.json").read_text())
    two = json.loads((tmp_path / "second" / "table.json").read_text())
    assert tuple(table["rows"]) == ROWS
    for name in ROWS:
        for key, column in table["rows"][name].items():
            parts = (one["rows"][name][key], two["rows"][name][key])
            assert column["values"] == [value for part in parts for value in part["values"]]
    # the weights of a row that shares them are not among the numbers
    (both / "two-for-one-0" / "cell.json").unlink()
    call("benchmark", *into(both), "--seeds", 2)
    record = json.loads((both / "two-for-one-0" / "run.json").read_text())
    assert "shared_with" not in record["training"]
    again = json.loads((both / "table.json").read_text())["rows"]["two-for-one"]
    assert again["iid_js"] == table["rows"]["two-for-one"]["iid_js"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"molecule": ""}]'])
def test_numbers_that_cannot_be_read_are_named(finished, arguments, tmp_path, text):
    where = arguments.index("-o") + 1
    cell = tmp_path / "out" / "half-0" / "cell.json"
    cell.parent.mkdir(parents=True)
    cell.write_text(text)
    broken = [*arguments[:where], tmp_path / "out", *arguments[where + 1 :], "--seeds", 1]
    output = " ".join(call("benchmark", *broken, code=2).split())
    assert "cell.json: " in output
    assert "and go on." in output
    assert "seed 0" not in output  # before anything is trained


def test_finished_cells_are_left_alone_and_seeds_are_added(finished, arguments):
    log = finished / "half-0" / "run.json"
    before = log.stat().st_mtime_ns
    table = json.loads((finished / "table.json").read_text())
    output = call("benchmark", *arguments, "--seeds", 2)
    assert "half, seed 0" not in output
    assert "half, seed 1" in output
    assert log.stat().st_mtime_ns == before
    again = json.loads((finished / "table.json").read_text())
    for name in ROWS:
        entry = again["rows"][name]["sim_js"]
        assert entry["values"][0] == table["rows"][name]["sim_js"]["values"][0]
        assert entry["values"][0] != entry["values"][1]
        assert entry["std"] > 0
    assert re.search(r"\| half \| [\d.]+ ± [\d.]+", (finished / "table.md").read_text())


def test_a_benchmark_of_other_settings_is_refused(finished, arguments):
    flat = " ".join(call("benchmark", *arguments, "-s", "simulation.steps=50", code=2).split())
    assert "the row 'diffusion' was begun with other settings" in flat
    changed = [0.25 if a == 0.5 else a for a in arguments]
    assert "another budget" in " ".join(call("benchmark", *changed, code=2).split())


def test_mistakes_are_one_sentence(tmp_path):
    for given, match in (
        (["--budget", "soon"], "write a time with its unit"),
        (["--budget", "5m", "--effort", "2"], "one of the two"),
        (["--methods", "bth"], "did you mean 'both'"),
        (["--variant", "x"], "name=file.toml"),
        (["--variant", f"x={tmp_path}/no.toml"], "no.toml"),
    ):
        output = call("benchmark", "mixture-2d", "-o", tmp_path / "out", *given, code=2)
        assert match in " ".join(output.split())
    assert not (tmp_path / "out").exists()


def test_a_damaged_calibration_is_named(tmp_path):
    file = tmp_path / "calibration.json"
    file.write_text('{"18aa')
    with pytest.raises(FokkerError, match=r"calibration\.json: not valid JSON"):
        calibrate([], file)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("60s", 60), ("5m", 300), ("1h30m", 5400), ("1.5m", 90)]
)
def test_budget_is_read(text, seconds):
    assert Budget.parse(text).seconds == seconds


def config(method="both"):
    return parse(combine("mixture-2d", method, [assignment(text) for text in TINY]), "test")


def test_a_budget_sets_steps_once_and_an_interrupted_one_continues(tmp_path):
    plan = Plan(tmp_path / "out", "mixture-2d", {"both": config()}, 1, Budget(seconds=0.3), "x")
    stop = Stop()

    def show(label, *rest):
        stop.requested = label.startswith("training 2")

    with pytest.raises(Interrupted):
        run_plan(plan, stop=stop, show=show)
    speeds = (plan.folder / "calibration.json").read_text()
    table = run_plan(plan)
    assert (plan.folder / "calibration.json").read_text() == speeds
    assert len(json.loads(speeds)) == 3
    steps = table["rows"]["both"]["steps"]["mean"]
    slowest, fastest = max(json.loads(speeds).values()), min(json.loads(speeds).values())
    assert 0.9 * 0.3 / slowest < steps < 1.1 * 0.3 / fastest + 3


def test_rows_that_share_weights_are_known():
    assert same_weights(config("diffusion"), config("two-for-one"))
    assert not same_weights(config("diffusion"), config("fokker-planck"))
    assert [e.training.steps for e in with_steps(config(), 2.5, 7).experts] == [50, 50, 50]


def test_bond_column_is_the_peptide_bond():
    bonds = {"ACE1-C ALA2-N": {"w1": 1e-3}, "ALA2-N ALA2-CA": {"w1": 5e-3}}
    assert _bond(bonds, "w1") == pytest.approx(1.0)
    assert _bond({"A-X B-Y": {"w1": 2e-3}}, "w1") == pytest.approx(2.0)
    assert _bond({}, "w1") is None


def test_every_variant_of_the_ablations_is_a_configuration():
    script = [VARIANTS.parent / "ablations.sh", "OUT", "alanine-dipeptide", "--seeds", "1"]
    words = subprocess.run(
        script, env={**os.environ, "FOKKER": "echo"}, capture_output=True, text=True, check=True
    ).stdout.split()
    assert words[:2] == ["benchmark", "alanine-dipeptide"]
    assert words[-4:] == ["--out", "OUT/alanine-dipeptide", "--seeds", "1"]
    for method in words[words.index("--methods") + 1].split(","):
        combine("mueller-brown", method)
    rows = [text for flag, text in pairwise(words) if flag == "--variant"]
    assert len(rows) == len(set(rows))
    used = {name: Path(path) for name, _, path in (row.partition("=") for row in rows)}
    assert {path.resolve() for path in used.values()} == set(VARIANTS.glob("*.toml"))
    for name, path in used.items():
        assert path.stem == name
        variant = {**read_toml(path), "name": name}
        changed = []
        for system in ("alanine-dipeptide", "mueller-brown"):
            made = parse(combine(system, variant), name)
            base = parse(combine(system, variant["method"]), name)
            assert made.method == name
            changed.append(made != base.model_copy(update={"method": name}))
        assert any(changed)


def test_a_variant_must_name_a_preset(tmp_path):
    with pytest.raises(FokkerError, match="did you mean 'both'"):
        combine("mixture-2d", {"name": "mine", "method": "bth"})
    raw = combine("mixture-2d", {"name": "one", "method": "both", "experts": [
        {"interval": [0.0, 1.0], "training": {"steps": 0.5}},
    ]})  # fmt: skip
    assert raw["method"] == "one"
    assert [e["training"]["steps"] for e in raw["experts"]] == [5000]


def test_many_molecules_are_judged_by_each_never_trained_on(tmp_path):
    trained, held_out = tmp_path / "trained", tmp_path / "held-out"
    for folder, molecules in (
        (trained, ("ALA SER", "VAL ALA")),
        (held_out, ("SER ALA", "ALA VAL")),
    ):
        folder.mkdir()
        for residues in molecules:
            write_molecule(folder, residues.replace(" ", "-"), residues)
    given = ["--folder", trained, "--temperature", 300, "--select", SELECT]
    sizes = [part for text in TINY for part in ("-s", text)]
    sizes += ["-s", "sampling.n=40", "-s", "simulation.steps=20"]
    where = ["--methods", "diffusion,two-for-one", "-o", tmp_path / "out", *sizes]
    wrong = CliRunner().invoke(app, [str(a) for a in ("benchmark", "dipeptides", *given, *where)])
    assert wrong.exit_code == 2
    assert "give --validation" in " ".join(wrong.output.split())
    arguments = [*given, "--validation", held_out, "--seeds", 1, "--budget", "1s", *where]
    call("benchmark", "dipeptides", *arguments)
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert table["molecules"] == ["ALA-VAL", "SER-ALA"]
    for name in ("diffusion", "two-for-one"):
        assert len(table["rows"][name]["sim_js"]["values"]) == 2
        assert table["rows"][name]["iid_chirality"]["mean"] is not None
    own, other = (
        (tmp_path / "out" / f"{name}-0" / "molecules" / "SER-ALA" / "samples.xtc").read_bytes()
        for name in ("diffusion", "two-for-one")
    )
    assert own == other
    assert (tmp_path / "out" / "diffusion-0" / "molecules.json").exists()
    text = (tmp_path / "out" / "table.md").read_text()
    assert "each molecule never trained on (ALA-VAL, SER-ALA)" in text


@pytest.mark.parametrize(("width", "pieces"), [(40, 6), (64, 3), (200, 1)])
def test_a_table_is_parted_at_columns_and_no_number_is_cut(width, pieces):
    headings = ["method", *(f"column {i}" for i in range(6))]
    lines = [[name, *(f"0.00{i}2345 ± 0.00011" for i in range(6))] for name in ("both", "fokker")]
    console = Console(width=width, file=io.StringIO())
    for piece in _pieces("title", headings, lines, width):
        console.print(piece)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert text.count("method") == pieces
    for number, heading in zip(lines[0][1:], headings[1:], strict=True):
        assert text.count(number) == len(lines)
        assert text.count(heading) == 1
