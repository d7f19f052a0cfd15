"""A run folder that was written before the packages had their present places still works.

`older/` holds a run of six beads of alanine dipeptide (48, 8 and 8 optimiser steps), its frames,
and energies in kT and forces in kJ/mol/nm that the code of then computed.
"""

import json
import shutil
import tomllib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import fokker
from fokker.config import parse, to_toml
from tests.cli.test_cli import call

OLDER = Path(__file__).with_name("older")
EXPECTED = json.loads((OLDER / "expected.json").read_text())
FLOAT32 = 2e-5
"""Relative: what another order of sums may change."""


@pytest.fixture
def older(tmp_path, monkeypatch):
    """The folder, and the place that its configuration names files from."""
    shutil.copytree(OLDER, tmp_path / "older")
    monkeypatch.chdir(tmp_path / "older")
    return Path("run")


def contains(new, old):
    """Whether a table has every key and value of an older one."""
    if isinstance(old, dict):
        return all(key in new and contains(new[key], value) for key, value in old.items())
    if isinstance(old, list) and len(old) == len(new):
        return all(map(contains, new, old))
    return new == old


@pytest.mark.parametrize("t", [t for t in EXPECTED if t != "force"])
def test_energies_are_those_of_then(older, t):
    loaded = fokker.load_run(older)
    expert = loaded.model.expert_at(float(t))
    time = jnp.float32(t)
    frames = jnp.asarray(loaded.start_frames[:3])
    found = [float(expert.energy(x, time, loaded.features)) for x in frames]
    np.testing.assert_allclose(found, EXPECTED[t], rtol=FLOAT32)


def test_forces_are_those_of_then(older):
    loaded = fokker.load_run(older)
    x = loaded.scaling.invert(loaded.start_frames[:1])[0]
    largest = np.abs(EXPECTED["force"]).max()
    np.testing.assert_allclose(
        loaded.force(1e-5)(jnp.asarray(x)), EXPECTED["force"], atol=FLOAT32 * largest
    )


def test_the_configuration_is_read_and_written_alike(older):
    stored = (older / "config.toml").read_text()
    config = parse(tomllib.loads(stored), "config.toml")
    assert contains(tomllib.loads(to_toml(config)), tomllib.loads(stored))


def test_commands_use_the_finished_run(older):
    call("sample", older, "-n", 20, "--overwrite")
    call("simulate", older, "--chains", 2, "--steps", 20, "--stride", 10, "--overwrite")
    call("evaluate", older)
    call("report", older)
    assert (older / "report.html").stat().st_size > 1e5


def test_an_unfinished_run_is_resumed_to_the_weights_of_then(older):
    whole = fokker.load_run(older)
    shutil.rmtree(older / "checkpoint" / "00000064")
    config = parse(tomllib.loads((older / "config.toml").read_text()), "config.toml")
    fokker.train(config, older, resume=True)
    assert sorted(p.name for p in (older / "checkpoint").iterdir())[-1] == "00000064"
    again = fokker.load_run(older)
    x, t = jnp.asarray(whole.start_frames[0]), jnp.float32(0.9)
    energies = [r.model.expert_at(0.9).energy(x, t, r.features) for r in (whole, again)]
    np.testing.assert_allclose(energies[1], energies[0], rtol=1e-3)
