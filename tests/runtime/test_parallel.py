"""Several devices and processes: the same numbers as one, one writer, and a clear end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.runtime import checkpoint, parallel


def training(method, experts, **steps):
    """Arguments that train a tiny model."""
    settings = {"network.width": 16, "network.depth": 1, "training.batch_size": 64}
    settings["training.steps"] = 500
    every = [f"-sexperts.{i}.{k}={v}" for i in range(experts) for k, v in settings.items()]
    some = [f"-sexperts.{name[1:]}.training.steps={n}" for name, n in steps.items()]
    return ["train", "mixture-2d", "-m", method, *every, *some]


REFINEMENT = {"steps": 20, "stride": 5, "chains": 64, "lifetime": 7, "emphasise": "true"}
ONE = [
    *training("diffusion", 1),
    "-sexperts.0.training.rare=0.5",
    "-sexperts.0.training.objectives.diffclf.fraction=0.25",
    *(f"-srefinement.{k}={v}" for k, v in REFINEMENT.items()),
]
REWEIGHTING = {"rounds": 2, "frames": 6, "stride": 5, "chains": 64, "steps": 4, "draws": 2}
REWEIGHTED = [
    *training("diffusion", 1, _0=20),
    "-sexperts.0.training.rare=0.5",
    *(f"-sreweighting.{k}={v}" for k, v in {**REWEIGHTING, "emphasise": "true"}.items()),
]
SIMULATE = ["--chains", "8", "--steps", "400", "--stride", "20"]


def test_the_place_is_read_from_the_environment():
    assert parallel.place({}) is None
    assert parallel.place({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None  # not under srun
    slurm = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}
    assert parallel.place(slurm) == (None, 4, 3)
    assert parallel.place({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is None
    mpi = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "PMIX_NAMESPACE": "job"}
    assert parallel.place(mpi) == (None, 2, 1)
    one_host = [
        parallel.place({**mpi, "OMPI_COMM_WORLD_RANK": str(i), "OMPI_COMM_WORLD_LOCAL_SIZE": "2"})
        for i in range(2)
    ]
    assert one_host[0].coordinator == one_host[1].coordinator
    assert one_host[0].coordinator.startswith("127.0.0.1:")
    hand = {"FOKKER_COORDINATOR": "node:1", "FOKKER_PROCESSES": "2", "FOKKER_PROCESS": "1"}
    assert parallel.place(hand) == ("node:1", 2, 1)
    for change in ({"FOKKER_PROCESS": "2"}, {"FOKKER_PROCESSES": "x"}, {"FOKKER_COORDINATOR": "a"}):
        with pytest.raises(FokkerError, match="FOKKER_"):
            parallel.place({**hand, **change})


def test_one_device_splits_nothing():
    assert parallel.split(12, "chains") is None
    assert parallel.share({"a": 1}, None) == {"a": 1}
    assert parallel.anywhere(True)
    assert not parallel.anywhere(False)
    assert parallel.of_primary(3) == 3
    assert parallel.is_primary()


DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from fokker.runtime import parallel
parallel.start(4, {})
from fokker.dynamics import LangevinOptions, simulate
from fokker.potential import DoubleWell
force = DoubleWell(2.0, 1.0, 1.0).force
x0 = np.linspace(-1, 1, 12, dtype=np.float32).reshape(12, 1, 1)
x0[3] = np.nan
found = []
for sharding in (None, parallel.split(12, "chains"), parallel.split(7, "chains")):
    blocks = []
    simulate(
        LangevinOptions(dt=0.05, friction=1.0).build((1.0,), 1.0), force, x0, jax.random.key(1),
        n_steps=200, stride=10, centred=False, on_block=blocks.append, sharding=sharding,
    )
    found.append(np.concatenate([b.frames for b in blocks]))
    print(None if sharding is None else sharding.num_devices, end=" ")
    if sharding is not None and sharding.num_devices == 4:
        assert blocks[-1].state.chains.x.sharding.is_fully_replicated
        assert blocks[-1].state.stopped_at[3] == 0
key = jax.random.key(3)
shared = parallel.share({"key": key}, parallel.split(12, "chains"))["key"]
assert shared.sharding.is_fully_replicated and shared.sharding.num_devices == 4
np.testing.assert_array_equal(jax.random.key_data(shared), jax.random.key_data(key))
np.testing.assert_array_equal(found[0], found[2])
np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-4)
print(np.isnan(found[1]).mean() == 1 / 12)
"""


