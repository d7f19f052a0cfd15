"""What is told of trajectory files that are cut, corrupt or of another kind."""

import struct
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import Bead, System
from fokker.trajectory import FrameWriter, read_frames, read_trajectory, topology_of
from fokker.trajectory import npy as npy_file
from fokker.trajectory import xtc as xtc_file

N_FRAMES = 40
BOX = 3.0 * np.eye(3, dtype=np.float32)


def chain(n_beads: int, dim: int = 3) -> System:
    return System(
        name="chain",
        dim=dim,
        beads=tuple(Bead(name="C") for _ in range(n_beads)),
        kT=2.5,
        bonds=tuple((i, i + 1) for i in range(n_beads - 1)),
    )


@pytest.fixture
def ten() -> System:
    return chain(10)


@pytest.fixture
def five() -> System:
    return chain(5)


def plane() -> System:
    return chain(1, dim=2)


@pytest.fixture
def positions() -> np.ndarray:
    """Bonds of about 0.15 nm, on a straight line with small displacements."""
    line = 0.15 * np.arange(10)[:, None] * np.eye(1, 3)
    noise = np.random.default_rng(0).normal(size=(N_FRAMES, 10, 3))
    return (line + 0.01 * noise).astype(np.float32)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "frames.dcd"


def write(path: Path, system: System, frames: np.ndarray) -> Path:
    with FrameWriter(path, system) as writer:
        writer.write(frames)
    return path


def write_boxed(path: Path, system: System, frames: np.ndarray, box: np.ndarray | None) -> Path:
    """Write with mdtraj, with or without a unit cell."""
    trajectory = mdtraj.Trajectory(frames, topology_of(system))
    if box is not None:
        trajectory.unitcell_vectors = np.repeat(box[None], len(frames), 0)
    trajectory.save(str(path))
    return path


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("missing.dcd", None, "does not exist"),
        ("frames.mp4", b"1", r"trajectory suffix '\.mp4' is not known; use one of \.dcd"),
        ("frames", b"1", "trajectory suffix ''"),
        ("frames.mdcrd", b"1", "not known"),
        *((f"empty{s}", b"", "is empty") for s in (".dcd", ".xtc", ".npy", ".pdb", ".nc")),
        *(
            (f"bytes{s}", bytes(range(256)) * 8, "not a readable")
            for s in (".dcd", ".xtc", ".trr", ".nc", ".npy")
        ),
        *(
            (f"text{s}", b"nothing\nof use\n" * 9, "cannot be read")
            for s in (".gro", ".xyz", ".lammpstrj", ".pdb", ".arc", ".h5", ".pdb.gz", ".xyz.gz")
        ),
    ],
)
def test_bad_files(tmp_path, ten, name, content, match):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FokkerError, match=match) as caught:
        read_frames(path, ten)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".dcd", ".xtc", ".trr", ".nc", ".npy"])
@pytest.mark.parametrize("missing", [1, 60, 200])
def test_cut_binary_files(tmp_path, ten, five, positions, suffix, missing):
    """Some bytes, half a frame and about two frames; also frames that are not packed (five)."""
    for system, frames in ((ten, positions), (five, positions[:, :5])):
        path = tmp_path / f"{system.n_beads}{suffix}"
        if suffix in (".trr", ".nc"):
            write_boxed(path, system, frames, None)
        else:
            write(path, system, frames)
        content = path.read_bytes()
        # the last bytes of a record may be padding, which nothing needs
        cut_by = missing + 3 if suffix == ".nc" else missing
        path.write_bytes(content[:-cut_by])
        with pytest.raises(FokkerError, match="is cut short") as caught:
            read_frames(path, system)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".dcd", ".nc"])
def test_cut_between_frames(tmp_path, ten, positions, suffix):
    """The file holds whole frames, but fewer than its header says."""
    path = write_boxed(tmp_path / f"frames{suffix}", ten, positions, None)
    frame = 3 * (8 + 40) if suffix == ".dcd" else 4 + 120
    path.write_bytes(path.read_bytes()[: -2 * frame])
    with pytest.raises(FokkerError, match="counts 40 frames, the file holds 38 whole ones"):
        read_frames(path, ten)


@pytest.mark.parametrize("suffix", [".xyz", ".lammpstrj", ".gro", ".pdb"])
def test_cut_text_files(tmp_path, ten, positions, suffix):
    path = write_boxed(tmp_path / f"frames{suffix}", ten, positions, BOX)
    lines = path.read_text().splitlines(keepends=True)
    # the last five atoms are gone, and all behind them
    n_behind = {".gro": 1, ".pdb": sum(not line.startswith("ATOM") for line in lines[-20:])}
    path.write_text("".join(lines[: -5 - n_behind.get(suffix, 0)]))
    with pytest.raises(FokkerError, match=r"is cut short|cannot be read"):
        read_frames(path, ten)


