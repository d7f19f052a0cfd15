"""The command line, end to end in a temporary folder, and every mistake in one sentence."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from fokker.cli import app
from fokker.dataset.source import resolve
from fokker.run.folder import RunFolder
from fokker.run.loaded import load_run
from fokker.runtime import checkpoint
from fokker.runtime.interruption import Stop
from fokker.training import block
from fokker.trajectory import FrameWriter, read_frames

TOPOLOGY = str(resolve("embedded:alanine-dipeptide/topology.pdb"))
TRAJECTORY = str(resolve("embedded:alanine-dipeptide/train.dcd"))
TINY = [
    *(f"-sexperts.{i}.network.width=8" for i in range(3)),
    *(f"-sexperts.{i}.network.depth=1" for i in range(3)),
    *(f"-sexperts.{i}.training.batch_size=16" for i in range(3)),
    *(f"-sexperts.{i}.training.steps=4" for i in range(3)),
    "-ssampling.n=300",
    "-ssampling.batch_size=128",
    "-ssampling.sampler.steps=5",
    "-ssimulation.chains=4",
    "-ssimulation.steps=100",
    "-ssimulation.stride=10",
]
RUN_FILES = {
    "config.toml",
    "checkpoint",
    "training.jsonl",
    "topology.pdb",
    "samples.xtc",
    "simulation.xtc",
    "metrics.json",
    "report.html",
}


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def refused(*arguments, match):
    output = call(*arguments, code=2)
    flat = " ".join(output.split())
    assert match in flat, output
    assert "Traceback" not in output
    assert flat.count("error:") == 1
    return flat


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run of all commands in turn, on a molecule given by files."""
    out = tmp_path_factory.mktemp("runs") / "own"
    own = ["-f", TRAJECTORY, "-p", TOPOLOGY, "--temperature", "300", "--stride", "10"]
    call("run", "molecule", *own, "--select", "name N or name CA or name C", "-o", out, *TINY)
    return out


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_run_makes_every_file(finished):
    assert {p.name for p in finished.iterdir()} >= RUN_FILES
    metrics = json.loads((finished / "metrics.json").read_text())
    for kind in ("iid", "sim"):
        for key in ("n", "js", "pmf", "js_floor", "pmf_floor", "failed_fraction", "bonds"):
            assert key in metrics[kind]
    assert metrics["iid"]["n"] == 300
    assert metrics["sim"]["n"] == 4 * 10
    assert metrics["residual"]["t"]
    page = (finished / "report.html").read_text()
    assert 'content="default-src &#39;none&#39;' in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']?https?:""", page)
    record = json.loads((finished / "run.json").read_text())
    assert record["simulation"]["start"].startswith("4 random training frames")
    # Four steps of training make no force field: chains that break are counted, not hidden.
    temperature, diverged = (record["simulation"][k] for k in ("temperature", "diverged"))
    assert diverged > 0 or temperature["target"] == pytest.approx(300)
    assert metrics["sim"]["failed_fraction"] >= 0.5 * diverged / 4
    assert json.loads((finished / "relaxation.json").read_text())["js"]


def test_inference_needs_no_data(run):
    """Sampling and simulating read the checkpoint alone."""
    newest = checkpoint.latest(run / "checkpoint")
    manifest = json.loads((newest / "manifest.json").read_text())
    manifest["config"]["system"]["trajectory"] = ["/nowhere/gone.xtc"]
    manifest["config"]["system"]["topology"] = "/nowhere/gone.pdb"
    (newest / "manifest.json").write_text(json.dumps(manifest))
    call("sample", run, "-n", 5, "-o", run / "few.xtc")
    call("simulate", run, "--chains", 2, "--steps", 20, "--stride", 10, "-o", run / "few.dcd")
    refused("evaluate", run, match="gone.xtc")


def test_samples_are_the_same_for_a_seed_and_resumable(run):
    loaded = load_run(run)
    call("sample", run, "-n", 300, "-o", run / "a.dcd")
    first = read_frames(run / "samples.xtc", loaded.system, allow_failed=True)
    second = read_frames(run / "a.dcd", loaded.system, allow_failed=True)
    assert np.allclose(first, second, atol=1e-4)
    call("sample", run, "-n", 300, "-o", run / "b.dcd", "--seed", 9)
    assert not np.allclose(read_frames(run / "b.dcd", loaded.system, allow_failed=True), second)


