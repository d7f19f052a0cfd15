"""Times of frames: restarted runs that overlap, times that go back, replicas."""

from pathlib import Path

import h5py
import mdtraj
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import Bead, System
from fokker.trajectory import read_trajectory, topology_of
from fokker.trajectory.clock import Timed, picoseconds, without_overlaps

N_ATOMS = 11
STEP = 2.0


@pytest.fixture
def system() -> System:
    bonds = tuple((i, i + 1) for i in range(N_ATOMS - 1))
    beads = tuple(Bead(name="C") for _ in range(N_ATOMS))
    return System(name="chain", dim=3, beads=beads, kT=2.5, bonds=bonds)


def walk(n: int, seed: int = 0) -> np.ndarray:
    line = 0.15 * np.arange(N_ATOMS)[:, None] * np.eye(1, 3)
    noise = np.random.default_rng(seed).normal(size=(n, N_ATOMS, 3))
    return (line + 0.01 * noise).astype(np.float32)


def save(path: Path, frames: np.ndarray, times: np.ndarray) -> Path:
    if path.suffix == ".h5md":
        with h5py.File(path, "w") as file:
            file["particles/all/position/value"] = frames
            file["particles/all/position/time"] = times
        return path
    beads = tuple(Bead(name="C") for _ in range(N_ATOMS))
    topology = topology_of(System(name="chain", dim=3, beads=beads, kT=2.5))
    mdtraj.Trajectory(frames, topology, time=times).save(str(path))
    return path


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("suffix", [".xtc", ".trr", ".nc", ".h5md"])
def test_a_continued_run_replaces_what_the_first_had_beyond_its_checkpoint(
    tmp_path, system, suffix, order
):
    """The first went on after the checkpoint at time 60 on another path and was killed."""
    whole, lost = walk(60), walk(10, seed=1)
    times = STEP * np.arange(60)
    first = save(tmp_path / f"part1{suffix}", np.concatenate([whole[:31], lost]), times[:41])
    second = save(tmp_path / f"part2{suffix}", whole[30:], times[30:])
    found = read_trajectory([first, second][::order], system)
    assert len(found.positions) == 60
    parts = [whole[:30], whole[30:]]
    assert np.abs(found.positions - np.concatenate(parts[::order])).max() < 1e-3
    assert found.lengths == (30, 30)
    assert len(found.notes) == 1
    assert "begins at time 60" in found.notes[0]
    assert "the 11 frame(s) of the earlier run" in found.notes[0]


def test_the_last_frame_written_twice_is_read_once(tmp_path, system):
    whole, times = walk(40), STEP * np.arange(40)
    files = [
        save(tmp_path / "a.xtc", whole[:21], times[:21]),
        save(tmp_path / "b.xtc", whole[20:], times[20:]),
    ]
    found = read_trajectory(files, system)
    assert np.abs(found.positions - whole).max() < 1e-3
    assert "the 1 frame(s)" in found.notes[0]


def test_a_run_that_follows_says_nothing(tmp_path, system):
    whole, times = walk(40), STEP * np.arange(40)
    files = [
        save(tmp_path / "a.xtc", whole[:20], times[:20]),
        save(tmp_path / "b.xtc", whole[20:], times[20:]),
    ]
    found = read_trajectory(files, system)
    assert found.notes == ()
    assert len(found.positions) == 40


def test_replicas_that_begin_together_are_kept(tmp_path, system):
    times = STEP * np.arange(25)
    files = [save(tmp_path / f"{k}.xtc", walk(25, seed=k), times) for k in range(3)]
    found = read_trajectory(files, system)
    assert found.notes == ()
    assert found.lengths == (25, 25, 25)


def test_an_overlap_of_other_frames_is_told_and_kept(tmp_path, system):
    files = [
        save(tmp_path / "a.xtc", walk(30, seed=1), STEP * np.arange(30)),
        save(tmp_path / "b.xtc", walk(30, seed=2), STEP * np.arange(20, 50)),
    ]
    found = read_trajectory(files, system)
    assert found.lengths == (30, 30)
    assert "whose 10 frame(s) from there on differ" in found.notes[0]


