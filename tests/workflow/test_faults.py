"""What a killed process, a full disk or a vanished folder leaves behind does no harm.

`benchmarks/reliability/faults.py` kills whole commands; here are the states that such kills leave,
one by one.
"""

import errno
import json
import os
import signal
import time

import numpy as np
import pytest

from fokker.config import parse
from fokker.config.presets import assignment, combine
from fokker.dataset.frames import prepare
from fokker.dataset.subject import Subject, describe, start_frames
from fokker.dynamics.simulate import BLOCK_SECONDS, _next_length
from fokker.errors import FokkerError
from fokker.metrics import GeometryLimits, kinetic_temperature
from fokker.metrics.tally import MAX_BINS, Tally
from fokker.run.folder import RunFolder
from fokker.run.loaded import load_run
from fokker.runtime import checkpoint
from fokker.runtime.interruption import Interrupted, Stop
from fokker.system import Bead, System
from fokker.training import Files
from fokker.training import log as training_log
from fokker.training import loop as training
from fokker.trajectory import FrameWriter
from fokker.workflow.sample import sample
from fokker.workflow.simulate import simulate
from fokker.workflow.train import train

PLANE = System(name="plane", dim=2, beads=(Bead(name="X"),), kT=1.0, centred=False, length_unit="")


@pytest.fixture(scope="module")
def config():
    changes = {
        **{f"experts.{i}.network.width": 4 for i in range(3)},
        **{f"experts.{i}.network.depth": 1 for i in range(3)},
        "sampling.n": 40,
        "sampling.batch_size": 10,
        "sampling.sampler.steps": 2,
        "simulation.chains": 2,
        "simulation.steps": 40,
        "simulation.stride": 2,
    }
    settings = [assignment(f"{key}={value}") for key, value in changes.items()]
    return parse(combine("mixture-2d", "mixture", settings), "test")


@pytest.fixture
def run(config, tmp_path):
    """A run whose model has learned nothing."""
    frames = np.random.default_rng(0).normal(size=(200, 1, 2)).astype(np.float32)
    dataset = prepare(frames, PLANE)
    limits = GeometryLimits.from_frames(PLANE, 100 * frames)
    metadata = describe(config, PLANE, dataset, limits)
    metadata["progress"] = {"stage": 3, "step": 0, "counter": 1}
    model = training.initial_model(config, PLANE, dataset.training)
    path = tmp_path / "run"
    path.mkdir()
    group = training.inference_group(model, start_frames(dataset))
    checkpoint.save(path / "checkpoint", 1, {"model": group}, metadata)
    return path


def stopping(after):
    """A stop that is asked for after so many questions."""
    asked = iter(range(after + 1))
    stop = Stop()
    stop.__class__ = type("Counting", (Stop,), {"__call__": lambda self: next(asked) == after})
    return stop


def test_a_half_written_checkpoint_is_none_and_is_swept(tmp_path):
    half = tmp_path / ".00000250.4711"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert not checkpoint.exists(tmp_path)
    checkpoint.save(tmp_path, 500, {}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["00000500"]


def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path, config, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    (folder.checkpoint / ".00000250.4711").mkdir(parents=True)
    folder.training_log.write_text('{"stage": 0, "step": 250, "los')
    (folder.path / ".run.json.4711").write_text("{")
    seen = []
    monkeypatch.setattr("fokker.workflow.train.train_model", lambda *a, **k: seen.append(k))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    train(config, folder.path)
    assert seen[0]["resume"] is False
    assert not (folder.path / ".run.json.4711").exists()
    assert json.loads(folder.record.read_text())["training"]


def test_the_log_of_a_run_that_starts_again_is_new(tmp_path):
    frames = np.random.default_rng(0).normal(size=(200, 1, 2)).astype(np.float32)
    tiny = [
        assignment(f"experts.{i}.{key}={value}")
        for i in range(3)
        for key, value in {
            "network.width": 4,
            "network.depth": 1,
            "training.batch_size": 4,
            "training.steps": 1,
        }.items()
    ]
    log = tmp_path / "training.jsonl"
    log.write_text('{"stage": 0, "step": 250}\n')
    training.train(
        parse(combine("mixture-2d", "mixture", tiny), "test"),
        Subject(PLANE, prepare(frames, PLANE), start_frames=frames[:4]),
        Files(tmp_path / "checkpoint", log),
    )
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 1, 1]


def test_a_vanished_folder_is_not_made_anew(tmp_path):
    with pytest.raises(FokkerError, match="No such file"):
        checkpoint.save(tmp_path / "gone" / "checkpoint", 1, {}, {})
    assert not (tmp_path / "gone").exists()
    with pytest.raises(FokkerError, match=r"training.jsonl.*No such file.*--resume"):
        training_log.append(tmp_path / "gone" / "training.jsonl", {})


@pytest.mark.parametrize("work", [sample, simulate])
@pytest.mark.parametrize("after", [0, 1])
def test_interrupted_and_resumed_equals_one_piece(run, work, after):
    whole, part = run / "whole.npy", run / "part.npy"
    work(run, out=whole)
    with pytest.raises(Interrupted):
        work(run, out=part, stop=stopping(after))
    work(run, out=part, resume=True)
    assert whole.read_bytes() == part.read_bytes()