@pytest.mark.parametrize(
    ("at", "value", "match"),
    [
        (0, 85, "no DCD header"),
        (40, 3, "fixed atoms"),
        (52, 1, "fourth dimension"),
        (88, 80, "header records"),
        (96, -1, "header records"),
        (268, 0, "header records"),
        (268, -5, "header records"),
        (268, 11, "cut short|record lengths"),
        (268, 2**31 - 1, "cut short"),
        (276, 7, "frame 0 has wrong record lengths"),
        (276 + 144 * 3 + 44, 0, "frame 3 has wrong record lengths"),
    ],
)
def test_corrupt_dcd(path, ten, positions, at, value, match):
    content = bytearray(write(path, ten, positions).read_bytes())
    content[at : at + 4] = struct.pack("<i", value)
    path.write_bytes(content)
    with pytest.raises(FokkerError, match=match):
        read_frames(path, ten)


@pytest.mark.parametrize(
    ("at", "value", "match"),
    [
        (0, 1994, "no valid header"),
        (4, 0, "no valid header"),
        (4, -1, "no valid header"),
        (4, 10**9, "no valid header"),
        (52, 11, "no valid header"),
        (60, 2**31 - 1, "impossible packing"),  # the smallest integer of x above the largest
        (84, 8, "impossible packing"),
        (84, 73, "impossible packing"),
        (88, 10**6, "impossible packing"),
        (88, -1, "impossible packing"),
        (88, 0, "broken packed stream|no valid header"),
    ],
)
def test_corrupt_xtc(tmp_path, ten, positions, at, value, match):
    path = write(tmp_path / "frames.xtc", ten, positions)
    content = bytearray(path.read_bytes())
    content[at : at + 4] = struct.pack(">i", value)
    path.write_bytes(content)
    with pytest.raises(FokkerError, match=match):
        read_frames(path, ten)


@pytest.mark.parametrize("n_beads", [10, 11, 64, 300])
@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 300.0])
def test_packed_streams_end_where_the_walk_says(tmp_path, n_beads, spread):
    """The walk of a stream must use up its bytes to less than one: `n_bytes` is rounded up."""
    frames = np.random.default_rng(n_beads).normal(size=(5, n_beads, 3)) * spread
    beads = tuple(Bead(name="C") for _ in range(n_beads))
    path = write(tmp_path / "f.xtc", System(name="s", dim=3, beads=beads, kT=1.0), frames)
    data = xtc_file.view(path)
    n_atoms, n_frames, streams, _, fault = xtc_file._walk(path, data)
    assert (n_atoms, n_frames, len(streams), fault) == (n_beads, 5, 5, "")
    xtc_file._check_streams(path, data, n_atoms, 0, np.array(streams))
    for number, stream in enumerate(streams):
        short = np.array([stream._replace(n_bytes=stream.n_bytes - 1)])
        with pytest.raises(FokkerError, match=f"frame {number} has a broken packed stream"):
            xtc_file._check_streams(path, data, n_atoms, number, short)


@pytest.mark.parametrize("box", [None, BOX], ids=["no box", "box"])
@pytest.mark.parametrize("without", [[0], [3, 4, 17], range(0, N_FRAMES, 2), range(N_FRAMES)])
def test_trr_frames_with_velocities_only_are_skipped(tmp_path, ten, positions, box, without):
    path = write_boxed(tmp_path / "frames.trr", ten, positions, box)
    content = bytearray(path.read_bytes())
    size = len(content) // N_FRAMES
    for at in (size * frame for frame in without):  # positions called velocities
        place = slice(at + 52, at + 56), slice(at + 56, at + 60)
        content[place[0]], content[place[1]] = content[place[1]], content[place[0]]
    path.write_bytes(content)
    if len(without) == N_FRAMES:
        with pytest.raises(FokkerError, match="no frame has positions, only velocities"):
            read_frames(path, ten)
        return
    found = read_trajectory([path], ten)
    np.testing.assert_array_equal(found.positions, np.delete(positions, list(without), 0))
    assert f"{len(without)} of 40 frames have no positions" in found.notes[0]


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((4, 3)), r"shape \(4, 3\)"),
        (np.zeros((4, 1, 3)), r"shape \(4, 1, 3\); save \(frames, beads, 2\)"),
        (np.zeros((4, 2, 2)), "holds 2 atoms, but .* 1 beads"),
        (np.zeros((4, 1, 2), int), "numbers of type int64"),
        (np.zeros((4, 1, 2), complex), "numbers of type complex128"),
        (np.zeros(()), r"shape \(\)"),
    ],
)
def test_bad_arrays(tmp_path, array, match):
    np.save(tmp_path / "frames.npy", array)
    with pytest.raises(FokkerError, match=match):
        read_frames(tmp_path / "frames.npy", plane())


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "frames.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(FokkerError, match="type object"):
        read_frames(tmp_path / "frames.npy", plane())


def test_array_size_is_checked_before_reading(tmp_path):
    """A header that promises 10^15 frames allocates nothing."""
    path = tmp_path / "frames.npy"
    FrameWriter(path, plane()).close()
    header = path.read_bytes().replace(b"(0, 1, 2)", b"(1000000000000000, 1, 2)")
    path.write_bytes(header + bytes(80))
    with pytest.raises(FokkerError, match=r"not a readable|is cut short"):
        read_frames(path, plane())
    assert 8 * npy_file.inspect(path).shape[0] <= path.stat().st_size