def test_chains_on_four_devices_are_those_on_one():
    done = subprocess.run([sys.executable, "-c", DEVICES], capture_output=True, text=True)
    assert done.stdout.split() == ["None", "4", "None", "True"], done.stdout + done.stderr


PARTS = """
import jax, jax.numpy as jnp
from fokker.runtime import parallel
parallel.start(4, {})
from fokker.training.block import _count, _run_block, run_block
from fokker.dataset.pool import Pool
from fokker.model import EnergyModel
from fokker.network import MLPOptions, NetworkInputs
from fokker.process import VariancePreservingOptions
from fokker.training.expert import Stage
from fokker.config import TrainingOptions
from fokker.types import Features
frames = jax.random.normal(jax.random.key(0), (100, 1, 2))
process = VariancePreservingOptions().build()
inputs = NetworkInputs(frames, (), 2)
network = MLPOptions(width=64, depth=2).build(inputs, "energy", jax.random.key(1))
model = EnergyModel(network, process)
features = Features(jnp.zeros(1, int), None, jnp.zeros((1, 1), int))
options = TrainingOptions(
    steps=3, batch_size=256, objectives={"dsm": {}, "diffclf": {"fraction": 0.25}}
)
losses, flops = [], []
for sharding in (None, parallel.split(256, "frames")):
    stage, state = Stage.create(
        model, process, features, (0.0, 1.0), options, centred=False, seed=0, sharding=sharding
    )
    stage, state, pool = parallel.share((stage, state, Pool(frames)), sharding)
    losses.append(run_block(stage, state, pool, 3)[1]["loss"])
    program = _run_block.lower(stage, state, pool, _count(stage, 3)).compile()
    flops.append(program.compiled.cost_analysis()["flops"])
import numpy as np
np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
print(flops[1] / flops[0])
"""


def test_a_term_on_a_part_of_a_batch_is_shared_out_by_devices_as_well():
    done = subprocess.run([sys.executable, "-c", PARTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.4  # the optimiser and drawing a batch are every device's own


CORES = """
from fokker.runtime import parallel
parallel._cores = lambda: 4
parallel.start(None, {})
for given in ((100, "frames"), (100, "chains", 8), (24, "chains", 8), (15, "chains", 8)):
    sharding = parallel.split(*given)
    print(None if sharding is None else sharding.num_devices, end=" ")
from fokker.config import parse
from fokker.config.presets import combine
from fokker.training import Devices
devices = Devices.of(parse(combine("alanine-dipeptide", "fokker"), "a preset"))
for sharding in (devices.batches, devices.chains):
    print(None if sharding is None else sharding.num_devices, end=" ")
"""


def test_chains_alone_use_cores_that_nobody_asked_for():
    done = subprocess.run([sys.executable, "-c", CORES], capture_output=True, text=True)
    splits, stages = ["None", "4", "3", "None"], ["None", "4"]  # experts, refinement
    assert done.stdout.split() == splits + stages, done.stdout + done.stderr


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def launch(arguments, processes, **more):
    port = free_port()
    command = [sys.executable, "-m", "fokker", *map(str, arguments)]
    started = []
    for index in range(processes):
        place = {
            "FOKKER_COORDINATOR": f"127.0.0.1:{port}",
            "FOKKER_PROCESSES": str(processes),
            "FOKKER_PROCESS": str(index),
        }
        environment = {**os.environ, **(place if processes > 1 else {}), **more}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, env=environment, **pipes))
    return started


def succeed(arguments, processes=1, **more):
    for process in launch(arguments, processes, **more):
        text, _ = process.communicate(timeout=1800)
        assert process.returncode == 0, text