@pytest.mark.parametrize("work", [sample, simulate])
def test_killed_after_frames_and_before_their_position_was_noted(run, work):
    whole, part = run / "whole.npy", run / "part.npy"
    work(run, out=whole)
    with pytest.raises(Interrupted):
        work(run, out=part, stop=stopping(0))
    system = load_run(run).system
    with FrameWriter(part, system, append_at=part.stat().st_size) as writer:
        writer.write(np.ones((7, 1, 2), np.float32))
    with part.open("ab") as file:
        file.write(b"half a fra")
    work(run, out=part, resume=True)
    assert whole.read_bytes() == part.read_bytes()


@pytest.mark.parametrize("work", [sample, simulate])
def test_killed_before_anything_was_noted(run, work, monkeypatch):
    whole, part = run / "whole.npy", run / "part.npy"
    work(run, out=whole)

    def killed(self, frames):
        raise KeyboardInterrupt

    monkeypatch.setattr(FrameWriter, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        work(run, out=part)
    monkeypatch.undo()
    assert part.exists()
    work(run, out=part, resume=True)
    assert whole.read_bytes() == part.read_bytes()


@pytest.mark.parametrize("work", [sample, simulate])
def test_resume_does_not_touch_a_file_of_another_program(run, work):
    mine = run / "mine.npy"
    mine.write_bytes(b"precious")
    with pytest.raises(FokkerError, match="already exists"):
        work(run, out=mine, resume=True)
    assert mine.read_bytes() == b"precious"


@pytest.mark.parametrize("work", [sample, simulate])
def test_overwriting_and_then_resuming_does_not_find_the_old_position(run, work):
    whole, part = run / "whole.npy", run / "part.npy"
    work(run, out=part)
    work(run, out=whole, seed=5)
    with pytest.raises(Interrupted):
        work(run, out=part, seed=5, overwrite=True, stop=stopping(0))
    work(run, out=part, seed=5, resume=True)
    assert whole.read_bytes() == part.read_bytes()


def test_a_full_disk_keeps_earlier_frames_and_resumes(run, monkeypatch):
    whole, part = run / "whole.npy", run / "part.npy"
    simulate(run, out=whole)
    put, calls = FrameWriter._put, []

    def full(self, at, data):
        calls.append(at)
        if len(calls) == 4:  # the second block
            os.pwrite(self._file.fileno(), bytes(data)[:5], at)
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, at, data)

    monkeypatch.setattr(FrameWriter, "_put", full)
    with pytest.raises(FokkerError, match="the disk is full; the 2 frames already written stay"):
        simulate(run, out=part)
    monkeypatch.undo()
    assert len(np.load(part)) == 2
    simulate(run, out=part, resume=True)
    assert whole.read_bytes() == part.read_bytes()


def test_a_record_of_a_simulation_does_not_depend_on_interruptions(run):
    whole = simulate(run)
    path = run / "simulation.npy"
    again = RunFolder(run).read_record()["simulation"]
    with pytest.raises(Interrupted):
        simulate(run, overwrite=True, stop=stopping(1))
    simulate(run, resume=True)
    resumed = RunFolder(run).read_record()["simulation"]
    for record in (whole, again, resumed):
        record.pop("seconds"), record.pop("steps_per_second")
    assert whole == again == resumed
    assert len(np.load(path)) == 2 * 20


def test_a_signal_ends_work_without_state_at_once():
    stop = Stop()
    with stop.listening():
        with stop.immediate(), pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted), stop.immediate():
            raise AssertionError("not reached")
    assert stop.signal == signal.SIGTERM
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)  # a request only, outside such work
    assert stop()


class _Dropped:
    """Gets a signal where Python ignores what its handler raises."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)


def _work_for_long():
    _Dropped()
    time.sleep(20)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_in_a_callback_that_drops_exceptions_is_raised_again():
    stop = Stop()
    began = time.monotonic()
    with stop.listening(), pytest.raises(Interrupted), stop.immediate():
        _work_for_long()
    assert time.monotonic() - began < 15
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_tally_is_bounded_and_does_not_depend_on_blocks():
    energies = np.random.default_rng(0).gamma(4.5, 2.5, size=(5 * MAX_BINS + 37, 3))
    energies[100:200, 1] = np.nan
    energies[150] = np.nan
    one, molecules = Tally(), Tally()
    one.add(energies, 2.0)
    for part in np.array_split(energies, 61):
        molecules.add(part, 1.0)
        molecules = Tally.from_json(json.loads(json.dumps(molecules.as_json())))
    assert one.sums == molecules.sums
    assert (one.per_bin, one.n_frames) == (molecules.per_bin, molecules.n_frames)
    assert molecules.seconds == 61.0
    assert len(one.sums) <= MAX_BINS
    means = np.nanmean(np.delete(energies, 150, axis=0), axis=1)
    wanted = kinetic_temperature(means, 9)
    assert one.n_frames == len(means)
    assert one.temperature(9).mean == pytest.approx(wanted.mean, rel=1e-12)
    assert one.temperature(9).standard_error == pytest.approx(wanted.standard_error, rel=0.3)
    assert Tally([1.0], 1, 1).temperature(9) is None


def test_blocks_grow_to_the_time_they_may_take():
    assert _next_length(1, 5 * BLOCK_SECONDS, 1000) == 1
    assert _next_length(10, BLOCK_SECONDS / 2, 1000) == 20
    assert _next_length(10, 0.0, 1000) == 40
    assert _next_length(10, 0.0, 30) == 30
