"""Elements, bonds and lengths of bonds: what a topology leaves out, and what cannot be."""

from pathlib import Path

import mdtraj
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import System
from fokker.trajectory import read_frames, system_from_topology, topology_notes
from fokker.units import ANGSTROM

UNIT = {
    "N": (0.000, 0.000, 0.000),
    "CA": (1.458, 0.000, 0.000),
    "C": (2.005, 1.424, 0.000),
    "O": (1.587, 2.245, -0.816),
    "CB": (1.991, -0.770, -1.210),
}
"""Places of the atoms of a residue, angstrom."""

NEXT_N = np.array([2.931, 1.706, 0.910])
N_FRAMES = 40


def residues(n: int) -> list[dict[str, np.ndarray]]:
    """Places of n residues, each turned so that its N follows the C of the one before."""
    found, origin = [], np.zeros(3)
    turn = np.eye(3)
    half = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    for _ in range(n):
        found.append({name: origin + turn @ np.array(place) for name, place in UNIT.items()})
        origin = origin + turn @ NEXT_N
        turn = turn @ half
    return found


class Peptide:
    """Atoms in the order of a file, which a test may change before it is written."""

    def __init__(self, names: list[str], numbers: list[int] | None = None):
        self.rows = [
            [name, residue, number, name[0], place]
            for residue, number, places in zip(
                names, numbers or range(1, len(names) + 1), residues(len(names)), strict=True
            )
            for name, place in places.items()
        ]

    @property
    def places(self) -> np.ndarray:
        return np.array([row[4] for row in self.rows])

    def frames(self) -> np.ndarray:
        """Frames that shake by 0.003 nm, nm."""
        noise = np.random.default_rng(0).normal(0, 0.003, (N_FRAMES, len(self.rows), 3))
        return (ANGSTROM * self.places + noise).astype(np.float32)

    def pdb(self, path: Path, *, elements: bool = True, left: bool = False) -> Path:
        lines = []
        for serial, (name, residue, number, element, (x, y, z)) in enumerate(self.rows, start=1):
            column = f"{name:<4s}" if left else f" {name:<3s}"
            lines.append(
                f"ATOM  {serial:5d} {column} {residue:<3s} A{number:4d}    "
                f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element if elements else '':>2s}"
            )
        path.write_text("\n".join([*lines, "END", ""]))
        return path

    def gro(self, path: Path) -> Path:
        lines = [
            f"{number:5d}{residue:<5s}{name:>5s}{serial:5d}{x:8.3f}{y:8.3f}{z:8.3f}"
            for serial, (name, residue, number, _, place) in enumerate(self.rows, start=1)
            for x, y, z in [ANGSTROM * place]
        ]
        path.write_text("\n".join(["peptide", str(len(lines)), *lines, "9 9 9", ""]))
        return path


def system_of(path: Path, select: str = "all", mapping: str = "atoms") -> System:
    return system_from_topology(
        path, select=select, temperature=300.0, name="peptide", mapping=mapping
    )


def save(path: Path, frames: np.ndarray) -> Path:
    np.save(path, frames)
    return path


# --- elements -------------------------------------------------------------------------------------


def test_names_decide_in_residues_that_are_known(tmp_path):
    """Left-aligned names, which a reader of columns takes for calcium and cadmium."""
    peptide = Peptide(["ALA", "CYS", "PRO"])
    peptide.rows.append(["SG", "CYS", 2, "S", peptide.rows[9][4] + np.array([0.9, 1.2, 1.0])])
    peptide.rows.append(["CD", "PRO", 3, "C", peptide.rows[10][4] + np.array([0.9, 1.0, 0.6])])
    peptide.rows.sort(key=lambda row: row[2])
    system = system_of(peptide.pdb(tmp_path / "left.pdb", elements=False, left=True))
    assert [bead.element for bead in system.beads] == [bead.name[0] for bead in system.beads]
    assert topology_notes(tmp_path / "left.pdb", system) == []


