"""Trajectory files that grow: round trips, resuming, failures."""

import errno
import os
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import Bead, System
from fokker.trajectory import SUFFIXES, FrameWriter, check_output_path, read_frames, topology_of
from fokker.trajectory.dcd import DCDEncoder
from fokker.trajectory.npy import NPYEncoder
from fokker.trajectory.writing import FARTHEST
from fokker.trajectory.xtc import XTCEncoder, inspect

N_FRAMES = 30

XTC_ROUNDING = 0.5e-3 + 1e-6
"""Half of the last of three decimals in nm, and float32."""


def chain(n_beads: int, dim: int = 3) -> System:
    return System(
        name="chain",
        dim=dim,
        beads=tuple(Bead(name=f"C{i}") for i in range(n_beads)),
        kT=2.5,
        bonds=tuple((i, i + 1) for i in range(n_beads - 1)),
        length_unit="nm" if dim == 3 else "",
    )


def frames_of(system: System, n_frames: int = N_FRAMES) -> np.ndarray:
    """Bonds of about 0.15 nm, on a straight line with small displacements."""
    line = 0.15 * np.arange(system.n_beads)[:, None] * np.eye(1, system.dim)
    noise = np.random.default_rng(0).normal(size=(n_frames, system.n_beads, system.dim))
    return (line + 0.01 * noise).astype(np.float32)


CASES = [(suffix, n, 3) for suffix in SUFFIXES for n in (5, 12)] + [(".npy", 1, 2), (".npy", 1, 1)]
cases = pytest.mark.parametrize(("suffix", "n_beads", "dim"), CASES)


def write_at_once(path: Path, system: System, frames: np.ndarray) -> bytes:
    with FrameWriter(path, system) as writer:
        writer.write(frames)
    return path.read_bytes()


@cases
def test_round_trip(tmp_path, suffix, n_beads, dim):
    system = chain(n_beads, dim)
    frames = frames_of(system)
    path = tmp_path / f"frames{suffix}"
    with FrameWriter(path, system) as writer:
        for start in range(0, N_FRAMES, 7):
            writer.write(frames[start : start + 7])
            # complete and readable after every write
            assert len(read_frames(path, system)) == writer.n_frames == min(start + 7, N_FRAMES)
            assert path.stat().st_size == writer.n_bytes
    tolerance = XTC_ROUNDING if (suffix, n_beads) == (".xtc", 12) else 1e-6
    read = read_frames(path, system)
    assert read.dtype == np.float32
    assert np.abs(read - frames).max() < tolerance
    assert writer.n_failed == 0
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@cases
def test_blocks_do_not_show_in_the_file(tmp_path, suffix, n_beads, dim):
    system = chain(n_beads, dim)
    frames = frames_of(system)
    whole = write_at_once(tmp_path / f"whole{suffix}", system, frames)
    path = tmp_path / f"blocks{suffix}"
    with FrameWriter(path, system) as writer:
        for block in (frames[:1], frames[1:1], frames[1:20], frames[20:]):
            writer.write(block)
    assert path.read_bytes() == whole


def test_other_programs_read_the_files(tmp_path):
    system = chain(12)
    frames = frames_of(system)
    for suffix in (".xtc", ".dcd"):
        path = tmp_path / f"frames{suffix}"
        write_at_once(path, system, frames)
        read = mdtraj.load(str(path), top=topology_of(system))
        assert np.abs(read.xyz - frames).max() < XTC_ROUNDING
        assert read.unitcell_lengths is None
        np.testing.assert_array_equal(read.time, np.arange(N_FRAMES))
    write_at_once(tmp_path / "frames.npy", system, frames)
    np.testing.assert_array_equal(np.load(tmp_path / "frames.npy", allow_pickle=False), frames)


def test_xtc_is_what_mdtraj_writes_in_one_go(tmp_path):
    system = chain(12)
    frames = frames_of(system)
    path = tmp_path / "theirs.xtc"
    mdtraj.Trajectory(frames, topology_of(system)).save(str(path))
    assert write_at_once(tmp_path / "ours.xtc", system, frames) == path.read_bytes()