def test_times_that_go_back_in_one_file(tmp_path, system):
    """Parts that were put end to end with `cat`: told, and read once where they overlap."""
    whole, times = walk(50), STEP * np.arange(50)
    save(tmp_path / "a.xtc", whole[:30], times[:30])
    save(tmp_path / "b.xtc", whole[25:], times[25:])
    both = tmp_path / "both.xtc"
    both.write_bytes((tmp_path / "a.xtc").read_bytes() + (tmp_path / "b.xtc").read_bytes())
    found = read_trajectory([both], system)
    assert np.abs(found.positions - whole).max() < 1e-3
    assert "goes back 1 time(s), first at frame 30" in found.notes[0]
    assert "from 58 to 50" in found.notes[0]
    assert "a later part of" in found.notes[1]
    assert "the 5 frame(s)" in found.notes[1]


def test_three_parts_each_with_the_last_frames_of_the_one_before(tmp_path, system):
    whole, times = walk(60), STEP * np.arange(60)
    edges = [(0, 24), (20, 43), (41, 60)]
    files = [save(tmp_path / f"{a}.trr", whole[a:b], times[a:b]) for a, b in edges]
    found = read_trajectory(files, system)
    np.testing.assert_array_equal(found.positions, whole)
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    "times", [np.zeros(20), np.full(20, np.nan), np.repeat([0.0, 1.0, 2.0, 3.0], 5), None]
)
def test_files_without_a_clock_say_nothing(times):
    files = [Timed(Path(f"{k}.xtc"), walk(20, seed=k), times) for k in range(2)]
    keep, notes = without_overlaps(files)
    assert notes == []
    assert all(mask.all() for mask in keep)


def test_a_stride_keeps_the_join(tmp_path, system):
    whole, times = walk(60), STEP * np.arange(60)
    files = [
        save(tmp_path / "a.trr", whole[:40], times[:40]),
        save(tmp_path / "b.trr", whole[30:], times[30:]),
    ]
    found = read_trajectory(files, system, stride=5)
    np.testing.assert_array_equal(found.positions, whole[::5])


# --- rounding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "said"), [(0.1, True), (0.01, True), (0.005, True), (0.001, False)]
)
@pytest.mark.parametrize("suffix", [".dcd", ".trr", ".xyz", ".xtc", ".gro"])
def test_coordinates_that_are_rounded_too_far(tmp_path, system, step, said, suffix):
    """In any format: also an XTC of low precision that was converted."""
    rounded = (np.round(walk(20) / step) * step).astype(np.float32)
    found = read_trajectory([save(tmp_path / f"a{suffix}", rounded, np.arange(20.0))], system)
    notes = [note for note in found.notes if "rounded" in note]
    assert len(notes) == said
    if said:
        assert f"rounded to {step:g} nm" in notes[0]


def test_precision_of_xtc_is_told_from_its_header(tmp_path, system):
    """Thirty steps a nm are no round number."""
    import struct

    path = save(tmp_path / "a.xtc", walk(1), np.arange(1.0))
    content = bytearray(path.read_bytes())
    content[56:60] = struct.pack(">f", 30.0)  # so the packed integers are thirtieths of a nm
    path.write_bytes(content * 4)
    from fokker.trajectory.sources import open_source

    assert open_source(path, system).rounding == pytest.approx(1 / 30)


@pytest.mark.parametrize(("text", "expected"), [("0.1ns", 100.0), ("2 ps", 2.0), ("500fs", 0.5)])
def test_time_between_frames_with_its_unit(text, expected):
    assert picoseconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["0ns", "-1ps", "0.1", "ns", "nan ns", "1 hour", ""])
def test_a_time_that_is_none_is_one_sentence(text):
    with pytest.raises(FokkerError, match="positive time with its unit"):
        picoseconds(text)


def test_interval_is_that_of_files_that_state_it_evenly(system, tmp_path):
    one = save(tmp_path / "a.xtc", walk(30), STEP * np.arange(30))
    two = save(tmp_path / "b.xtc", walk(20, 1), 1e6 + STEP * np.arange(20))
    assert read_trajectory([one, two], system).interval == pytest.approx(STEP)
    assert read_trajectory([one, two], system, stride=3).interval == pytest.approx(3 * STEP)


def test_no_interval_where_times_are_uneven_or_in_unknown_units(system, tmp_path):
    times = STEP * np.arange(30)
    times[20:] += 100.0
    gap = save(tmp_path / "gap.xtc", walk(30), times)
    assert read_trajectory([gap], system).interval is None
    whole = save(tmp_path / "whole.xtc", walk(30), STEP * np.arange(30))
    twice = save(tmp_path / "twice.xtc", walk(30, 1), 1e5 + 2 * STEP * np.arange(30))
    assert read_trajectory([whole, twice], system).interval is None
    plain = tmp_path / "plain.npy"
    np.save(plain, walk(30))
    assert read_trajectory([plain], system).interval is None