def test_alpha_carbons_alone_are_no_calcium(tmp_path):
    peptide = Peptide(["ALA", "GLH", "XYZ"])
    peptide.rows = [row for row in peptide.rows if row[0] == "CA"]
    for path in (
        peptide.pdb(tmp_path / "ca.pdb", elements=False, left=True),
        peptide.gro(tmp_path / "ca.gro"),
    ):
        assert [bead.element for bead in system_of(path).beads] == ["C", "C", "C"]


def test_an_ion_is_one(tmp_path):
    peptide = Peptide(["ALA", "ALA"])
    far = np.array([9.0, 9.0, 9.0])
    peptide.rows += [["CA", "CA", 3, "CA", far], ["CLA", "CLA", 4, "CL", 2 * far]]
    system = system_of(peptide.gro(tmp_path / "ions.gro"))
    assert [bead.element for bead in system.beads[-2:]] == ["Ca", "Cl"]


def test_halogens_of_a_gro_file_are_guessed_and_told(tmp_path):
    peptide = Peptide(["LIG"])
    for row, name in zip(peptide.rows, ("C1", "CL1", "BR2", "N1", "FE"), strict=True):
        row[0] = name
    path = peptide.gro(tmp_path / "ligand.gro")
    system = system_of(path)
    assert [bead.element for bead in system.beads] == ["C", "Cl", "Br", "N", "Fe"]
    (told, *_) = topology_notes(path, system)
    assert "states no element of 5 atom(s)" in told
    assert "LIG1-CL1 is Cl" in told


@pytest.mark.parametrize(("stated", "told"), [("SG", "Sg"), ("HE", "He")])
def test_an_element_that_cannot_be_is_told(tmp_path, stated, told):
    peptide = Peptide(["LIG"])
    for row, name in zip(peptide.rows, ("C1", "C2", "O3", "N1", "SG1"), strict=True):
        row[0], row[3] = name, name[0]
    peptide.rows[-1][3] = stated
    path = peptide.pdb(tmp_path / "ligand.pdb")
    system = system_of(path)
    assert system.beads[-1].element == "S"
    assert f"LIG1-SG1 is S, not {told}" in topology_notes(path, system)[0]


def psf(path: Path, masses: dict[str, float]) -> Path:
    """Alanine of a PSF with these masses."""
    names = ["N", "HN", "CA", "HA", "CB", "HB1", "HB2", "HB3", "C", "O"]
    bonds = [(1, 2), (1, 3), (3, 4), (3, 5), (5, 6), (5, 7), (5, 8), (3, 9), (9, 10)]
    atoms = [
        f"{i:8d} P    1    ALA  {n:<4s} {n[0]:<4s} 0.000000 {masses[n[0]]:13.4f}           0"
        for i, n in enumerate(names, start=1)
    ]
    flat = [f"{i:8d}{j:8d}" for i, j in bonds]
    rows = ["".join(flat[at : at + 4]) for at in range(0, len(flat), 4)]
    content = ["PSF", "", "       1 !NTITLE", "* none", "", f"{len(names):8d} !NATOM", *atoms, ""]
    path.write_text("\n".join([*content, f"{len(bonds):8d} !NBOND: bonds", *rows, "", ""]))
    return path


def test_masses_tell_no_element(tmp_path):
    """Three atomic mass units on each hydrogen, taken from its heavy atom."""
    plain = psf(tmp_path / "plain.psf", {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999})
    moved = psf(tmp_path / "moved.psf", {"H": 4.032, "C": 6.94, "N": 10.98, "O": 15.999})
    assert system_of(moved, "not element H").beads == system_of(plain, "not element H").beads


# --- bonds by names and by distances --------------------------------------------------------------


@pytest.mark.parametrize("name", ["GLH", "ASH", "LYN", "CYM", "HIP", "SEP", "NLE", "XYZ"])
def test_residues_have_the_bonds_of_their_parents(tmp_path, name):
    peptide = Peptide(["ALA", name, "ALA"])
    system = system_of(peptide.pdb(tmp_path / "peptide.pdb"))
    within = [("N", "CA"), ("CA", "C"), ("C", "O"), ("CA", "CB")]
    residue = system.beads[5].residue
    expected = {
        *(frozenset((f"{residue}2-{a}", f"{residue}2-{b}")) for a, b in within),
        frozenset(("ALA1-C", f"{residue}2-N")),
        frozenset((f"{residue}2-C", "ALA3-N")),
    }
    found = {frozenset(label.split()) for label in system.bond_labels}
    assert expected <= found
    assert len(found) == 14  # a tree of 15 atoms


