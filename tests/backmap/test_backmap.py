"""From beads back to atoms: known frames come back, with their hand, bonds and beads."""

import numpy as np
import pytest

from fokker.backmap import Builder, Library, Minimiser, Yardstick, atoms_of
from fokker.backmap.build import superposed
from fokker.dataset.source import resolve
from fokker.errors import FokkerError
from fokker.trajectory import read_frames, system_from_topology
from tests.helpers import peptides

TOPOLOGY = resolve("embedded:alanine-dipeptide/topology.pdb")
FIVE = "(resname ACE and name C) or (resname ALA and name N CA C) or (resname NME and name N)"


def beads_of(select=FIVE, mapping="atoms", topology=TOPOLOGY):
    return system_from_topology(
        topology, select=select, mapping=mapping, temperature=300.0, name="ala"
    )


def read(name, atoms, stride):
    path = resolve(f"embedded:alanine-dipeptide/{name}.dcd")
    return read_frames(path, atoms.system, stride=stride)


@pytest.fixture(scope="module")
def atoms():
    return atoms_of(beads_of(), TOPOLOGY)


@pytest.fixture(scope="module")
def library(atoms):
    return Library(atoms, read("train", atoms, 10))


@pytest.fixture(scope="module")
def yardstick(atoms, library):
    return Yardstick(atoms.system, library.frames, atoms.that_are_beads)


@pytest.fixture(scope="module")
def held_out(atoms):
    return read("reference", atoms, 100)


def deviation(found, wanted):
    return np.sqrt(np.mean(np.sum((found - wanted) ** 2, axis=-1), axis=-1))


