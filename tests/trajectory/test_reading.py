"""Frames from trajectory files, and what is told of bad ones."""

import struct
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import Bead, CollectiveVariable, System
from fokker.trajectory import (
    FrameWriter,
    read_frames,
    read_molecule,
    system_from_topology,
    topology_of,
)

DATA = Path(__file__).parents[2] / "src/fokker/dataset/embedded/alanine-dipeptide"
TOPOLOGY = DATA / "topology.pdb"
FIVE = "name C and resname ACE or resname ALA and (name N CA C) or resname NME and name N"
N_FRAMES = 40
BOX = np.array([[2.0, 0, 0], [0, 2.1, 0], [0, 0, 2.2]], np.float32)
TRICLINIC = np.array([[2.0, 0, 0], [0.6, 1.9, 0], [-0.7, 0.5, 1.8]], np.float32)

XTC_ROUNDING = 0.5e-3 + 1e-6
"""Half of the last of three decimals in nm, and float32."""


@pytest.fixture(scope="module")
def ten() -> System:
    return system_from_topology(TOPOLOGY, select="all", temperature=300.0, name="peptide")


@pytest.fixture(scope="module")
def five() -> System:
    return system_from_topology(TOPOLOGY, select=FIVE, temperature=300.0, name="peptide")


@pytest.fixture(scope="module")
def positions() -> np.ndarray:
    """Frames of the embedded data by the format's definition: 276 bytes, then x, y, z records."""
    raw = np.fromfile(DATA / "train.dcd", "<f4", offset=276, count=N_FRAMES * 36)
    return raw.reshape(N_FRAMES, 3, 12)[:, :, 1:11].transpose(0, 2, 1) * np.float32(0.1)


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


def plane() -> System:
    axes = tuple(
        CollectiveVariable(name=n, kind="coordinate", indices=(i,), limits=(-2, 2))
        for i, n in enumerate("xy")
    )
    return System(
        name="plane",
        dim=2,
        beads=(Bead(name="X"),),
        kT=1.0,
        length_unit="",
        centred=False,
        collective_variables=axes,
    )


# --- good files -----------------------------------------------------------------------------------


def test_embedded_data(ten, five, positions):
    trajectory = read_molecule([DATA / "train.dcd"], TOPOLOGY, temperature=300.0)
    assert trajectory.positions.shape == (49_920, 10, 3)
    assert trajectory.positions.dtype == np.float32
    np.testing.assert_allclose(trajectory.positions[:N_FRAMES], positions, rtol=1e-6)
    assert trajectory.system.beads == ten.beads
    mapped = read_frames(DATA / "train.dcd", five)
    np.testing.assert_array_equal(mapped, trajectory.positions[:, [1, 3, 4, 6, 8]])


def test_files_are_put_end_to_end_and_strided(ten, positions):
    files = [DATA / "train.dcd", DATA / "reference.dcd"]
    read = read_molecule(files, TOPOLOGY, select=FIVE, temperature=300.0, stride=1000).positions
    assert read.shape == (50 + 25, 5, 3)
    np.testing.assert_array_equal(read[:50], read_frames(files[0], ten)[::1000, [1, 3, 4, 6, 8]])
    np.testing.assert_array_equal(read[50:], read_frames(files[1], ten)[::1000, [1, 3, 4, 6, 8]])


@pytest.mark.parametrize("stride", [1, 2, 3, 7, 39])
def test_stride_does_not_depend_on_chunks(monkeypatch, path, ten, positions, stride):
    monkeypatch.setattr("fokker.trajectory.sources._NUMBERS_AT_ONCE", 3 * 10 * 4)
    write(path, ten, positions)
    np.testing.assert_allclose(
        read_frames(path, ten, stride=stride), positions[::stride], rtol=1e-6
    )


