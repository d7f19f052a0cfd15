"""HDF5 as trajectory: arrays at the top, MDTraj's and H5MD's."""

import h5py
import mdtraj
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import Bead, System
from fokker.trajectory import read_frames, topology_of

N_ATOMS, N_FRAMES = 8, 25
BOX = np.array([[2.0, 0, 0], [-0.6, 2.2, 0], [0.5, -0.4, 2.4]])


@pytest.fixture
def system() -> System:
    bonds = tuple((i, i + 1) for i in range(N_ATOMS - 1))
    beads = tuple(Bead(name="C") for _ in range(N_ATOMS))
    return System(name="chain", dim=3, beads=beads, kT=2.5, bonds=bonds)


@pytest.fixture
def positions() -> np.ndarray:
    rng = np.random.default_rng(0)
    line = 0.14 * np.arange(N_ATOMS)[:, None] * np.eye(1, 3)
    shift = rng.uniform(-3, 3, (N_FRAMES, 1, 3))
    return (line + 0.01 * rng.normal(size=(N_FRAMES, N_ATOMS, 3)) + shift).astype(np.float32)


def apart(found, wanted):
    return np.abs((found - found[:, :1]) - (wanted - wanted[:, :1])).max()


def folded(positions, box):
    return positions - np.floor(positions @ np.linalg.inv(box)) @ box


@pytest.mark.parametrize("name", ["positions", "coordinates", "particles/protein/position/value"])
@pytest.mark.parametrize(
    ("unit", "factor"), [(None, 1), ("nm", 1), ("nanometers", 1), ("Angstrom", 10), ("pm", 1000)]
)
@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".h5md", ".H5"])
def test_arrays_and_units(tmp_path, system, positions, name, unit, factor, suffix):
    path = tmp_path / f"f{suffix}"
    with h5py.File(path, "w") as file:
        file[name] = factor * positions
        if unit is not None:
            file[name].attrs["unit"] = unit
    assert np.abs(read_frames(path, system) - positions).max() < 2e-6


def test_files_of_mdtraj(tmp_path, system, positions):
    path = tmp_path / "f.h5"
    trajectory = mdtraj.Trajectory(positions, topology_of(system))
    trajectory.save(str(path))
    np.testing.assert_array_equal(read_frames(path, system), positions)
    trajectory = mdtraj.Trajectory(folded(positions, BOX), topology_of(system))
    trajectory.unitcell_vectors = np.repeat(BOX[None], N_FRAMES, 0)
    trajectory.save(str(path))
    assert apart(read_frames(path, system), positions) < 1e-5  # angles in float32


@pytest.mark.parametrize("shape", ["edges", "cube", "matrix", "each edges", "each matrix"])
@pytest.mark.parametrize("factor", [1, 10])
def test_boxes_of_h5md(tmp_path, system, positions, shape, factor):
    box = np.diag(np.diag(BOX)) if "edges" in shape or shape == "cube" else BOX
    value = np.diag(box) if "edges" in shape or shape == "cube" else box
    value = np.repeat(value[None], N_FRAMES, 0) if "each" in shape else value
    path = tmp_path / "f.h5md"
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all/box")
        group.attrs["boundary"] = np.array([b"periodic"] * 3)
        place = "particles/all/box/edges" + ("/value" if "each" in shape else "")
        file[place] = factor * value
        file["particles/all/position/value"] = factor * folded(positions, box)
        if factor == 10:
            file[place].attrs["unit"] = "Angstrom"
            file["particles/all/position/value"].attrs["unit"] = "Angstrom"
    assert apart(read_frames(path, system), positions) < 1e-5


def test_the_group_that_fits_is_taken(tmp_path, system, positions):
    path = tmp_path / "f.h5md"
    with h5py.File(path, "w") as file:
        file["particles/a_solvent/position/value"] = np.zeros((N_FRAMES, 99, 3), np.float32)
        file["particles/protein/position/value"] = positions
    np.testing.assert_array_equal(read_frames(path, system), positions)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"velocities": np.zeros((3, 8, 3))}, "has no 'positions'.*velocities are there"),
        ({"positions": np.zeros((3, 24))}, r"positions have the shape \(3, 24\)"),
        ({"positions": np.zeros((3, 8, 3), int)}, "hold int64"),
        ({"positions": np.zeros((0, 8, 3))}, "at least one frame"),
        ({"particles/all/position/step": np.arange(3)}, "has no 'positions'"),
    ],
)
def test_bad_files(tmp_path, system, content, match):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value
    with pytest.raises(FokkerError, match=match):
        read_frames(path, system)


def test_unknown_unit(tmp_path, system, positions):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["positions"] = positions
        file["positions"].attrs["units"] = "furlong"
    with pytest.raises(FokkerError, match="are in 'furlong'; convert them to nm"):
        read_frames(path, system)
