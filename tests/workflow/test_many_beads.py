"""A molecule that is learned place by place, from its files to samples and forces."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from fokker.cli.app import app
from fokker.run.loaded import load_run
from fokker.system import Bead, System
from fokker.trajectory import FrameWriter, read_frames
from fokker.trajectory.topology import write_topology

BEADS = 14


def test_a_run_of_many_beads_is_read_without_its_trajectory(tmp_path: Path):
    random = np.random.default_rng(0)
    # whose nearest beads differ from those of any other frames
    steps = random.normal(size=(BEADS, 3))
    steps *= 0.38 / np.linalg.norm(steps, axis=1, keepdims=True)
    frames = np.cumsum(steps, axis=0) + 0.02 * random.normal(size=(400, BEADS, 3))
    system = System(
        name="chain",
        dim=3,
        beads=tuple(Bead(name="CA", residue="ALA", residue_index=i) for i in range(BEADS)),
        kT=2.494,
        bonds=tuple((i, i + 1) for i in range(BEADS - 1)),
    )
    topology, trajectory = tmp_path / "chain.pdb", tmp_path / "chain.dcd"
    write_topology(topology, system, frames[0])
    with FrameWriter(trajectory, system) as writer:
        writer.write(frames.astype(np.float32))
    run = tmp_path / "run"
    words = ["train", "alpha-carbons", "-f", str(trajectory), "-p", str(topology)]
    words += ["--temperature", "300", "--out", str(run), "-s", "refinement.steps=0"]
    for i in range(3):
        words += ["-s", f"experts.{i}.training.steps=2", "-s", f"experts.{i}.network.width=8"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    trajectory.unlink()
    topology.unlink()
    network = load_run(run).model.experts[0].network
    assert network.neighbourhoods is not None
    out = tmp_path / "samples.xtc"
    found = CliRunner().invoke(app, ["sample", str(run), "-n", "8", "-o", str(out)])
    assert found.exit_code == 0, found.output
    assert read_frames(out, load_run(run).system).shape == (8, BEADS, 3)
