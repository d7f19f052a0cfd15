"""Files that end early: refused with the remedy, or their whole frames used and counted."""

import gzip
import struct
from pathlib import Path

import h5py
import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fokker.errors import FokkerError
from fokker.system import Bead, System
from fokker.trajectory import FrameWriter, read_frames, read_trajectory, topology_of

N_ATOMS, N_FRAMES = 12, 30
BINARY = (".dcd", ".xtc", ".trr", ".nc", ".npy")
TEXT = (".xyz", ".xyz.gz", ".lammpstrj", ".gro", ".pdb", ".pdb.gz", ".arc", ".extxyz")
ROUNDING = 0.5e-3 + 1e-6


def chain(n: int = N_ATOMS) -> System:
    bonds = tuple((i, i + 1) for i in range(n - 1))
    return System(
        name="chain", dim=3, beads=tuple(Bead(name="C") for _ in range(n)), kT=2.5, bonds=bonds
    )


def line(n: int = N_ATOMS, n_frames: int = N_FRAMES) -> np.ndarray:
    rng = np.random.default_rng(n)
    straight = 0.15 * np.arange(n)[:, None] * np.eye(1, 3) + 3.0
    return (straight + 0.01 * rng.normal(size=(n_frames, n, 3))).astype(np.float32)


def save(path: Path, frames: np.ndarray) -> list[int]:
    """Write a file; where each of its frames ends, in bytes of the file before it is packed."""
    suffix = path.name.partition(".")[2]
    if suffix in ("npy", "dcd", "xtc"):
        ends = []
        with FrameWriter(path, chain(frames.shape[1])) as writer:
            for frame in frames:
                writer.write(frame[None])
                ends.append(writer.n_bytes)
        return ends
    ends = []
    for n in range(1, len(frames) + 1):
        if suffix == "arc":
            rows = [
                f"{frames.shape[1]} t\n"
                + "".join(
                    f"{a} C {x:.4f} {y:.4f} {z:.4f} 1 {a}\n"
                    for a, (x, y, z) in enumerate(10 * frame, start=1)
                )
                for frame in frames[:n]
            ]
            content = "".join(rows).encode()
        else:
            plain = path.with_name(f"part.{suffix.removeprefix('ext').removesuffix('.gz')}")
            part = mdtraj.Trajectory(frames[:n], topology_of(chain(frames.shape[1])))
            part.unitcell_lengths = np.full((n, 3), 9.0)
            part.unitcell_angles = np.full((n, 3), 90.0)
            part.save(str(plain))
            content = plain.read_bytes()
        ends.append(content.rindex(b"ENDMDL") + 7 if b"ENDMDL" in content else len(content))
    write(path, content)
    return ends