def losses(run):
    lines = (run / "training.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["loss"] for line in lines])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "alone"
    succeed([*ONE, "-o", run])
    succeed(["simulate", run, *SIMULATE])
    return run


@pytest.mark.distributed
@pytest.mark.parametrize(("devices", "processes"), [(2, 1), (4, 1), (1, 2), (1, 4), (2, 2)])
def test_training_and_simulation_equal_those_of_one_device(alone, tmp_path, devices, processes):
    run = tmp_path / "run"
    succeed([*ONE, "-o", run, "--devices", devices], processes)
    assert len(losses(run)) == len(losses(alone)) == 3
    np.testing.assert_allclose(losses(run), losses(alone), rtol=2e-3)
    record = json.loads((run / "run.json").read_text())
    assert record["training"]["devices"] == devices * processes
    # the same model, so that only the simulation is compared
    frames = alone / f"frames-{devices}-{processes}.npy"
    succeed(["simulate", alone, *SIMULATE, "-o", frames, "--devices", devices], processes)
    a, b = np.load(frames), np.load(alone / "simulation.npy")
    assert a.shape == b.shape == (8 * 20, 1, 2)
    np.testing.assert_allclose(a, b, atol=2e-2)


@pytest.mark.distributed
@pytest.mark.parametrize(("devices", "processes"), [(2, 1), (1, 2)])
def test_a_reweighting_equals_that_of_one_device(tmp_path, devices, processes):
    one, several = tmp_path / "one", tmp_path / "several"
    succeed([*REWEIGHTED, "-o", one])
    succeed([*REWEIGHTED, "-o", several, "--devices", devices], processes)
    last = [
        json.loads((run / "training.jsonl").read_text().splitlines()[-1]) for run in (one, several)
    ]
    assert [(line["name"], line["step"]) for line in last] == [("reweighting", 20)] * 2
    np.testing.assert_allclose(losses(several), losses(one), rtol=2e-3)


@pytest.mark.distributed
def test_chains_that_cannot_be_shared_out_are_refused(alone, tmp_path):
    few = ["--chains", 3, "--steps", 20, "--stride", 20, "-o", tmp_path / "x.npy"]
    first, second = launch(["simulate", alone, *few], 2)
    text, _ = first.communicate(timeout=900)
    assert first.returncode == 2
    assert "3 chains cannot be shared out evenly over 2 devices" in " ".join(text.split())
    assert "Traceback" not in text
    second.communicate(timeout=900)  # says the same, or is aborted when process 0 goes
    assert second.returncode != 0
    assert not (tmp_path / "x.npy").exists()


@pytest.mark.distributed
@pytest.mark.parametrize("victim", [1, 0])
def test_a_killed_process_ends_the_others_and_the_run_can_be_resumed(tmp_path, victim):
    run, whole = tmp_path / "run", tmp_path / "whole"
    longer = training("mixture", 3, _0=250, _1=4000, _2=250)
    processes = launch([*longer, "-o", run], 2)
    limit = time.monotonic() + 900
    while not checkpoint.exists(run / "checkpoint"):
        assert time.monotonic() < limit
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)
    os.kill(processes[victim].pid, signal.SIGKILL)
    text, _ = processes[1 - victim].communicate(timeout=900)
    assert processes[1 - victim].returncode != 0
    if victim == 1:  # process 0 also runs the service by which the others notice
        assert processes[0].returncode == 2, text
        assert "lost another one" in " ".join(text.split())
        assert "Traceback" not in text
    checkpoint.read_manifest(checkpoint.latest(run / "checkpoint"))
    succeed([*longer, "-o", run, "--resume"], 2)
    succeed([*longer, "-o", whole], 2)
    a, b = (checkpoint.latest(p / "checkpoint") / "model.safetensors" for p in (run, whole))
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.distributed
def test_sigterm_stops_all_at_the_same_block_and_resuming_gives_the_same_weights(tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    longer = training("diffusion", 1, _0=4000)
    succeed([*longer, "-o", whole], 2)
    processes = launch([*longer, "-o", run], 2)
    log = run / "training.jsonl"
    limit = time.monotonic() + 900
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert time.monotonic() < limit
        time.sleep(0.02)
    os.kill(processes[1].pid, signal.SIGTERM)  # one alone: the others have to learn of it
    for process in processes:
        text, _ = process.communicate(timeout=900)
        assert "Continue with" in text or process.returncode == 0, text
    assert checkpoint.exists(run / "checkpoint")
    succeed([*longer, "-o", run, "--resume"], 2)
    a, b = (checkpoint.latest(p / "checkpoint") / "model.safetensors" for p in (run, whole))
    assert a.read_bytes() == b.read_bytes()
