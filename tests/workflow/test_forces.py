"""Frames with forces through the commands: alone, beside a trajectory, and resumed."""

import json
import tomllib

import equinox as eqx
import numpy as np
import pytest

from fokker.config import parse, to_toml
from fokker.config.presets import combine, methods, with_force_matching
from fokker.dataset.frames import prepare
from fokker.dataset.source import load_trajectory
from fokker.run.loaded import load_run
from fokker.runtime.interruption import Stop
from fokker.training import block
from tests.cli.test_cli import TINY, call, refused
from tests.trajectory.test_labelled import NAMES, PDB, frames


@pytest.fixture
def files(tmp_path):
    """Topology, frames with forces, and frames without."""
    positions, forces = frames()
    (tmp_path / "top.pdb").write_text(PDB)
    np.savez(tmp_path / "f.npz", positions=positions, forces=forces, names=NAMES)
    np.save(tmp_path / "md.npy", frames(seed=5)[0])
    return tmp_path


def own(files, *more):
    common = ["molecule", "-p", files / "top.pdb", "--temperature", 300, "--select", "element C"]
    return [*common, "--forces", files / "f.npz", *more]


def test_training_on_frames_with_forces(files):
    shown = call("train", *own(files), "-o", files / "run", *TINY)
    assert "380 training frames with forces" in " ".join(shown.split())
    config = tomllib.loads((files / "run/config.toml").read_text())
    assert config["system"]["forces"] == [str(files / "f.npz")]
    objectives = config["experts"][0]["training"]["objectives"]
    assert set(objectives) == {"force-matching", "diffclf", "torsion"}
    log = [json.loads(line) for line in (files / "run/training.jsonl").read_text().splitlines()]
    assert {"force-matching", "diffclf", "torsion"} == set(log[0]["terms"])
    assert all(np.isfinite(list(line["terms"].values())).all() for line in log)
    assert "force-matching" in log[0]["validation"]
    call("sample", files / "run", "-n", 20)


def test_frames_with_forces_beside_a_trajectory(files):
    call("train", *own(files, "-f", files / "md.npy"), "-o", files / "whole", *TINY)
    config = parse(tomllib.loads((files / "whole/config.toml").read_text()), "test")
    trajectory = load_trajectory(config)
    assert trajectory.lengths == (400, 400)
    dataset = prepare(trajectory.positions, trajectory.system, forces=trajectory.forces)
    known = np.asarray(dataset.training_labels.known)
    assert known.sum() == 380
    assert np.all(dataset.training_index[known] >= 400)
    seen = call("inspect", *own(files, "-f", files / "md.npy"))
    assert "800 frames" in seen or seen.count("400 frames") == 2


def test_a_file_in_both_places_is_read_once(files):
    raw = combine("molecule", "mixture")
    raw["system"] |= {"trajectory": [str(files / "f.npz")], "forces": [str(files / "f.npz")]}
    raw["system"] |= {"topology": str(files / "top.pdb"), "temperature": 300.0}
    raw["system"]["select"] = "element C"
    assert load_trajectory(parse(raw, "test")).lengths == (400,)


def test_training_with_forces_resumes_bit_for_bit(files, monkeypatch):
    settings = [*own(files), *TINY, "-sexperts.0.training.steps=8"]
    monkeypatch.setattr(block, "BLOCK", 4)
    call("train", *settings, "-o", files / "whole")
    blocks = iter([True])  # stop after the first block
    monkeypatch.setattr(Stop, "__call__", lambda self: next(blocks, False))
    call("train", *settings, "-o", files / "again")
    call("train", *settings, "-o", files / "again", "--resume")
    whole, again = (load_run(files / name).model for name in ("whole", "again"))
    assert eqx.tree_equal(whole, again)


@pytest.mark.parametrize("method", methods())
def test_every_method_takes_forces(method):
    raw = combine("molecule", method)
    raw["system"] |= {"forces": ["f.npz"], "topology": "md.pdb", "temperature": 300.0}
    config = parse(with_force_matching(raw), method)
    assert parse(tomllib.loads(to_toml(config)), "again") == config
    for expert in config.experts:
        assert "force-matching" in expert.training.objectives
        assert "dsm" not in expert.training.objectives


def test_mistakes_get_one_sentence(files):
    refused(
        "train", "molecule", "-p", files / "top.pdb", "--temperature", 300, "-o", files / "run",
        match="needs --trajectory",
    )  # fmt: skip
    refused("train", *own(files), "-o", files / "a", "-ssystem.temperature=30", match="virial")
    refused(
        "train", "mixture-2d", "-o", files / "b", *TINY,
        "-sexperts.0.training.objectives.force-matching.weight=1", match="a file with --forces",
    )  # fmt: skip