def test_double_precision_is_taken(tmp_path):
    frames = frames_of(chain(5)).astype(np.float64)
    write_at_once(tmp_path / "frames.dcd", chain(5), frames)
    np.testing.assert_allclose(read_frames(tmp_path / "frames.dcd", chain(5)), frames, rtol=1e-6)


@cases
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_appending_after_truncation_equals_one_go(tmp_path, suffix, n_beads, dim, kept):
    """A run that is resumed from a checkpoint drops what was written after the checkpoint."""
    system = chain(n_beads, dim)
    frames = frames_of(system)
    whole = write_at_once(tmp_path / f"whole{suffix}", system, frames)
    path = tmp_path / f"resumed{suffix}"
    with FrameWriter(path, system) as first:
        marks = [first.n_bytes]
        for start in (0, 10):
            first.write(frames[start : start + 10])
            marks.append(first.n_bytes)
        first.write(10 * frames[20:25])  # not what the resumed run will write
    with FrameWriter(path, system, append_at=marks[kept]) as second:
        assert (second.n_frames, second.n_bytes) == (10 * kept, marks[kept])
        if second.n_bytes:
            assert path.stat().st_size == second.n_bytes
        if kept:
            assert len(read_frames(path, system)) == 10 * kept
        second.write(frames[10 * kept :])
        assert (second.n_frames, second.n_bytes) == (N_FRAMES, len(whole))
    assert path.read_bytes() == whole


@cases
def test_resuming_after_a_crash_in_the_middle_of_a_write(tmp_path, suffix, n_beads, dim):
    """The file ends inside a frame and its header still has the old count."""
    system = chain(n_beads, dim)
    frames = frames_of(system)
    whole = write_at_once(tmp_path / f"whole{suffix}", system, frames)
    path = tmp_path / f"crashed{suffix}"
    with FrameWriter(path, system) as writer:
        writer.write(frames[:20])
        mark = writer.n_bytes
    path.write_bytes(path.read_bytes() + whole[mark : mark + 11])
    with FrameWriter(path, system, append_at=mark) as writer:
        writer.write(frames[20:])
    assert path.read_bytes() == whole


@cases
def test_starting_anew(tmp_path, suffix, n_beads, dim):
    system = chain(n_beads, dim)
    frames = frames_of(system)
    path = tmp_path / f"frames{suffix}"
    path.write_bytes(b"something else" * 100)
    with FrameWriter(path, system, append_at=0) as writer:
        writer.write(frames)
    assert path.read_bytes() == write_at_once(tmp_path / f"whole{suffix}", system, frames)
    missing = tmp_path / f"new{suffix}"
    FrameWriter(missing, system, append_at=0).close()
    assert missing.exists()


