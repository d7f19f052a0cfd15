"""`fokker inspect`, and runs of molecules with beads and variables of the user's own choice."""

import dataclasses
import json
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from typer.testing import CliRunner

from fokker.cli import app
from fokker.dataset.source import resolve, training_segments
from fokker.dataset.suspicions import Evidence, suspicions
from fokker.metrics import evaluate
from fokker.report import gather, write_report
from fokker.system import Bead, Mapping, System
from fokker.trajectory import read_molecule
from fokker.units import BOLTZMANN
from fokker.workflow.inspect import inspect
from fokker.workflow.preset import preset

TOPOLOGY = resolve("embedded:alanine-dipeptide/topology.pdb")
TRAJECTORY = resolve("embedded:alanine-dipeptide/train.dcd")
OWN = ["-f", TRAJECTORY, "-p", TOPOLOGY, "--temperature", 300, "--stride", 25]


def call(*arguments, code=0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_what_is_shown_of_a_molecule(tmp_path):
    file = tmp_path / "seen.json"
    shown = call("inspect", "molecule", *OWN, "--select", "name N CA CB C O", "--json", file)
    found = json.loads(file.read_text())
    assert found["atoms"] == 10
    assert found["files"] == [{"path": str(TRAJECTORY), "frames": 1997}]
    assert [bead["label"] for bead in found["beads"]][:3] == ["ACE1-C", "ACE1-O", "ALA2-N"]
    assert found["temperature"] == pytest.approx(300)
    assert found["training_frames"] + found["validation_frames"] == found["frames"] == 1997
    assert [v["name"] for v in found["collective_variables"]] == ["phi", "psi"]
    assert found["collective_variables"][0]["unit"] == "rad"
    assert found["chiral_centres"] == ["ALA2-CA"]
    assert found["bonds"][0]["mean"] == pytest.approx(0.123, abs=0.002)
    assert 1 <= found["correlation_time"] < 5  # every 25th frame of the embedded data
    assert found["effective_frames"] == pytest.approx(
        found["training_frames"] / found["correlation_time"]
    )
    assert found["box"] is None
    for text in ("1,997 frames", "10 atoms", "300 K", "ALA2-CA", "phi", "9 beads", "8 bonds"):
        assert text in shown
    assert not (tmp_path / "checkpoint").exists()


def test_a_choice_of_beads_and_variables_is_shown_before_it_is_trained(tmp_path):
    mapping = tmp_path / "beads.toml"
    mapping.write_text(
        '[[beads]]\nname = "A"\natoms = "resname ACE"\n'
        '[[beads]]\nname = "B"\natoms = "resname ALA"\n'
        '[[beads]]\nname = "C"\natoms = "resname NME"\n'
    )
    file = tmp_path / "seen.json"
    shown = call(
        *("inspect", "molecule", *OWN, "--mapping", mapping, "--json", file),
        *("--cv", "angle A B C", "--cv", f"rmsd {TOPOLOGY}"),
    )
    found = json.loads(file.read_text())
    assert [len(bead["atoms"]) for bead in found["beads"]] == [3, 5, 2]
    assert [bond["beads"] for bond in found["bonds"]] == [[0, 1], [1, 2]]
    assert [v["kind"] for v in found["collective_variables"]] == ["angle", "rmsd"]
    assert [v["unit"] for v in found["collective_variables"]] == ["rad", "nm"]
    assert found["mapping"] == str(mapping)
    assert "3 beads" in shown


def test_presets_and_model_potentials():
    found = inspect(preset("mixture-2d"))
    assert (found["files"], found["topology"], found["warnings"]) == ([], None, [])
    assert [v["unit"] for v in found["collective_variables"]] == ["", ""]


def test_a_box_is_told(tmp_path):
    frames = mdtraj.load(str(TRAJECTORY), top=str(TOPOLOGY))[:200]
    frames.unitcell_lengths = np.tile([3.0, 3.5, 4.0], (200, 1))
    frames.unitcell_angles = np.full((200, 3), 90.0)
    frames.save(str(tmp_path / "md.xtc"))
    own = {"trajectory": [str(tmp_path / "md.xtc")], "topology": str(TOPOLOGY)}
    found = inspect(preset("molecule", changes={"system": {**own, "temperature": 300.0}}))
    assert found["box"] == pytest.approx([3.0, 3.5, 4.0], abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["molecule"], "needs --trajectory"),
        (["alanine"], "no system preset"),
        (["molecule", *OWN, "--mapping", "cg"], "no mapping 'cg'"),
        (["molecule", *OWN, "--cv", "chi9"], "'chi9': the beads do not define it"),
        (["molecule", *OWN, "--cv", "rmsd none.pdb"], "none.pdb"),
        (["molecule", *OWN, "--json", "/nowhere/x.json"], "could not be written"),
    ],
)
def test_bad_input_is_one_sentence(arguments, match):
    output = call("inspect", *arguments, code=2)
    assert match in output
    assert "Traceback" not in output