def test_a_box_that_cuts_a_protonated_residue_is_repaired(tmp_path):
    peptide = Peptide(["ALA", "LYN", "ALA"])
    system = system_of(peptide.pdb(tmp_path / "peptide.pdb"))
    box = 2.0
    folded = np.mod(peptide.frames() + np.linspace(0, box, N_FRAMES)[:, None, None], box)
    topology = mdtraj.load(tmp_path / "peptide.pdb").topology
    trajectory = mdtraj.Trajectory(folded, topology)
    trajectory.unitcell_vectors = np.repeat(box * np.eye(3)[None], N_FRAMES, 0)
    trajectory.save(str(tmp_path / "folded.dcd"))
    found = read_frames(tmp_path / "folded.dcd", system)
    whole = peptide.frames()
    relative = [x - x[:, :1] for x in (found, whole)]
    assert np.abs(relative[0] - relative[1]).max() < 1e-5  # float32 in a box of 2 nm


@pytest.mark.parametrize("suffix", ["pdb", "gro"])
def test_atoms_that_no_name_explains_are_bonded_by_distance(tmp_path, suffix):
    peptide = Peptide(["LIG"])
    for row, name in zip(peptide.rows, ("N1", "C2", "C3", "O4", "C5"), strict=True):
        row[0] = name
    path = getattr(peptide, suffix)(tmp_path / f"ligand.{suffix}")
    system = system_of(path)
    assert system.bonds == ((0, 1), (1, 2), (1, 4), (2, 3))
    assert any("LIG" in note and "distances" in note for note in topology_notes(path, system))


def test_an_acid_at_the_end_keeps_its_hydrogen(tmp_path):
    """HT2 of CHARMM, which is on an oxygen there, and on the nitrogen where a chain begins."""
    peptide = Peptide(["ALA", "ALA"])
    carbon = peptide.rows[7][4]
    oxygen = carbon + np.array([1.1, -0.4, 0.6])
    peptide.rows.append(["OT2", "ALA", 2, "O", oxygen])
    peptide.rows.append(["HT2", "ALA", 2, "H", oxygen + np.array([0.6, -0.3, 0.7])])
    system = system_of(peptide.pdb(tmp_path / "acid.pdb"))
    assert (10, 11) in system.bonds
    assert len(system.bonds) == 11
    assert len(read_frames(save(tmp_path / "md.npy", peptide.frames()), system)) == N_FRAMES


# --- lengths of bonds -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "match"),
    [
        (10.0, "look like angstrom, not nm"),
        (1 / 0.529177, "look like Bohr, not angstrom"),
        (10 / 0.529177, "look like Bohr, not nm"),
        (0.1, "too small for nm"),
        (0.5, "a scale factor that was not applied"),
        (3.0, "a scale factor that was not applied"),
    ],
)
@pytest.mark.parametrize("select", ["all", "name CA"])
def test_another_unit(tmp_path, factor, match, select):
    """Also of atoms that are no beads, where the file has them."""
    peptide = Peptide(["ALA", "SER", "ALA"])
    system = system_of(peptide.pdb(tmp_path / "peptide.pdb"), select)
    path = save(tmp_path / "md.npy", factor * peptide.frames())
    with pytest.raises(FokkerError, match=match):
        read_frames(path, system)
    assert len(read_frames(save(path, peptide.frames()), system)) == N_FRAMES