@cases
def test_bad_positions_to_append_at(tmp_path, suffix, n_beads, dim):
    system = chain(n_beads, dim)
    path = tmp_path / f"frames{suffix}"
    content = write_at_once(path, system, frames_of(system))
    for at in (-1, len(content) + 1):
        with pytest.raises(FokkerError, match=f"cannot be continued at byte {at}"):
            FrameWriter(path, system, append_at=at)
    for at in (1, 11, len(content) - 1):
        with pytest.raises(FokkerError, match=f"byte {at} is not the end of a frame"):
            FrameWriter(path, system, append_at=at)
    assert path.read_bytes() == content
    with pytest.raises(FokkerError, match="cannot be continued at byte 5"):
        FrameWriter(tmp_path / f"missing{suffix}", system, append_at=5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_other_systems_are_not_continued(tmp_path, suffix):
    path = tmp_path / f"frames{suffix}"
    content = write_at_once(path, chain(5), frames_of(chain(5)))
    with pytest.raises(FokkerError, match="is not the end of a frame of this system"):
        FrameWriter(path, chain(7), append_at=len(content))
    assert path.read_bytes() == content


def test_foreign_dcd_is_not_continued(tmp_path):
    """Its frames may carry a unit cell, ours do not."""
    system = chain(5)
    path = tmp_path / "frames.dcd"
    theirs = mdtraj.Trajectory(frames_of(system), topology_of(system))
    theirs.unitcell_lengths = np.full((N_FRAMES, 3), 3.0)
    theirs.unitcell_angles = np.full((N_FRAMES, 3), 90.0)
    theirs.save(str(path))
    with pytest.raises(FokkerError, match="is not the end of a frame"):
        FrameWriter(path, system, append_at=path.stat().st_size)


@pytest.mark.parametrize("n_frames", [0, 9, 10**6, 2**31 - 1])
def test_headers_keep_their_length(n_frames):
    for encoder in (DCDEncoder(5), NPYEncoder(5, 3)):
        assert len(encoder.header(n_frames)) == len(encoder.header(0))


BAD_VALUES = [np.nan, np.inf, -np.inf, 1.01 * FARTHEST, 1e30, -1e38]


@pytest.mark.parametrize("n_beads", [5, 12])
@pytest.mark.parametrize("value", BAD_VALUES)
def test_xtc_puts_failed_frames_at_the_origin(tmp_path, n_beads, value):
    system = chain(n_beads)
    frames = frames_of(system)
    frames[[3, 20], 2, 1] = value
    path = tmp_path / "frames.xtc"
    with FrameWriter(path, system) as writer:
        writer.write(frames[:10])
        assert writer.n_failed == 1
        writer.write(frames[10:])
        assert writer.n_failed == 2
    read = read_frames(path, system, allow_failed=True)
    failed = (read == 0).all(axis=(1, 2))
    assert np.flatnonzero(failed).tolist() == [3, 20]
    assert np.abs(read - frames)[~failed].max() < XTC_ROUNDING
    assert frames[3, 2, 1] == value or np.isnan(value)  # the caller's array is not touched


def test_xtc_takes_the_farthest_frame_that_has_not_failed(tmp_path):
    system = chain(12)
    frames = np.full((2, 12, 3), FARTHEST, np.float32)
    frames[1, ::2] *= -1
    write_at_once(tmp_path / "frames.xtc", system, frames)
    read = read_frames(tmp_path / "frames.xtc", system, allow_failed=True)
    # float32 resolves 1000 nm to 6e-5 nm
    assert np.abs(read - frames).max() < XTC_ROUNDING + 1e-4


@pytest.mark.parametrize("suffix", [".dcd", ".npy"])
@pytest.mark.parametrize("value", BAD_VALUES)
def test_other_formats_keep_failed_frames(tmp_path, suffix, value):
    system = chain(5)
    frames = frames_of(system)
    frames[3, 2, 1] = value
    path = tmp_path / f"frames{suffix}"
    with FrameWriter(path, system) as writer:
        writer.write(frames)
    assert writer.n_failed == 1
    read = read_frames(path, system, allow_failed=True)
    if abs(value) < 1e37:  # angstrom of 1e38 nm are beyond float32
        np.testing.assert_allclose(read[3, 2, 1], value, rtol=1e-6)
    np.testing.assert_allclose(np.delete(read, 3, 0), np.delete(frames, 3, 0), rtol=1e-6)


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("call", [1, 2])
def test_full_disk(monkeypatch, tmp_path, suffix, call):
    """The disk fills while frames (call 1) or the header (call 2) are flushed."""
    system = chain(12)
    frames = frames_of(system)
    path = tmp_path / f"frames{suffix}"
    writer = FrameWriter(path, system)
    writer.write(frames[:20])
    before = path.read_bytes()
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FokkerError, match="disk is full; the 20 frames already written stay") as e:
        writer.write(frames[20:])
    assert str(path) in str(e.value)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert (writer.n_frames, writer.n_bytes) == (20, len(before))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(FokkerError, match="the file is closed"):
        writer.write(frames)
    with FrameWriter(path, system, append_at=writer.n_bytes) as resumed:
        resumed.write(frames[20:])
    assert path.read_bytes() == write_at_once(tmp_path / f"whole{suffix}", system, frames)


