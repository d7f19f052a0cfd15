"""Files with random faults give a valid result or a FokkerError, and never crash the process.

The compiled readers of mdtraj write behind their buffers on some of these files, so passing means
that the walks in Python let none of them through.
"""

from pathlib import Path

import h5py
import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fokker.errors import FokkerError
from fokker.system import Bead, System
from fokker.trajectory import read_frames, system_from_topology, topology_of

BINARY = (".xtc", ".dcd", ".trr", ".nc", ".npy")
TEXT = (".pdb", ".gro", ".xyz", ".lammpstrj", ".xyz.gz", ".arc", ".extxyz")
HDF5 = (".h5", ".h5md")
SIZES = (3, 10, 40)
N_FRAMES = 4

SPECIAL = (0, 1, 2, -1, 9, 10, 12, 48, 72, 73, 84, 120, 255, 65_536, 2**31 - 1, -(2**31))
"""Integers that headers compare with, and those at the ends of their range."""

FULL = settings(max_examples=300, deadline=None, derandomize=True, database=None)
SHORT = settings(FULL, max_examples=100)


def chain(n_beads: int) -> System:
    return System(
        name="chain",
        dim=3,
        beads=tuple(Bead(name="C") for _ in range(n_beads)),
        kT=2.5,
        bonds=tuple((i, i + 1) for i in range(n_beads - 1)),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def valid(folder) -> dict[tuple[str, int, bool], bytes]:
    """Good files, with and without a box, packed and not, with runs of near atoms."""
    files = {}
    for n in SIZES:
        rng = np.random.default_rng(n)
        walk = np.cumsum(0.09 * rng.normal(size=(1, n, 3)), axis=1)
        frames = (walk + 0.01 * rng.normal(size=(N_FRAMES, n, 3))).astype(np.float32)
        for box in (False, True):
            for suffix in (*BINARY, *TEXT):
                path = folder / f"good{suffix}"
                trajectory = mdtraj.Trajectory(frames, topology_of(chain(n)))
                if box or suffix == ".lammpstrj":  # which always has one
                    trajectory.unitcell_lengths = np.full((N_FRAMES, 3), 3.0)
                    trajectory.unitcell_angles = np.full((N_FRAMES, 3), 90.0)
                if suffix == ".npy":
                    np.save(path, frames)
                elif suffix in (".arc", ".extxyz"):
                    path.write_text(_own_text(suffix, frames, box))
                else:
                    trajectory.save(str(path))
                files[suffix, n, box] = path.read_bytes()
            for suffix in HDF5:
                files[suffix, n, box] = _hdf5(folder / f"good{suffix}", frames, box)
    return files


def _own_text(suffix: str, frames: np.ndarray, box: bool) -> str:
    """Formats that mdtraj does not write."""
    text = ""
    for frame in frames:
        if suffix == ".arc":
            text += f"{len(frame)} title\n" + ("30 30 30 90 90 90\n" if box else "")
        else:
            lattice = 'Lattice="30 0 0 1 30 0 0 2 30" ' if box else ""
            text += f"{len(frame)}\n{lattice}Properties=species:S:1:pos:R:3 Time=1.5\n"
        for number, (x, y, z) in enumerate(10 * frame, start=1):
            first = f"{number} C" if suffix == ".arc" else "C"
            text += f"{first} {x:.4f} {y:.4f} {z:.4f}\n"
    return text


def _hdf5(path: Path, frames: np.ndarray, box: bool) -> bytes:
    top = path.suffix == ".h5"
    with h5py.File(path, "w") as file:
        file["coordinates" if top else "particles/all/position/value"] = frames
        file["time" if top else "particles/all/position/step"] = np.arange(float(len(frames)))
        if box and top:
            file["cell_lengths"] = np.full((len(frames), 3), 3.0)
        elif box:
            file["particles/all/box/edges"] = np.full(3, 3.0)
    return path.read_bytes()


@st.composite
def faults(draw):
    """A function that spoils bytes: cut, flip bits, set words, insert, overwrite."""
    kind = draw(st.sampled_from(["cut", "flip", "flip", "word", "word", "insert", "overwrite"]))
    place = st.floats(0, 1, exclude_max=True)
    if kind == "cut":
        at = draw(place)
        return lambda b: b[: int(at * len(b))]
    if kind == "flip":
        bits = draw(st.lists(st.tuples(place, st.integers(0, 7)), min_size=1, max_size=8))
        return lambda b: _flipped(b, bits)
    if kind == "word":
        at, value = draw(place), draw(st.sampled_from(SPECIAL))
        order, early = draw(st.sampled_from(["big", "little"])), draw(st.booleans())
        word = (value % 2**32).to_bytes(4, order)
        return lambda b: _replaced(
            b, int(at * (min(len(b), 400) if early else len(b))) // 4 * 4, word
        )
    at, new = draw(place), draw(st.binary(min_size=1, max_size=60))
    if kind == "insert":
        return lambda b: b[: int(at * len(b))] + new + b[int(at * len(b)) :]
    return lambda b: _replaced(b, int(at * len(b)), new)


def _flipped(content: bytes, bits: list[tuple[float, int]]) -> bytes:
    spoiled = bytearray(content)
    for at, bit in bits:
        spoiled[int(at * len(spoiled))] ^= 1 << bit
    return bytes(spoiled)


def _replaced(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def read(path: Path, content: bytes, n_beads: int, allow_failed: bool) -> bool:
    """Whether the file is read; what is read must be frames of the system."""
    path.write_bytes(content)
    told = None
    try:
        frames = read_frames(
            path,
            chain(n_beads),
            min_frames=0,
            allow_failed=allow_failed,
            allow_cut=len(content) % 2 == 0,
        )
    except FokkerError as error:
        told = str(error)
    if told is not None:
        assert told.startswith(str(path))
        assert "\n" not in told
        return False
    assert frames.dtype == np.float32
    assert frames.shape[1:] == (n_beads, 3)
    assert allow_failed or np.isfinite(frames).all()
    return True


def test_the_files_are_good(folder, valid):
    for (suffix, n, _), content in valid.items():
        assert read(folder / f"same{suffix}", content, n, False)


@pytest.mark.parametrize("suffix", BINARY)
def test_spoiled_binary_files(folder, valid, suffix):
    outcomes = []

    @FULL
    @given(faults(), st.sampled_from(SIZES), st.booleans(), st.booleans())
    def spoil(fault, n, box, allow_failed):
        content = fault(valid[suffix, n, box])
        outcomes.append(read(folder / f"spoiled{suffix}", content, n, allow_failed))

    spoil()
    # both sides of the property are met: some faults hit coordinates, some the structure
    assert 0 < sum(outcomes) < len(outcomes)


@pytest.mark.parametrize("suffix", [*TEXT, *HDF5])
def test_spoiled_text_files(folder, valid, suffix):
    @SHORT
    @given(faults(), st.sampled_from(SIZES), st.booleans(), st.booleans())
    def spoil(fault, n, box, allow_failed):
        read(folder / f"spoiled{suffix}", fault(valid[suffix, n, box]), n, allow_failed)

    spoil()


@pytest.mark.parametrize("suffix", [".pdb", ".gro"])
def test_spoiled_topologies(folder, valid, suffix):
    @SHORT
    @given(faults(), st.sampled_from(SIZES), st.sampled_from(["all", "name C", "element C"]))
    def spoil(fault, n, select):
        path = folder / f"topology{suffix}"
        path.write_bytes(fault(valid[suffix, n, True]))
        try:
            system = system_from_topology(path, select=select, temperature=300.0, name="spoiled")
        except FokkerError:
            return
        assert system.n_beads >= 2
        assert system.collective_variables

    spoil()


@pytest.mark.parametrize("suffix", [*BINARY, *TEXT, *HDF5])
def test_random_bytes(folder, valid, suffix):
    """After some bytes of a good file, so that headers are passed."""

    @SHORT
    @given(st.integers(0, 300), st.binary(max_size=400), st.sampled_from(SIZES))
    def spoil(n_kept, new, n):
        content = valid[suffix, n, False][:n_kept] + new
        read(folder / f"random{suffix}", content, n, True)

    spoil()


WORDS = st.sampled_from(
    [*("name", "CA", "resname", "ALA", "and", "or", "not", "(", ")", "to", "==", "<", "2", "all")]
)


@SHORT
@given(st.text(max_size=12) | st.lists(WORDS, max_size=6).map(" ".join))
def test_random_selections(select):
    topology = (
        Path(__file__).parents[2] / "src/fokker/dataset/embedded/alanine-dipeptide/topology.pdb"
    )
    try:
        system = system_from_topology(topology, select=select, temperature=300.0, name="any")
    except FokkerError:
        return
    assert 2 <= system.n_beads <= 10