@pytest.mark.parametrize("n_frames", [1, 2, 30])
def test_a_short_trajectory_is_shown_though_it_is_too_short_for_training(tmp_path, n_frames):
    mdtraj.load(str(TRAJECTORY), top=str(TOPOLOGY))[:n_frames].save(str(tmp_path / "md.xtc"))
    own = {"trajectory": [str(tmp_path / "md.xtc")], "topology": str(TOPOLOGY)}
    variable = [{"kind": "distance", "beads": ["ACE1-CH3", "ALA2-CB"]}]
    own |= {"temperature": 300.0, "collective_variables": variable}
    found = inspect(preset("molecule", changes={"system": own}))
    assert found["frames"] == n_frames
    assert found["training_frames"] >= 1
    assert len(found["beads"]) == 10
    assert f"{n_frames} frame(s): training takes at least 100." in found["warnings"]


def test_chains_are_shown(tmp_path):
    lines = [line for line in Path(TOPOLOGY).read_text().splitlines() if line.startswith("ATOM")]
    (tmp_path / "two.pdb").write_text("\n".join([*lines, *lines, "END", ""]))
    frames = mdtraj.load(str(TRAJECTORY), top=str(TOPOLOGY))[:120].xyz
    np.save(tmp_path / "two.npy", np.concatenate([frames, frames + 1.0], axis=1))
    shown = call(
        *("inspect", "molecule", "-f", tmp_path / "two.npy", "-p", tmp_path / "two.pdb"),
        *("--temperature", 300),
    )
    assert "A (ACE1 to NME3, 10 beads), B (ACE1 to NME3, 10 beads)" in shown
    assert "the beads are 2 molecules" in shown


# --- suspicions -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    trajectory = read_molecule([TRAJECTORY], TOPOLOGY, temperature=300.0, stride=100)
    return Evidence(trajectory.system, trajectory.positions, 1e4)


def changed(evidence: Evidence, **system) -> Evidence:
    return Evidence(evidence.system.model_copy(update=system), evidence.frames, 1e4)


def only(found: Evidence) -> str:
    (text,) = suspicions(found)
    return text


def test_good_data_raise_no_suspicion(evidence):
    assert suspicions(evidence) == []


@pytest.mark.parametrize(
    ("kelvin", "match"),
    [
        (27.0, "if 27 is in degrees Celsius, give 300.15 K"),
        (1.0, "colder"),
        (3000.0, "hotter"),
        (300.0, None),
        (220.0, None),
        (700.0, None),
    ],
)
def test_temperatures_of_no_simulation(evidence, kelvin, match):
    found = suspicions(changed(evidence, kT=kelvin * BOLTZMANN))
    assert len(found) == (match is not None)
    assert match is None or match in found[0]


def test_few_frames(evidence):
    assert "about 30 independent frames" in only(Evidence(evidence.system, evidence.frames, 30.0))
    assert "errors of 5%" in only(Evidence(evidence.system, evidence.frames, 400.0))


def test_duplicate_frames(evidence):
    twice = np.concatenate([evidence.frames, evidence.frames[:7]])
    assert "7 of 507 frames are exact copies" in only(Evidence(evidence.system, twice, 1e4))


def test_masses(evidence):
    light = (evidence.system.beads[0].model_copy(update={"mass": 1.008}),)
    assert "1.01 amu: hydrogens" in only(changed(evidence, beads=light + evidence.system.beads[1:]))
    heavy = (evidence.system.beads[0].model_copy(update={"mass": 100.0}),)
    assert "range from 12.0 to 100.0 amu" in only(
        changed(evidence, beads=heavy + evidence.system.beads[1:])
    )