def write(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def plain(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[tuple[str, int], tuple[bytes, list[int]]]:
    folder = tmp_path_factory.mktemp("whole")
    found = {}
    for suffix in (*BINARY, *TEXT):
        for n in (5, N_ATOMS):
            path = folder / f"f{suffix}"
            path.unlink(missing_ok=True)
            ends = save(path, line(n, 8))
            found[suffix, n] = plain(path), ends
    return found


@pytest.mark.parametrize("suffix", [*BINARY, *TEXT])
def test_whole_frames_of_a_cut_file(tmp_path, saved, suffix):
    """Wherever it is cut: what is used are the frames before, bit for bit, and their number."""
    path = tmp_path / f"f{suffix}"

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(st.floats(0, 1, exclude_max=True), st.sampled_from([5, N_ATOMS]))
    def cut_at(place, n):
        content, ends = saved[suffix, n]
        path.write_bytes(b"")
        write(path, content)
        whole = read_frames(path, chain(n))
        at = ends[0] + int(place * (len(content) - ends[0]))
        write(path, content[:at])
        if suffix == ".dcd":
            ends = [end + len(content) - ends[-1] for end in ends]
        n_whole = sum(end <= at for end in ends)
        try:
            found = read_trajectory([path], chain(n), allow_cut=True, min_frames=0)
        except FokkerError as error:
            assert "not a readable" in str(error) or "cannot be read" in str(error), error
            assert n_whole == 0
            return
        # the last bytes of a text or NetCDF frame may be missing and it is still whole
        assert len(found.positions) in (n_whole, n_whole + 1)
        np.testing.assert_array_equal(found.positions, whole[: len(found.positions)])
        if found.notes:
            assert f"its {len(found.positions):,} whole frames are used" in found.notes[0]
            with pytest.raises(FokkerError, match="cut short"):
                read_frames(path, chain(n), min_frames=0)
        else:
            assert len(read_frames(path, chain(n), min_frames=0)) == len(found.positions)

    cut_at()


@pytest.mark.parametrize("suffix", [*BINARY, *TEXT])
def test_refusal_names_the_option(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    ends = save(path, line())
    content = plain(path)
    write(path, content[: (ends[-2] + ends[-1]) // 2])
    with pytest.raises(FokkerError, match=r"cut short .* 29 whole frames with --allow-cut"):
        read_frames(path, chain())
    found = read_trajectory([path], chain(), allow_cut=True)
    assert np.abs(found.positions - line()[:-1]).max() < ROUNDING
    assert len(found.notes) == 1
    assert "its 29 whole frames are used" in found.notes[0]


@pytest.mark.parametrize("suffix", [".dcd", ".nc", ".npy"])
def test_header_that_counts_more_frames_than_there_are(tmp_path, suffix):
    """Cut exactly between two frames."""
    path = tmp_path / f"f{suffix}"
    ends = save(path, line())
    size = (ends[-1] - ends[0]) // (N_FRAMES - 1)
    path.write_bytes(path.read_bytes()[: -3 * size])
    with pytest.raises(FokkerError, match="27 whole frames with --allow-cut"):
        read_frames(path, chain())
    found = read_frames(path, chain(), allow_cut=True)
    assert np.abs(found - line()[:27]).max() < 1e-6


@pytest.mark.parametrize("count", [0, 3, 2**32 - 1])
def test_netcdf_whose_header_counts_fewer_frames(tmp_path, count):
    """0 of a job that was killed; the largest number says that the file is to be measured."""
    path = tmp_path / "f.nc"
    save(path, line())
    content = bytearray(path.read_bytes())
    content[4:8] = struct.pack(">I", count)
    path.write_bytes(content)
    if count < N_FRAMES:
        with pytest.raises(FokkerError, match=f"counts {count} frames.*30 whole .*--allow-cut"):
            read_frames(path, chain())
    found = read_trajectory([path], chain(), allow_cut=count < N_FRAMES)
    assert np.abs(found.positions - line()).max() < 1e-6
    assert bool(found.notes) == (count < N_FRAMES)


@pytest.mark.parametrize("suffix", [".xtc", ".trr", ".dcd"])
def test_blocks_of_zeros_behind_the_frames(tmp_path, suffix):
    """A disk that lost its power has given out blocks which were never written."""
    path = tmp_path / f"f{suffix}"
    save(path, line())
    path.write_bytes(path.read_bytes() + bytes(4096))
    with pytest.raises(FokkerError, match="--allow-cut"):
        read_frames(path, chain())
    assert len(read_frames(path, chain(), allow_cut=True)) == N_FRAMES


def test_hdf5_that_was_not_closed(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["positions"] = line(n_frames=2000)
    path.write_bytes(path.read_bytes()[:-100_000])
    for allow_cut in (False, True):
        with pytest.raises(FokkerError, match=r"not closed.*h5clear"):
            read_frames(path, chain(), allow_cut=allow_cut)


def test_corrupt_is_not_cut(tmp_path):
    """A fault within a file is no reason to use what is before it."""
    for suffix in (".xtc", ".trr", ".xyz"):
        path = tmp_path / f"f{suffix}"
        ends = save(path, line())
        content = bytearray(path.read_bytes())
        content[ends[9] : ends[9] + 8] = b"\x07garbage"
        path.write_bytes(content)
        with pytest.raises(FokkerError, match=r"not a readable|cannot be read"):
            read_frames(path, chain(), allow_cut=True)
