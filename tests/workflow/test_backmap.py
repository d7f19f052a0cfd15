"""`fokker backmap`: what it writes, resumes, counts and refuses."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import fokker
from fokker.cli import app
from fokker.config import parse
from fokker.dataset.source import resolve
from fokker.errors import FokkerError
from fokker.run.loaded import load_run
from fokker.run.molecule import molecule
from fokker.runtime.interruption import Interrupted, Stop
from fokker.trajectory import (
    FrameWriter,
    read_frames,
    system_from_topology,
    write_topology,
)
from fokker.workflow.backmap import Files, backmap
from tests.helpers import peptides
from tests.helpers.engine_run import make_run

TINY = (
    "-sexperts.0.network.width=8",
    "-sexperts.0.network.layers=1",
    "-sexperts.0.network.heads=2",
    "-sexperts.0.network.head_width=4",
    "-sexperts.0.training.batch_size=8",
)
EMBEDDED = "embedded:alanine-dipeptide/"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run whose samples are 70 frames that it was not trained on, and one that failed."""
    folder = make_run(tmp_path_factory.mktemp("backmap") / "run")
    system = load_run(folder).system
    frames = read_frames(resolve(EMBEDDED + "reference.dcd"), system, stride=350)[:70]
    frames[33] = np.nan
    with FrameWriter(folder / "samples.xtc", system) as writer:
        writer.write(frames)
    return folder


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


@pytest.fixture(scope="module")
def all_atoms():
    """The ten heavy atoms of the files of alanine dipeptide."""
    return system_from_topology(
        resolve(EMBEDDED + "topology.pdb"), select="all", temperature=300.0, name="ala"
    )