@pytest.mark.parametrize("box", [None, BOX], ids=["no box", "box"])
@pytest.mark.parametrize(
    ("suffix", "tolerance"),
    [
        # three decimals of an angstrom in text files, of a nm in gro and xtc
        *((".dcd", 1e-6), (".trr", 1e-6), (".nc", 1e-6), (".xtc", XTC_ROUNDING)),
        *((".pdb", 0.6e-4), (".pdb.gz", 0.6e-4), (".gro", XTC_ROUNDING), (".xyz", 0.6e-4)),
        *((".xyz.gz", 0.6e-4), (".lammpstrj", 0.6e-4)),
    ],
)
def test_formats(tmp_path, ten, five, positions, suffix, tolerance, box):
    if suffix == ".lammpstrj" and box is None:
        pytest.skip("the format always has a box")
    path = write_boxed(tmp_path / f"frames{suffix}", ten, positions, box)
    assert np.abs(read_frames(path, ten) - positions).max() < tolerance
    mapped = read_frames(path, five, stride=3)
    assert np.abs(mapped - positions[::3, [1, 3, 4, 6, 8]]).max() < tolerance


def test_opposite_byte_order(path, ten, positions):
    """Every word of the file is of four bytes, except the letters in it."""
    content = write(path, ten, positions).read_bytes()
    swapped = bytearray(np.frombuffer(content, "<i4").byteswap().tobytes())
    swapped[4:8], swapped[100:260] = content[4:8], content[100:260]
    path.write_bytes(swapped)
    np.testing.assert_allclose(read_frames(path, ten), positions, rtol=1e-6)


def test_beads_or_all_atoms(path, tmp_path, five, positions):
    beads = positions[:, [1, 3, 4, 6, 8]]
    write(path, five, beads)
    read = read_molecule([path, DATA / "train.dcd"], TOPOLOGY, select=FIVE, temperature=300.0)
    np.testing.assert_allclose(read.positions[:N_FRAMES], beads, rtol=1e-6)
    np.testing.assert_allclose(read.positions[N_FRAMES : 2 * N_FRAMES], beads, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(tmp_path, dtype, order):
    frames = np.linspace(-1, 1, 24).reshape(12, 1, 2)
    np.save(tmp_path / "frames.npy", np.asarray(frames, dtype, order=order))
    read = read_frames(tmp_path / "frames.npy", plane(), stride=2)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, frames.astype(dtype)[::2].astype(np.float32))


def test_single_bead_may_leave_out_its_axis(tmp_path):
    frames = np.linspace(-1, 1, 24).reshape(12, 2)
    np.save(tmp_path / "frames.npy", frames)
    np.testing.assert_allclose(
        read_frames(tmp_path / "frames.npy", plane())[:, 0], frames, rtol=1e-6
    )


def test_single_bead_may_pass_the_origin(tmp_path):
    np.save(tmp_path / "frames.npy", np.zeros((3, 1, 2)))
    assert read_frames(tmp_path / "frames.npy", plane()).shape == (3, 1, 2)


def test_reading_prints_nothing(capfd, path, tmp_path, ten, positions):
    print("before")
    read_frames(write(path, ten, positions), ten)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FokkerError):
        read_frames(path, ten)
    print("after")
    out, err = capfd.readouterr()
    assert out == "before\nafter\n"
    assert err == ""


def test_path_that_is_not_ascii(tmp_path, ten, positions):
    folder = tmp_path / "Müller Brown"
    folder.mkdir()
    for suffix in (".dcd", ".xtc", ".pdb"):
        path = write_boxed(tmp_path / f"plain{suffix}", ten, positions, None)
        moved = path.rename(folder / f"größe{suffix}")
        assert np.abs(read_frames(moved, ten) - positions).max() < XTC_ROUNDING


def test_header_that_lags_behind_is_read_in_full(path, ten, positions):
    content = bytearray(write(path, ten, positions).read_bytes())
    content[8:12] = struct.pack("<i", 0)
    path.write_bytes(content)
    assert len(read_frames(path, ten)) == N_FRAMES