@pytest.mark.parametrize("order", ["reversed", "sorted", "swapped"])
def test_another_order(tmp_path, order):
    peptide = Peptide(["ALA", "SER", "ALA"])
    system = system_of(peptide.pdb(tmp_path / "peptide.pdb"))
    n = len(peptide.rows)
    swapped = list(range(n))
    swapped[5], swapped[8] = 8, 5
    orders = {
        "reversed": list(range(n))[::-1],
        "sorted": sorted(range(n), key=lambda i: peptide.rows[i][3]),
        "swapped": swapped,
    }
    path = save(tmp_path / "md.npy", peptide.frames()[:, orders[order]])
    with pytest.raises(FokkerError, match="in another order than those of the topology"):
        read_frames(path, system)


def test_a_gap_is_no_jump_across_a_box(tmp_path):
    peptide = Peptide(["ALA", "GLY", "ALA", "ALA"], [1, 2, 7, 8])
    for row in peptide.rows[10:]:
        row[4] = row[4] + np.array([0.0, 9.0, 0.0])
    system = system_of(peptide.pdb(tmp_path / "gap.pdb"))
    path = save(tmp_path / "md.npy", peptide.frames())
    with pytest.raises(FokkerError, match=r"residues 3 to 6 are missing between GLY2-C and ALA7-N"):
        read_frames(path, system)


def test_numbers_that_skip_along_a_bond_are_fine(tmp_path):
    peptide = Peptide(["ALA", "GLY", "ALA", "ALA"], [1, 2, 7, 8])
    system = system_of(peptide.pdb(tmp_path / "skip.pdb"))
    assert len(read_frames(save(tmp_path / "md.npy", peptide.frames()), system)) == N_FRAMES


def test_coarse_beads_have_no_length_of_elements(tmp_path):
    """Bonds of beads that are stated: C-alphas, and N with CB, which are two bonds apart."""
    peptide = Peptide(["ALA", "ALA", "ALA"])
    for names in (("CA",), ("N", "CB")):
        rows = [row for row in peptide.rows if row[0] in names]
        coarse = Peptide(["ALA"])
        coarse.rows = rows
        path = coarse.pdb(tmp_path / "coarse.pdb")
        bonds = [f"CONECT{i:5d}{i + 1:5d}" for i in range(1, len(rows))]
        path.write_text("\n".join([*path.read_text().splitlines()[:-1], *bonds, "END", ""]))
        system = system_of(path)
        assert len(system.bonds) == len(rows) - 1
        assert len(read_frames(save(tmp_path / "md.npy", coarse.frames()), system)) == N_FRAMES


# --- what a trajectory calls its atoms ------------------------------------------------------------


def xyz(path: Path, words: list[str], frames: np.ndarray) -> Path:
    lines = []
    for frame in frames / ANGSTROM:
        lines += [str(len(words)), "frame"]
        lines += [
            f"{word} {x:.5f} {y:.5f} {z:.5f}" for word, (x, y, z) in zip(words, frame, strict=True)
        ]
    path.write_text("\n".join([*lines, ""]))
    return path


@pytest.mark.parametrize("kind", [3, 0], ids=["elements", "names"])
def test_symbols_of_an_xyz_file_are_compared(tmp_path, kind):
    peptide = Peptide(["ALA", "SER"])
    system = system_of(peptide.pdb(tmp_path / "peptide.pdb"))
    words = [row[kind] for row in peptide.rows]
    right = xyz(tmp_path / "right.xyz", words, peptide.frames())
    assert len(read_frames(right, system)) == N_FRAMES
    words[0], words[2] = words[2], words[0]
    wrong = xyz(tmp_path / "wrong.xyz", words, peptide.frames())
    with pytest.raises(FokkerError, match=r"atom 0 \(from 0\) is 'C', but ALA1-N in the topology"):
        read_frames(wrong, system)


@pytest.mark.parametrize("words", [["X"] * 10, ["C"] * 10, ["1", "2", "3", "3", "1"] * 2])
def test_labels_that_are_no_elements_are_left_alone(tmp_path, words):
    peptide = Peptide(["ALA", "SER"])
    system = system_of(peptide.pdb(tmp_path / "peptide.pdb"))
    path = xyz(tmp_path / "labels.xyz", words, peptide.frames())
    assert len(read_frames(path, system)) == N_FRAMES