def test_a_simulation_extended_equals_one_in_a_piece(run):
    loaded = load_run(run)
    whole = ["--chains", 3, "--stride", 10]
    call("simulate", run, *whole, "--steps", 200, "-o", run / "whole.dcd")
    call("simulate", run, *whole, "--steps", 100, "-o", run / "part.dcd")
    call("simulate", run, *whole, "--steps", 200, "-o", run / "part.dcd", "--resume")
    assert (run / "whole.dcd").read_bytes() == (run / "part.dcd").read_bytes()
    frames = read_frames(run / "whole.dcd", loaded.system, allow_failed=True)
    assert len(frames) == 3 * 20
    refused(
        "simulate", run, "--chains", 5, "--steps", 300, "--stride", 10, "-o", run / "part.dcd",
        "--resume", match="other settings",
    )  # fmt: skip


def test_keys_may_begin_with_the_section_that_a_command_changes(run):
    few = ["--chains", 2, "--steps", 20, "--stride", 10, "--overwrite"]
    times = []
    for key in ("t=1e-3", "simulation.t=2e-3"):
        call("simulate", run, *few, "-s", key)
        times.append(RunFolder(run).read_record()["simulation"]["t"])
    assert times == [1e-3, 2e-3]
    refused("simulate", run, *few, "-s", "sampling.n=3", match="unknown key 'simulation.sampling'")


def test_simulation_from_one_structure_and_from_samples(run):
    loaded = load_run(run)
    start = run / "start.dcd"
    with FrameWriter(start, loaded.system) as writer:
        writer.write(loaded.scaling.invert(loaded.start_frames[:1]))
    few = ["--chains", 2, "--steps", 20, "--stride", 10]
    assert "one structure" in call(
        "simulate", run, *few, "--start", start, "-o", run / "c.xtc"
    ).replace("\n", " ")
    call("simulate", run, *few, "--start", "samples", "-o", run / "d.xtc")


def test_bad_input_is_refused_in_one_sentence(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = ["-o", tmp_path / "new", *TINY]
    given = ["-f", TRAJECTORY, "-p", TOPOLOGY, "--temperature", 300]
    refused("train", "molecule", *own, match="needs --trajectory")
    refused("train", "alpha-carbons", *own, match="fokker run alpha-carbons")
    refused("train", "hairpin", *given, *own, match="--trajectory is for your own molecule")
    refused("train", "alanine-dipeptid", *own, match="did you mean 'alanine-dipeptide'")
    refused("train", "alanine-dipeptide", *own, "-s", "sede=1", match="did you mean 'seed'")
    refused("train", "molecule", *given, *own, "--select", "name XX", match="name XX")
    bad = ["-s", 'system.reference=["no-reference.dcd"]']
    refused("train", "molecule", *given, *own, *bad, match="no-reference.dcd")
    refused("train", "molecule", "-f", "no.xtc", *given[2:], *own, match="no.xtc")
    refused("train", "molecule", *given, *own, "--stride", 49000, match="frame")
    refused("train", "alanine-dipeptide", "-o", run, *TINY, match="--resume")
    refused("sample", tmp_path / "nothing", match="no such run")
    refused("sample", run, match="already exists")
    refused("sample", run, "-o", tmp_path / "x.abc", match=".abc")
    refused("simulate", run, "--steps", 25, "--stride", 10, "-o", "x.xtc", match="multiple")
    refused("simulate", run, "--start", "no.pdb", "-o", "x.xtc", match="no.pdb")
    refused("evaluate", run, "--reference", "no.dcd", match="no.dcd")
    config = tmp_path / "bad.toml"
    config.write_text("[simulation\n")
    refused("train", "alanine-dipeptide", "-c", config, *own, match="not valid TOML")
    config.write_text('system = "alanine-dipeptide"\n')
    refused("train", "alanine-dipeptide", "-c", config, *own, match="bad.toml: system")
    for change in ("system=5", "experts=5", "experts.0=5", "experts.0.training=1"):
        refused("train", "alanine-dipeptide", "-o", "new", "-s", change, match=change.split("=")[0])
    for content, match in (("method = 3", "method = 3"), ("experts = [3]", "experts must be")):
        config.write_text(content)
        row = f"mine={config}"
        refused("benchmark", "mueller-brown", "--variant", row, "-o", "new", match=match)
    refused("inspect", "dipeptides", match="inspect one of them")
    assert not (tmp_path / "new").exists()


def test_settings_of_a_continued_run_are_those_of_the_command(run):
    own = ["-f", TRAJECTORY, "-p", TOPOLOGY, "--temperature", "300", "--stride", "10"]
    (run / "run.json").write_text(
        json.dumps({k: v for k, v in RunFolder(run).read_record().items() if k != "sampling"})
    )
    for file in run.glob("*samples.xtc*"):
        file.unlink()
    beads = ["--select", "name N or name CA or name C"]
    call("run", "molecule", *own, *beads, "-o", run, *TINY, "-ssampling.n=256", "--resume")
    samples = read_frames(run / "samples.xtc", load_run(run).system, allow_failed=True)
    assert len(samples) == 256


def test_a_finished_simulation_is_reweighted_without_another(finished, run, tmp_path):
    settings = [
        *("-c", run / "config.toml", "--pretrained", finished, "-s", "experts.*.training.steps=0"),
        *("-s", f"reweighting.simulation={run / 'simulation.xtc'}", "-s", "reweighting.rounds=1"),
        *("-s", "refinement.steps=0"),
        *("-s", "reweighting.frames=10", "-s", "reweighting.steps=3", "-s", "reweighting.draws=2"),
    ]
    other = [*settings, "-s", "reweighting.chains=3", "-o", tmp_path / "other"]
    refused("train", "molecule", *other, match="40 frames, which are not 10 of each of 3 chains")
    assert not (tmp_path / "other").exists()
    call("train", "molecule", *settings, "-s", "reweighting.chains=4", "-o", tmp_path / "new")
    (line,) = (tmp_path / "new" / "training.jsonl").read_text().splitlines()
    assert json.loads(line)["name"] == "reweighting"
    assert json.loads(line)["step"] == 13


def test_a_corrupt_checkpoint_is_refused_by_every_command(run):
    newest = checkpoint.latest(run / "checkpoint")
    data = bytearray((newest / "model.safetensors").read_bytes())
    data[-1] ^= 255
    (newest / "model.safetensors").write_bytes(data)
    for command in ("sample", "simulate", "evaluate"):
        refused(command, run, match="altered since it was written")


def test_a_second_run_into_one_folder_is_refused(run):
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(1, flush=True); time.sleep(60)"  # noqa: E501
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(run / ".lock")], stdout=subprocess.PIPE
    )
    try:
        holder.stdout.readline()
        refused("sample", run, "-n", 5, "-o", run / "x.xtc", match="another fokker process")
    finally:
        holder.kill()


