"""Frames with forces: NPZ and HDF5 files, and every way they can be wrong."""

import h5py
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.trajectory import read_labelled, system_from_topology
from fokker.trajectory.force_map import internal_part

KT = 0.00831446261815324 * 300.0
PDB = """\
ATOM      1  C1  MOL A   1       0.000   0.000   0.000  1.00  0.00           C
ATOM      2  H1  MOL A   1       0.000   1.100   0.000  1.00  0.00           H
ATOM      3  C2  MOL A   1       1.500   0.000   0.000  1.00  0.00           C
ATOM      4  C3  MOL A   1       2.000   1.400   0.000  1.00  0.00           C
CONECT    1    2    3
CONECT    3    1    4
END
"""
MEAN = 0.1 * np.array([[0.0, 0.0, 0.0], [0.0, 1.1, 0.0], [1.5, 0.0, 0.0], [2.0, 1.4, 0.0]])
NAMES = np.array(["C1", "H1", "C2", "C3"])


def frames(n=400, seed=0):
    """Atoms that swing about their places, as far as a real bond does, and the forces on them."""
    width = 0.004
    shift = np.random.default_rng(seed).normal(size=(n, 4, 3)) * width
    return (MEAN + shift).astype(np.float32), (-KT * shift / width**2).astype(np.float32)


@pytest.fixture
def system(tmp_path):
    path = tmp_path / "top.pdb"
    path.write_text(PDB)
    return system_from_topology(path, select="element C", temperature=300.0, name="bent")


@pytest.fixture
def save(tmp_path):
    def write(name="f.npz", **changes):
        positions, forces = frames()
        held = {"positions": positions, "forces": forces, "names": NAMES} | changes
        path = tmp_path / name
        np.savez(path, **{key: value for key, value in held.items() if value is not None})
        return path

    return write


def refused(path, system, match, **options):
    with pytest.raises(FokkerError, match=match) as caught:
        read_labelled(path, system, **options)
    assert str(path) in str(caught.value) or "forces:" in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["atoms", "optimal"])
def test_npz_is_read_and_mapped(save, system, kind):
    found = read_labelled(save(), system, kind=kind)
    assert found.positions.shape == found.forces.shape == (400, 3, 3)
    np.testing.assert_allclose(found.positions, frames()[0][:, [0, 2, 3]])
    np.testing.assert_allclose(found.forces.sum(axis=1), 0.0, atol=1e-2)
    assert len(read_labelled(save(), system, stride=7).forces) == 58


def test_beads_alone_are_read(save, system):
    positions, forces = frames()
    own = positions[:, [0, 2, 3]], forces[:, [0, 2, 3]]
    path = save(positions=own[0], forces=own[1], names=None)
    for kind in ("atoms", "optimal"):
        found = read_labelled(path, system, kind=kind)
        np.testing.assert_allclose(found.positions, own[0])
        # each force is that of its bead, without what moves or turns the whole
        np.testing.assert_allclose(found.forces, internal_part(own[1], own[0]), atol=0.1)
        np.testing.assert_allclose(found.forces.sum(axis=1), 0.0, atol=1e-2)


@pytest.mark.parametrize(
    "layout", ["forces", "coordinates", "h5md"], ids=["plain", "mdtraj", "h5md"]
)
def test_hdf5_is_read(tmp_path, save, system, layout):
    positions, forces = frames()
    path = tmp_path / "f.h5"
    names = {
        "forces": ("positions", "forces"),
        "coordinates": ("coordinates", "forces"),
        "h5md": ("particles/all/position/value", "particles/all/force/value"),
    }[layout]
    with h5py.File(path, "w") as file:
        file[names[0]], file[names[1]] = positions, forces
        file[names[0]].attrs["units"] = "nanometers"
        file[names[1]].attrs["units"] = "kilojoules_per_mole/nanometer"
    found = read_labelled(path, system)
    np.testing.assert_array_equal(found.forces, read_labelled(save(), system).forces)


POSITIONS, FORCES = frames()


def at(frame, array, value):
    """The array with another value throughout one frame."""
    changed = array.copy()
    changed[frame] = value
    return changed


TORN = at(5, POSITIONS, POSITIONS[5] + np.array([[0], [0], [5.0], [5.0]]))
OBJECTS = np.array([{}, 1, 2, 3], dtype=object)
BAD = {
    "nan": ({"forces": at(7, FORCES, np.nan)}, "frame 7 has a force that is NaN"),
    "lost": ({"forces": at(9, FORCES, 0.0)}, "frame 9 has no force"),
    "position": ({"positions": at(3, POSITIONS, np.inf)}, "frame 3 has a position"),
    "short": ({"forces": FORCES[:-1]}, "do not belong together"),
    "flat": ({"forces": FORCES.reshape(400, -1)}, "have the shape"),
    "integers": ({"forces": FORCES.astype(int)}, "floating-point"),
    "missing": ({"forces": None}, "has no 'forces'"),
    "names": ({"names": NAMES[::-1]}, "is called 'C3'"),
    "few names": ({"names": NAMES[:2]}, "for each of the 4 atoms"),
    "atoms": ({"positions": POSITIONS[:, :2], "forces": FORCES[:, :2], "names": None}, "2 atoms"),
    "angstrom": ({"positions": 10 * POSITIONS, "forces": FORCES / 10}, "look like angstrom"),
    "kcal": ({"forces": FORCES / 41.84}, "kcal/mol/angstrom"),
    "gradient": ({"forces": -FORCES}, "not gradients"),
    "objects": ({"names": OBJECTS}, "Python objects"),
    "none": ({"positions": POSITIONS[:0], "forces": FORCES[:0]}, "at least one frame"),
    "torn": ({"positions": TORN}, "in frame 5 the bonded atoms"),
}


@pytest.mark.parametrize(("changes", "match"), BAD.values(), ids=BAD)
def test_bad_arrays_are_refused_in_one_sentence(save, system, changes, match):
    refused(save(**changes), system, match)


def test_bad_files_are_refused_in_one_sentence(tmp_path, save, system):
    refused(tmp_path / "none.npz", system, "does not exist")
    refused(tmp_path / "f.xtc", system, "are read from .npz")
    whole = save().read_bytes()
    for name, content in {"a.npz": b"PK\3\4 no", "b.npz": whole[:-900], "c.h5": whole}.items():
        path = tmp_path / name
        path.write_bytes(content)
        refused(path, system, "not a readable")


def test_a_size_that_the_file_does_not_hold_is_never_allocated(tmp_path, save, system):
    """Zeros compress a thousandfold: the headers alone tell."""
    path = tmp_path / "bomb.npz"
    zeros = np.zeros((40_000, 4, 3), np.float32)
    np.savez_compressed(path, positions=zeros, forces=zeros)
    refused(path, system, "100 times its size")


def test_hdf5_that_borrows_or_says_another_unit_is_refused(tmp_path, system):
    positions, forces = frames()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["forces"] = forces
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["positions"], file["forces"] = positions, h5py.ExternalLink("other.h5", "/forces")
    refused(path, system, "another file")
    with h5py.File(path, "w") as file:
        file["positions"], file["forces"] = positions, forces
        file["forces"].attrs["units"] = "kcal/mol/angstrom"
    refused(path, system, "convert them to kJ/mol/nm")
    with h5py.File(path, "w") as file:
        file["positions"] = positions
    refused(path, system, "has no 'forces'")