def test_superposition_finds_the_turn_but_no_mirror_image():
    rng = np.random.default_rng(0)
    beads, atoms = rng.normal(size=(5, 3)), rng.normal(size=(2, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    moved, squares = superposed(atoms, beads, beads @ turn + 1.0, np.arange(1.0, 6.0))
    np.testing.assert_allclose(moved, atoms @ turn + 1.0, atol=1e-12)
    assert squares < 1e-20
    assert superposed(atoms, beads, -beads, np.ones(5))[1] > 0.01


def test_frames_of_other_trajectories_come_back(library, yardstick, held_out):
    atoms = library.atoms
    beads = atoms.beads(held_out)
    built = Builder(library, yardstick)(beads)
    np.testing.assert_allclose(atoms.beads(built), beads, atol=1e-6)
    # half of the atoms are beads; the oxygens, methyls and CB hang on them by one bond
    apart = deviation(built, held_out)
    assert np.median(apart) < 0.02
    assert np.quantile(apart, 0.99) < 0.06
    quality = yardstick(built)
    assert quality.mirrored.sum() == 0
    assert quality.clashes.mean() <= yardstick(library.frames).clashes.mean() + 0.05


def test_a_frame_of_the_library_comes_back_however_it_is_turned(library, yardstick):
    frames = library.frames[:50].astype(float)
    turn = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    built = Builder(library, yardstick)(library.atoms.beads(frames) @ turn + 3.0)
    # not always from itself: another frame may fit as well and have likelier joints
    assert np.median(deviation(built, frames @ turn + 3.0)) < 0.01


def test_hand_is_that_of_the_library(library, yardstick, held_out):
    mirror = np.array([1.0, 1.0, -1.0])
    atoms = library.atoms
    right = Library(atoms, library.frames * mirror)
    own = Yardstick(atoms.system, right.frames)
    built = Builder(right, own)(atoms.beads(held_out * mirror))
    assert own.centres
    assert own(built).mirrored.sum() == 0
    assert (yardstick(built).mirrored == len(own.centres)).all()


def test_every_fault_is_counted(library, yardstick):
    # frames without a bad contact of their own
    sound = library.frames[yardstick(library.frames).clashes == 0][:3].astype(float)
    names = [bead.name for bead in library.atoms.system.beads]
    stretched, crashed = sound.copy(), sound.copy()
    stretched[0, names.index("O")] += 0.1
    stretched[1, names.index("N", 5)] += 0.1  # of NME: a bead, bonded to a bead and to a methyl
    crashed[1, -1] = sound[1, 0] + 0.1
    assert yardstick(sound).sound.all()
    assert yardstick(stretched).bonds.tolist() == [1, 2, 0]
    assert yardstick(stretched).of_beads[0].tolist() == [0, 1, 0]
    assert (yardstick(crashed).clashes > 0).tolist() == [False, True, False]
    assert yardstick(-sound).mirrored.all()


@pytest.mark.parametrize("mapping", ["residues", "alpha-carbons"])
def test_beads_of_whole_residues_keep_their_place(library, yardstick, held_out, mapping, tmp_path):
    if mapping == "alpha-carbons":  # of a molecule with more than one
        topology = peptides.write_pdb(tmp_path / "AS.pdb", "ALA SER")
        system = beads_of("all", mapping, topology)
        atoms = atoms_of(system, topology)
        assert [atoms.system.beads[i].name for (i,) in atoms.groups] == ["CA", "CA"]
        return
    atoms = atoms_of(beads_of("all", mapping), TOPOLOGY)
    library = Library(atoms, library.frames)
    beads = atoms.beads(held_out)
    built = Builder(library, yardstick)(beads)
    np.testing.assert_allclose(atoms.beads(built), beads, atol=1e-6)
    pytest.importorskip("openmm")
    final = Minimiser(atoms, library.frames[0])(built[:3])
    np.testing.assert_allclose(atoms.beads(final), beads[:3], atol=1e-6)


def test_atoms_of_a_topology_that_is_not_that_of_the_run(tmp_path):
    """Beads are found by name in a topology of more atoms than the run was trained on."""
    two = peptides.write_pdb(tmp_path / "AS.pdb", "ALA SER")
    few = tmp_path / "few.pdb"
    lines = two.read_text().splitlines(True)
    few.write_text(
        "".join(line for line in lines if line[13:15] in ("N ", "CA", "C ") or "END" in line)
    )
    beads = beads_of("all", topology=few)
    with pytest.raises(FokkerError, match="has the beads only"):
        atoms_of(beads, few)
    found = atoms_of(beads, two)
    assert found.system.n_beads == 10
    assert [found.system.beads[i].label for (i,) in found.groups] == list(beads.labels)
    with pytest.raises(FokkerError, match="has no atom ALA1-N, which is a bead"):
        atoms_of(beads, TOPOLOGY)


def test_another_molecule_of_as_many_atoms_is_refused(tmp_path):
    first = peptides.write_pdb(tmp_path / "AS.pdb", "ALA SER")
    other = peptides.write_pdb(tmp_path / "SA.pdb", "SER ALA")
    with pytest.raises(FokkerError, match="SER-N, in the run's own topology ALA-N"):
        atoms_of(beads_of("name CA", topology=first), other)


def test_minimisation_holds_the_beads_and_mends_bonds(library, yardstick, held_out):
    pytest.importorskip("openmm")
    atoms = library.atoms
    beads = atoms.beads(held_out[:8])
    built = Builder(library, yardstick)(beads)
    minimiser = Minimiser(atoms, library.frames[0])
    assert minimiser.added == 12  # 22 atoms in all
    shaken = atoms.anchored(
        built + np.random.default_rng(0).normal(scale=0.02, size=built.shape), beads
    )
    assert yardstick(shaken).bonds.sum() > 8
    final = minimiser(shaken)
    np.testing.assert_allclose(atoms.beads(final), beads, atol=1e-6)
    assert yardstick(final).sound.all()
    assert deviation(final, held_out[:8]).max() < 0.06


def test_a_frame_that_cannot_be_minimised_is_told(library):
    pytest.importorskip("openmm")
    lost = np.repeat(library.frames[:1].astype(float), 2, axis=0)
    lost[1, 4] = lost[1, 3]  # no direction in which they repel each other
    found = Minimiser(library.atoms, library.frames[0])(lost)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_a_molecule_without_a_force_field_is_told(tmp_path, monkeypatch):
    pytest.importorskip("openmm")
    monkeypatch.setattr("fokker.backmap.minimise.FORCE_FIELDS", (("amber14-all.xml",),))
    file = peptides.write_pdb(tmp_path / "XX.pdb", "ALA LIG")
    atoms = atoms_of(beads_of("name CA", topology=file), file)
    frame = read_frames(file, atoms.system, min_frames=1)[0]
    with pytest.raises(FokkerError, match="no force field of OpenMM knows the molecule"):
        Minimiser(atoms, frame)