# --- molecules and boxes --------------------------------------------------------------------------


def wrapped(positions: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Every atom put into the box, after a random shift of each frame."""
    shift = np.random.default_rng(1).uniform(-3, 3, (len(positions), 1, 3))
    fractions = (positions + shift) @ np.linalg.inv(box)
    return ((fractions - np.floor(fractions)) @ box).astype(np.float32)


@pytest.mark.parametrize("box", [BOX, TRICLINIC], ids=["orthogonal", "triclinic"])
@pytest.mark.parametrize("suffix", [".dcd", ".xtc", ".trr", ".nc"])
@pytest.mark.parametrize("select", ["all", "name CH3 CB O"])
def test_molecule_is_made_whole(tmp_path, ten, positions, box, suffix, select):
    """Also beads without bonds of their own: the atoms between them are read as well."""
    folded = wrapped(positions, box)
    path = write_boxed(tmp_path / f"folded{suffix}", ten, folded, box)
    trajectory = read_molecule([path], TOPOLOGY, select=select, temperature=300.0)
    beads = list(trajectory.system.mapping.indices)
    centred = [x - x[:, :1] for x in (trajectory.positions, positions[:, beads])]
    # two rounded positions a difference; box vectors pass through angles in float32
    assert np.abs(centred[0] - centred[1]).max() < 2 * XTC_ROUNDING


def test_whole_molecule_in_a_box_is_left_as_it_is(tmp_path, ten, positions):
    boxed = write_boxed(tmp_path / "boxed.dcd", ten, positions, BOX)
    free = write_boxed(tmp_path / "free.dcd", ten, positions, None)
    np.testing.assert_array_equal(read_frames(boxed, ten), read_frames(free, ten))


def test_dummy_box_is_ignored(tmp_path, ten, positions):
    path = write_boxed(tmp_path / "dummy.dcd", ten, positions, 0.1 * np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(read_frames(path, ten), positions, rtol=1e-6)


def test_jump_without_a_box_is_told(path, ten, positions):
    torn = positions.copy()
    torn[7:, 6:] += 2.0  # atoms 4 and 6 are bonded
    write(path, ten, torn)
    with pytest.raises(FokkerError, match=r"frame 7 the bonded atoms 4 and 6 .*pbc whole"):
        read_frames(path, ten)
    assert read_frames(path, ten, allow_failed=True).shape == (N_FRAMES, 10, 3)


def test_jump_that_a_box_does_not_explain_is_told(tmp_path, ten, positions):
    torn = positions.copy()
    torn[7, 6:] += 0.9  # not a box vector, so no image is near
    path = write_boxed(tmp_path / "torn.dcd", ten, torn, BOX)
    with pytest.raises(FokkerError, match="frame 7 the bonded atoms 4 and 6"):
        read_frames(path, ten)


def test_permanent_jump_is_told(path, ten, positions):
    torn = positions.copy()
    torn[:, 6:] += 2.0
    write(path, ten, torn)
    with pytest.raises(FokkerError, match="frame 0 the bonded atoms 4 and 6"):
        read_frames(path, ten)


@pytest.mark.parametrize(
    ("factor", "match"),
    [(10, r"look like angstrom, not nm \(median bonded distance 1\.[45]"), (0.1, "too small")],
)
def test_wrong_units(path, ten, positions, factor, match):
    write(path, ten, factor * positions)
    with pytest.raises(FokkerError, match=match):
        read_frames(path, ten)


# --- bad coordinates ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", [".dcd", ".npy"])
def test_positions_that_are_not_finite(tmp_path, ten, positions, value, suffix):
    bad = positions.copy()
    bad[4, 2, 1] = value
    bad[6, 2, 1] = value
    path = write(tmp_path / f"frames{suffix}", ten, bad)
    with pytest.raises(FokkerError, match="frame 4 has a position that is NaN or infinite"):
        read_frames(path, ten, stride=2)
    assert read_frames(path, ten, stride=5).shape == (8, 10, 3)  # neither frame is read
    kept = read_frames(path, ten, allow_failed=True)
    assert not np.isfinite(kept[4, 2, 1])


def test_frames_at_the_origin(path, ten, positions):
    bad = positions.copy()
    bad[5] = 0
    write(path, ten, bad)
    with pytest.raises(FokkerError, match="frame 5 has every atom at the origin"):
        read_frames(path, ten)
    assert not read_frames(path, ten, allow_failed=True)[5].any()


def test_overflow_to_single_precision(tmp_path):
    np.save(tmp_path / "frames.npy", np.full((4, 1, 2), 1e300))
    with pytest.raises(FokkerError, match="frame 0 has a position that is NaN or infinite"):
        read_frames(tmp_path / "frames.npy", plane())


# --- bad counts and options -----------------------------------------------------------------------


def test_atom_counts_are_named(path, ten, five, positions):
    write(path, ten.model_copy(update={"beads": ten.beads[:7]}), positions[:, :7])
    with pytest.raises(FokkerError, match=r"holds 7 atoms, but .* 5 beads taken from 10 atoms"):
        read_frames(path, five)
    with pytest.raises(FokkerError, match=r"holds 7 atoms, but .* 10 beads"):
        read_molecule([path], TOPOLOGY, temperature=300.0)


def test_few_frames(path, ten, positions):
    write(path, ten, positions)
    with pytest.raises(FokkerError, match=r"40 frame\(s\) at stride 1, at least 100 are needed"):
        read_molecule([path], TOPOLOGY, temperature=300.0, min_frames=100)
    other = path.with_stem("other")
    write(other, ten, positions[::-1])
    both = read_molecule([path, other], TOPOLOGY, temperature=300.0, min_frames=80)
    assert len(both.positions) == 80
    with pytest.raises(FokkerError, match=r"1 frame\(s\) at stride 40, at least 2"):
        read_frames(path, ten, stride=40)
    assert len(read_frames(path, ten, stride=40, min_frames=1)) == 1


def test_a_folder_is_no_trajectory(ten, tmp_path):
    with pytest.raises(FokkerError, match="this trajectory is a folder; name a file in it"):
        read_frames(tmp_path, ten)


def test_a_file_that_is_given_twice(path, ten, positions):
    write(path, ten, positions)
    same = path.parent / "." / path.name
    with pytest.raises(FokkerError, match="is given twice, and its frames would count twice"):
        read_molecule([path, same], TOPOLOGY, temperature=300.0)


@pytest.mark.parametrize("suffix", [".dcd", ".npy", ".nc"])
def test_header_without_frames(tmp_path, ten, positions, suffix):
    path = tmp_path / f"frames{suffix}"
    if suffix == ".nc":
        write_boxed(path, ten, positions, None)
        content = bytearray(path.read_bytes())
        start = len(content) - N_FRAMES * (4 + 12 * 10)  # time and coordinates are the records
        content[4:8] = bytes(4)
        path.write_bytes(content[:start])
    else:
        FrameWriter(path, ten).close()
    with pytest.raises(FokkerError, match=r"0 frame\(s\)"):
        read_frames(path, ten)


@pytest.mark.parametrize("stride", [0, -1])
def test_bad_stride(stride):
    with pytest.raises(FokkerError, match=r"stride: .* is not a positive number"):
        read_molecule([DATA / "train.dcd"], TOPOLOGY, temperature=300.0, stride=stride)


def test_no_trajectory():
    with pytest.raises(FokkerError, match="no file is given"):
        read_molecule([], TOPOLOGY, temperature=300.0)


def test_planar_systems_need_arrays(path, ten, positions):
    write(path, ten, positions)
    with pytest.raises(FokkerError, match=r"2 dimension.* \.npy array of shape \(frames, 1, 2\)"):
        read_frames(path, plane())