def test_solvent(evidence):
    water = (evidence.system.beads[0].model_copy(update={"residue": "HOH"}),)
    assert "(HOH)" in only(changed(evidence, beads=water + evidence.system.beads[1:]))


def test_a_bond_that_breaks(evidence):
    frames = evidence.frames.copy()
    frames[:100, 0] += 0.15  # an end of the chain; no limit of a jump is passed
    assert "the bond ACE1-CH3 ACE1-C is" in only(Evidence(evidence.system, frames, 1e4))


def test_no_bonds_and_several_molecules(evidence):
    assert any("no bonds" in text for text in suspicions(changed(evidence, bonds=())))
    parted = tuple(bond for bond in evidence.system.bonds if bond != (6, 8))
    assert "2 molecules without bonds between them" in only(changed(evidence, bonds=parted))


def test_another_unit_of_unbonded_beads():
    ions = System(
        name="ions",
        dim=3,
        kT=1.0,
        beads=(Bead(name="NA", mass=23.0),) * 3,
        mapping=Mapping(n_atoms=3, indices=(0, 1, 2)),
    )
    frames = np.random.default_rng(0).normal(0, 40.0, (5, 3, 3)).astype(np.float32)
    assert any("really in nm" in text for text in suspicions(Evidence(ions, frames, 1e4)))


def test_beads_that_lose_their_chirality():
    five = read_molecule(
        [TRAJECTORY], TOPOLOGY, select="name N CA C", temperature=300.0, stride=100
    )
    assert "no bead of ALA keeps its chirality" in only(Evidence(five.system, five.positions, 1e4))


def test_segments_end_at_held_out_blocks_and_at_files():
    one = read_molecule([TRAJECTORY], TOPOLOGY, temperature=300.0, stride=100)
    assert one.lengths == (500,)
    twice = np.concatenate([one.positions, one.positions])
    trajectory = dataclasses.replace(one, positions=twice, lengths=(500, 500))
    segments = training_segments(trajectory, 0.02)
    assert sum(map(len, segments)) == 980
    # 20 held-out blocks make 21 pieces, and the end of the first file makes one more
    assert len(segments) == 22
    assert max(map(len, segments)) <= 50


# --- whole runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_variables", [0, 1, 3])
def test_the_report_works_for_any_number_of_variables(tmp_path, evidence, n_variables):
    chosen = evidence.system.collective_variables
    (distance,) = read_molecule(
        [TRAJECTORY], TOPOLOGY, select="name CH3 CB", temperature=300.0, stride=100
    ).system.collective_variables
    variables = (distance, *chosen)[:n_variables]
    system = evidence.system.model_copy(update={"collective_variables": variables})
    training, samples = evidence.frames[:300], evidence.frames[300:]
    tables = evaluate(system, training, samples)
    plots = gather(system, {"data": training, "iid": samples})
    assert len(plots["profiles"]) == n_variables
    assert (plots["surfaces"] is None) == (n_variables < 2)
    (tmp_path / "metrics.json").write_text(json.dumps(tables))
    (tmp_path / "plots.json").write_text(json.dumps(plots))
    page = write_report(tmp_path).read_text()
    assert ("profiles" in page) == (n_variables > 0)


def test_a_coarse_molecule_with_one_variable_is_trained_and_judged(tmp_path):
    """From files to metrics without code: residues as beads, an RMSD as the only variable."""
    out = tmp_path / "run"
    reference = tmp_path / "native.pdb"
    reference.write_bytes(Path(TOPOLOGY).read_bytes())
    tiny = {
        "experts.0.network.width": 8,
        "experts.0.network.depth": 1,
        "experts.0.training.batch_size": 16,
        "experts.0.training.steps": 4,
        "sampling.n": 100,
        "sampling.sampler.steps": 4,
    }
    call(
        *("train", "molecule", *OWN, "--mapping", "residues", "--cv", f"rmsd {reference}"),
        *("--select", "all", "--method", "diffusion", "-o", out),
        *(f"-s{key}={value}" for key, value in tiny.items()),
    )
    call("sample", out)
    reference.unlink()  # evaluation needs neither the reference nor the topology again
    call("evaluate", out)
    metrics = json.loads((out / "metrics.json").read_text())
    assert list(metrics["iid"]["collective_variables"]) == ["RMSD"]
    assert metrics["iid"]["js_bootstrap_error"] is not None
    shown = call("inspect", out)
    assert "3 beads" in shown
    assert "RMSD" in shown
