"""The scripts of `examples/` and the example of the handbook run, and say what they promise."""

import contextlib
import io
import re
import runpy
import sys

import numpy as np
import pytest

from tests.test_docs import DOCS, run_examples

pytestmark = pytest.mark.documentation

SCRIPTS = {script.name: script for script in run_examples.SCRIPTS}
SAYS = {
    "1_train_in_python.py": ["diverged chains: \\d+ of 10", "samples: JS", "simulation: JS"],
    "2_force_in_openmm.py": ["'FokkerForce'", "distance of the ends: 0\\.\\d+ nm"],
    "3_new_objective.py": ["sliced score matching: error", "denoising score matching: error"],
    "4_many_molecules.py": ["molecules.middle", "samples: JS", "simulation: JS"],
    "5_compare_two_runs.py": ["diffusion +iid", "fokker +sim", "iid: \\w+ is better by"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all scripts: the second needs the run of the first."""
    return tmp_path_factory.mktemp("examples")


def test_scripts_are_numbered_and_in_the_table():
    assert sorted(SCRIPTS) == sorted(SAYS)
    assert [name[0] for name in sorted(SCRIPTS)] == list("12345")
    table = (DOCS.parent / "examples" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(.*?)`", table, re.M) == sorted(SCRIPTS)


@pytest.mark.parametrize("names", [("1", "2"), ("3",), ("4",), ("5",)], ids="-".join)
def test_scripts_run(names, folder, monkeypatch, capsys):
    """In this process, which has imported everything; `make docs-test` runs them as a user does."""
    monkeypatch.chdir(folder)
    for name in sorted(SCRIPTS):
        if name.startswith(names):
            monkeypatch.setattr(sys, "argv", [name, "--quick"])
            runpy.run_path(str(SCRIPTS[name]), run_name="__main__")
            printed = capsys.readouterr().out
            for pattern in SAYS[name]:
                assert re.search(pattern, printed), printed


def test_the_example_of_the_handbook():
    """Shortened; what a training of full length reaches is on the page of results."""
    *_, (_, text) = run_examples.blocks("handbook.md")
    assert 90 <= len(text.splitlines()) <= 120
    short = text.replace("STEPS, BATCH, T_MIN = 1500", "STEPS, BATCH, T_MIN = 100")
    short = short.replace("n_steps=4000", "n_steps=400")
    assert short.count("= 100, 256") == short.count("n_steps=400,") == 1
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(short, "handbook.md", "exec"), names)
    lines = re.findall(r"^(\w+): JS ([\d.]+), ([\d.]+) times", printed.getvalue(), re.M)
    assert [name for name, *_ in lines] == ["data", "samples", "simulation"]
    # The data are independent of the reference: their JS is the floor, within its own spread.
    assert 0.8 < float(lines[0][2]) < 1.3
    assert all(np.isfinite(names[key]).all() for key in ("samples", "simulation"))