def refused(*arguments, match):
    result = CliRunner().invoke(app, ["backmap", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 2, result.output
    flat = " ".join(result.output.split())
    assert match in flat, flat
    assert "Traceback" not in flat


def test_samples_get_their_atoms_and_a_failed_frame_is_listed(run, all_atoms):
    output = CliRunner().invoke(app, ["backmap", str(run), "--no-minimise"]).output
    assert "1 frames hold no structure and have no atoms, from 0: 33" in " ".join(output.split())
    result = json.loads((run / "atoms.json").read_bytes())
    assert (result["frames"], result["failed"], result["mirrored"]) == (70, [33], [])
    assert result["rebuilt"]["frames"] == 69
    assert result["training"]["bond_outliers"] < 0.01
    assert result["force_field"] is None
    atoms = read_frames(run / "atoms.xtc", all_atoms, allow_failed=True)
    wanted = read_frames(resolve(EMBEDDED + "reference.dcd"), all_atoms, stride=350)[:70]
    kept = np.arange(70) != 33
    assert not atoms[33].any()
    apart = np.sqrt(np.mean(np.sum((atoms - wanted)[kept] ** 2, axis=-1), axis=-1))
    assert np.median(apart) < 0.02
    # the topology is that of the trajectory: names, bonds and one of its frames
    written = system_from_topology(run / "atoms.pdb", select="all", temperature=300.0, name="ala")
    assert written.labels == all_atoms.labels
    np.testing.assert_allclose(
        read_frames(run / "atoms.pdb", all_atoms, min_frames=1)[0], atoms[0], atol=2e-4
    )


def test_minimised_frames_have_no_broken_bond(run):
    pytest.importorskip("openmm")
    system = load_run(run).system
    few = run / "few.dcd"
    with FrameWriter(few, system) as writer:
        writer.write(read_frames(run / "samples.xtc", system, allow_failed=True)[30:36])
    result = backmap(run, Files(frames=few, out=run / "few-atoms.dcd"))
    assert result["force_field"] == ["amber14-all.xml", "implicit/obc2.xml"]
    assert (result["failed"], result["not_minimised"]) == ([3], [])
    assert (result["broken_bonds"], result["mirrored"]) == ([], [])


def test_a_file_that_was_interrupted_is_resumed(run, monkeypatch):
    whole, parts = run / "whole.dcd", run / "parts.dcd"
    backmap(run, Files(out=whole), minimise=False)
    calls = iter([False, True])
    with monkeypatch.context() as patch:
        patch.setattr(Stop, "__call__", lambda self: next(calls))
        with pytest.raises(Interrupted):
            backmap(run, Files(out=parts), minimise=False, stop=Stop())
    assert parts.stat().st_size < whole.stat().st_size
    with pytest.raises(FokkerError, match="with other settings"):
        backmap(run, Files(out=parts), resume=True)
    with pytest.raises(FokkerError, match="already exists"):
        backmap(run, Files(out=parts), minimise=False)
    backmap(run, Files(out=parts), minimise=False, resume=True)
    assert parts.read_bytes() == whole.read_bytes()
    with pytest.raises(FokkerError, match="already exists"):
        backmap(run, Files(out=parts), minimise=False)
    backmap(run, Files(out=parts), minimise=False, overwrite=True)
    assert parts.read_bytes() == whole.read_bytes()


def test_a_molecule_that_no_force_field_knows_is_not_minimised_and_that_is_told(run, monkeypatch):
    pytest.importorskip("openmm")
    monkeypatch.setattr("fokker.backmap.minimise.FORCE_FIELDS", (("tip3p.xml",),))
    said = []
    result = backmap(run, on_message=said.append)
    assert result["force_field"] is None
    assert any("no force field of OpenMM knows the molecule" in text for text in said)


def test_mistakes_are_one_sentence(run, tmp_path):
    trajectory = resolve(EMBEDDED + "train.dcd")
    refused(tmp_path / "nothing", match="no such run folder")
    refused(run, "-o", run / "atoms.abc", match=".abc")
    refused(run, "-o", run / "samples.xtc", "--overwrite", match="would be written over")
    refused(run, "-f", run / "samples.xtc", match="the training trajectory has the beads only")
    beads = load_run(run).system
    write_topology(tmp_path / "beads.pdb", beads, np.eye(beads.n_beads, 3))
    refused(run, "-p", tmp_path / "beads.pdb", match="has the beads only")
    refused(run, "-f", tmp_path / "gone.xtc", match="put the file back, or give")
    other = peptides.write_pdb(tmp_path / "other.pdb", "ALA SER")
    refused(run, "-f", trajectory, "-p", other, match="in the run's own topology ACE-CH3")
    foreign = tmp_path / "foreign.dcd"
    system = system_from_topology(other, select="name N CA CB", temperature=300.0, name="x")
    with FrameWriter(foreign, system) as writer:
        writer.write(np.ones((3, 6, 3), np.float32))
    refused(run, foreign, match="holds 6 atoms")
    text = tmp_path / "text.xtc"
    text.write_text("no trajectory")
    refused(run, text, match="text.xtc")
    (run / "samples.xtc").unlink()
    refused(run, match="has no samples and no simulation")


def test_a_run_of_the_beads_only_has_no_atoms(tmp_path):
    """Trained on files of the beads; given those of all atoms it works."""
    first = make_run(tmp_path / "first")
    system = load_run(first).system
    with FrameWriter(tmp_path / "beads.dcd", system) as writer:
        writer.write(read_frames(resolve(EMBEDDED + "train.dcd"), system, stride=100))
    frame = read_frames(tmp_path / "beads.dcd", system)[0]
    write_topology(tmp_path / "beads.pdb", system, frame)
    raw = fokker.preset("alanine-dipeptide", "diffusion").model_dump(mode="json")
    raw["system"] |= {
        "trajectory": [str(tmp_path / "beads.dcd")],
        "topology": str(tmp_path / "beads.pdb"),
        "reference": [],
        "select": "all",
    }
    raw["experts"] = raw["experts"][:1]
    raw["experts"][0] |= {"interval": [0.0, 1.0]}
    run = make_run(tmp_path / "run", parse(raw, "test"))
    frames = tmp_path / "beads.dcd"
    refused(run, frames, match="has the beads only, so there are no atoms to go back to")
    given = Files(
        frames,
        tmp_path / "atoms.xtc",
        (resolve(EMBEDDED + "train.dcd"),),
        resolve(EMBEDDED + "topology.pdb"),
    )
    result = backmap(run, given, minimise=False)
    assert result["rebuilt"]["chirality_kept"] == 1.0


def test_a_model_potential_has_no_atoms(tmp_path):
    config = fokker.preset("mueller-brown", "diffusion")
    run = make_run(tmp_path / "run", config)
    refused(run, match="a model potential, whose beads stand for no atoms")


def test_a_molecule_of_many_gets_its_atoms(tmp_path):
    trained, held_out = peptides.write_folders(tmp_path)
    run = tmp_path / "run"
    made = CliRunner().invoke(
        app,
        [
            *("train", "molecules", "--method", "diffusion", "--folder", str(trained)),
            *("--validation", str(held_out), "--select", "name N CA C O", "--temperature", "300"),
            *("--out", str(run), "-sexperts.0.training.steps=3", *TINY),
        ],
        catch_exceptions=False,
    )
    assert made.exit_code == 0, made.output
    refused(run, match="a run of many molecules; give the folder of one")
    one = molecule(run, held_out / "SA.pdb")
    refused(one, match="has no samples and no simulation")
    system = load_run(one).system
    with FrameWriter(one / "samples.xtc", system) as writer:
        writer.write(read_frames(held_out / "SA.dcd", system, stride=10))
    result = backmap(one, minimise=False)
    assert (result["frames"], result["broken_bonds"], result["mirrored"]) == (12, [], [])
    atoms = peptides.system_of(one / "atoms.pdb")
    assert [bead.name for bead in atoms.beads].count("CB") == 2
    # the atoms shake by 0.004 nm about one structure, in each direction
    wanted = read_frames(held_out / "SA.dcd", peptides.system_of(held_out / "SA.pdb"), stride=10)
    found = read_frames(one / "atoms.xtc", atoms)
    apart = np.sqrt(np.mean(np.sum((found - wanted) ** 2, axis=-1), axis=-1))
    assert apart.max() < 4 * 0.004 * np.sqrt(3)
    new = molecule(run, peptides.write_pdb(tmp_path / "SS.pdb", "SER SER"))
    shutil.copy(one / "samples.xtc", new / "samples.xtc")
    refused(new, match="has no trajectory in the folders of the run; give the files")