def test_full_disk_under_the_temporary_file(monkeypatch, tmp_path):
    """The library does not notice that its last buffer was lost; the missing bytes tell."""
    path = tmp_path / "frames.xtc"
    writer = FrameWriter(path, chain(12))
    monkeypatch.setattr(Path, "read_bytes", lambda p: p.open("rb").read()[:-100])
    with pytest.raises(FokkerError, match="disk is full; the 0 frames"):
        writer.write(frames_of(chain(12)))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_other_failures_of_the_disk(monkeypatch, tmp_path):
    writer = FrameWriter(tmp_path / "frames.dcd", chain(5))

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(FokkerError, match=r"cannot be written .*Input/output error"):
        writer.write(frames_of(chain(5)))
    path = tmp_path / "new.dcd"
    with pytest.raises(FokkerError, match="cannot be written"):
        FrameWriter(path, chain(5))
    assert not path.exists()


def test_frames_of_another_shape(tmp_path):
    with FrameWriter(tmp_path / "frames.dcd", chain(5)) as writer:
        for shape in ((2, 4, 3), (2, 5, 2)):
            with pytest.raises(FokkerError, match="do not fit the file"):
                writer.write(np.zeros(shape, np.float32))
        assert writer.n_frames == 0


def test_closing_twice_and_writing_after(tmp_path):
    writer = FrameWriter(tmp_path / "frames.dcd", chain(5))
    writer.close()
    writer.close()
    with pytest.raises(FokkerError, match="is closed"):
        writer.write(frames_of(chain(5)))


def test_output_paths(tmp_path):
    taken = tmp_path / "taken.dcd"
    taken.touch()
    (tmp_path / "folder.dcd").mkdir()
    molecule, toy = chain(5), chain(1, 2)
    for suffix in SUFFIXES:
        check_output_path(tmp_path / f"new{suffix}", molecule)
    check_output_path(tmp_path / "new.npy", toy)
    check_output_path(taken, molecule, overwrite=True)
    for path, system, overwrite, match in (
        (
            tmp_path / "new.trr",
            molecule,
            False,
            r"as '\.trr'; use the suffix \.xtc, \.dcd or \.npy",
        ),
        (tmp_path / "new", molecule, False, "cannot be written as ''"),
        (tmp_path / "new.xtc", toy, False, r"2 dimension.*use the suffix \.npy"),
        (tmp_path / "nowhere/new.dcd", molecule, True, "nowhere does not exist"),
        (taken, molecule, False, "taken.dcd: already exists"),
        (tmp_path / "folder.dcd", molecule, True, "already exists"),
    ):
        with pytest.raises(FokkerError, match=match):
            check_output_path(path, system, overwrite)
        if not overwrite:
            with pytest.raises(FokkerError, match=match):
                FrameWriter(path, system)


def test_writing_in_a_folder_that_is_not_ascii(tmp_path):
    folder = tmp_path / "Ångström"
    folder.mkdir()
    path = folder / "größe.xtc"
    write_at_once(path, chain(12), frames_of(chain(12)))
    assert len(read_frames(path, chain(12))) == N_FRAMES
    assert [p.name for p in folder.iterdir()] == [path.name]


def test_xtc_whose_last_bit_ends_the_file_is_read(tmp_path):
    """A thirtieth of all files end without padding: their last flag is in their last byte."""
    encoder = XTCEncoder(10, tmp_path)
    path = tmp_path / "one.xtc"
    for seed in range(100):
        steps = 0.2 * np.random.default_rng(seed).normal(size=(1, 10, 3))
        path.write_bytes(encoder.encode(np.cumsum(steps, axis=1).astype(np.float32), 0))
        assert inspect(path).n_frames == 1