def test_help_of_every_command_shows_an_example():
    for command in (
        *("presets", "train", "sample", "simulate", "evaluate", "report", "run", "inspect"),
    ):
        output = call(command, "--help")
        assert "Example" in output
        assert f"fokker {command}" in " ".join(output.split())


def test_presets_lists_and_shows():
    assert "mueller-brown" in call("presets")
    assert "batch_size" in call("presets", "--show", "molecule")
    assert 'mapping = "alpha-carbons"' in call("presets", "--show", "alpha-carbons")


def test_a_model_whose_training_has_not_ended_is_named_so(finished, tmp_path, monkeypatch):
    assert "has not ended" not in call("sample", finished, "-n", 10, "-o", tmp_path / "x.npy")
    monkeypatch.setattr(block, "BLOCK", 10)
    monkeypatch.setattr(Stop, "__call__", lambda self: True)
    few = ["-sexperts.0.network.width=8", "-sexperts.0.training.steps=20"]
    call("train", "mixture-2d", "-m", "diffusion", *few, "-o", tmp_path / "part")
    monkeypatch.undo()
    output = " ".join(call("sample", tmp_path / "part", "-n", 10).split())
    assert "training has not ended (expert 1 of 1, step 10 of 20)" in output


def test_interrupted_training_resumes_to_the_same_weights(tmp_path):
    """Ctrl-C in a real process; exit code, message, and the same weights as without.

    With all optimisations of the compiler, which other tests go without; one run compiles for all.
    """
    other = ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    kept = {name: value for name, value in os.environ.items() if name not in other}
    plain = {"env": kept | cache}
    base = [sys.executable, "-m", "fokker", "train", "mixture-2d", "-m", "diffusion"]
    tiny = [
        "-s", "experts.0.network.width=16", "-s", "experts.0.network.depth=1",
        "-s", "experts.0.training.batch_size=64", "-s", "experts.0.training.steps=2500",
    ]  # fmt: skip
    whole, part = tmp_path / "whole", tmp_path / "part"
    subprocess.run([*base, *tiny, "-o", whole], check=True, capture_output=True, **plain)
    process = subprocess.Popen(
        [*base, *tiny, "-o", part], stderr=subprocess.PIPE, text=True, **plain
    )
    log = part / "training.jsonl"
    limit = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert time.monotonic() < limit
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, message = process.communicate(timeout=120)
    if process.returncode != 0:  # it may have finished first on a fast machine
        assert process.returncode == 130
        assert "--resume" in message
        again = [*base, *tiny, "-o", part, "--resume"]
        subprocess.run(again, check=True, capture_output=True, **plain)
    a, b = (checkpoint.latest(p / "checkpoint") / "model.safetensors" for p in (whole, part))
    assert a.read_bytes() == b.read_bytes()
