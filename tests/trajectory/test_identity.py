"""Chains, residues and names: what is one molecule, how beads are called, and what files keep."""

from pathlib import Path

import mdtraj
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import System
from fokker.trajectory import system_from_topology, write_topology
from fokker.trajectory.reading import read_frames
from fokker.variables import find_bead

BACKBONE = {"N": (0.0, 0.0, 0.0), "CA": (1.46, 0.0, 0.0), "C": (2.0, 1.42, 0.0)}
"""Angstrom; the next residue is 3.3 further."""


def system_of(path: Path, select: str = "all", mapping: str = "atoms") -> System:
    return system_from_topology(
        path, select=select, temperature=300.0, name="molecule", mapping=mapping
    )


def pdb(path: Path, *chains: str, ter: bool = True, extra: str = "") -> Path:
    """Chains such as `A 1 2 3A`: a letter (`_` for none) and residues of three atoms each."""
    lines, serial = [], 0
    for chain in chains:
        letter, *places = chain.split()
        for place in places:
            number, code = place.rstrip("ABC"), place.lstrip("-0123456789") or " "
            for name, (x, y, z) in BACKBONE.items():
                x, serial = x + 3.3 * (serial // 3), serial + 1
                lines.append(
                    f"ATOM  {serial:5d}  {name:<3s} GLY {letter.replace('_', ' ')}{number:>4s}"
                    f"{code}   {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           {name[0]}"
                )
        lines += ["TER"] * ter
    path.write_text("\n".join([*lines, extra, "END", ""]))
    return path


def gro(path: Path, rows: list[tuple[int, str, str]], title: str = "molecule") -> Path:
    """Atoms given by residue number, residue and name, in a line with 0.15 nm between."""
    lines = [
        f"{number:5d}{residue:<5s}{name:>5s}{i:5d}{0.15 * i:8.3f}{0:8.3f}{0:8.3f}"
        for i, (number, residue, name) in enumerate(rows, start=1)
    ]
    path.write_text("\n".join([title, str(len(rows)), *lines, "   9.0   9.0   9.0", ""]))
    return path


def peptide(*numbers: int) -> list[tuple[int, str, str]]:
    return [(number, "GLY", name) for number in numbers for name in BACKBONE]


def chains_of(system: System) -> list[tuple[str, int]]:
    """Name and number of beads of each chain, in order."""
    found: dict[int, list[str]] = {}
    for bead in system.beads:
        found.setdefault(bead.chain_index, []).append(bead.chain)
    assert all(len(set(names)) == 1 for names in found.values())
    return [(names[0], len(names)) for names in found.values()]


# --- chains -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chains", "ter", "expected"),
    [
        (("_ 1 2 3", "_ 1 2 3"), False, [("A", 9), ("B", 9)]),
        (("_ 1 2 3", "_ 1 2 3"), True, [("A", 9), ("B", 9)]),
        (("A 1 2 3", "A 1 2 3"), False, [("A", 9), ("B", 9)]),
        (("A 1 2 3", "A 1 2 3"), True, [("A", 9), ("B", 9)]),
        (("A 1 2", "A 3 4"), True, [("A", 6), ("A", 6)]),  # a letter may come twice
        (("A 1 2", "B 1 2", "A 7"), True, [("A", 6), ("B", 6), ("A", 3)]),
        (("B 1 2", "B 1 2"), False, [("B", 6), ("A", 6)]),
        (("A 10 11 12", "A 2 3"), False, [("A", 9), ("A", 6)]),  # below all numbers before
        (("A 3 2 1",), False, [("A", 9)]),  # numbers that count down
        (("A 1 2 1001 1002 3 4",), False, [("A", 18)]),  # a protein inserted into another
        (("A 100 100A 100B 101",), False, [("A", 12)]),
        (("A 5 5A", "A 5 5A"), False, [("A", 6), ("B", 6)]),
        (("H 1 2",), False, [("H", 6)]),
        (("_ 1 2",), False, [("", 6)]),
    ],
)
def test_chains_of_pdb_files(tmp_path, chains, ter, expected):
    system = system_of(pdb(tmp_path / "m.pdb", *chains, ter=ter))
    assert chains_of(system) == expected
    assert len(system.bonds) == system.n_beads - len(expected)
    assert len(set(system.labels)) == system.n_beads
    names = [variable.name for variable in system.collective_variables]
    assert len(set(names)) == len(names)


def test_bonds_within_and_between_chains_that_a_file_states_stay(tmp_path):
    extra = "CONECT    2   11\nCONECT   11    2"
    system = system_of(pdb(tmp_path / "m.pdb", "_ 1 2", "_ 1 2", ter=False, extra=extra))
    assert (1, 10) in system.bonds
    assert len(system.bonds) == 11


def test_chains_of_gro_files(tmp_path):
    system = system_of(gro(tmp_path / "m.gro", peptide(1, 2, 3, 1, 2)))
    assert chains_of(system) == [("A", 9), ("B", 6)]
    assert (8, 9) not in system.bonds
    crossing = [v for v in system.collective_variables if v.indices[0] < 9 <= v.indices[-1]]
    assert not crossing


def test_residues_joined_along_a_chain_of_carbons_stop_at_its_end(tmp_path):
    system = system_of(gro(tmp_path / "m.gro", peptide(1, 2, 3, 1, 2, 3)), "name CA")
    assert system.bonds == ((0, 1), (1, 2), (3, 4), (4, 5))


def test_equal_molecules_in_one_residue_are_told_apart(tmp_path):
    ring = [(1, "LIG", name) for name in ("C1", "C2", "O1")]
    assert chains_of(system_of(gro(tmp_path / "m.gro", ring * 3))) == [("A", 3), ("B", 3), ("C", 3)]
    unnamed = [(1, "LIG", name) for name in "CCCC"]  # one molecule, as converters write it
    assert chains_of(system_of(gro(tmp_path / "m.gro", unnamed))) == [("", 4)]


def test_a_residue_in_two_places_of_a_file_is_one(tmp_path):
    rows = [*peptide(1, 2), (1, "GLY", "O"), (2, "GLY", "O")]
    path = gro(tmp_path / "m.gro", rows)
    assert [len(group) for group in system_of(path, mapping="residues").mapping.groups] == [4, 4]
    system = system_of(path)
    assert [bead.name for bead in system.beads] == [name for *_, name in rows]
    assert {(2, 6), (5, 7), (2, 3)} <= set(system.bonds)


PSF = """PSF

       1 !NTITLE
 REMARKS made for a test

{natom:8d} !NATOM
{atoms}

{nbond:8d} !NBOND: bonds
{bonds}

"""


def psf(path: Path, residues: list[tuple[str, int]], bonds: list[tuple[int, int]]) -> Path:
    atoms = [(segment, number, name) for segment, number in residues for name in BACKBONE]
    mass = {"N": 14.007, "C": 12.011}
    rows = [
        f"{i:8d} {segment:4s} {number:<4d} GLY  {name:4s} {name[0]:4s}  0.0 {mass[name[0]]:13.4f} 0"
        for i, (segment, number, name) in enumerate(atoms, start=1)
    ]
    flat = "".join(f"{i + 1:8d}{j + 1:8d}" for i, j in bonds)
    text = PSF.format(natom=len(rows), atoms="\n".join(rows), nbond=len(bonds), bonds=flat)
    path.write_text(text)
    return path


INNER = [(3 * r + i, 3 * r + i + 1) for r in range(4) for i in (0, 1)]


@pytest.mark.parametrize(
    ("residues", "joints", "expected"),
    [
        ([("PRO1", 1), ("PRO1", 2), ("PRO2", 1), ("PRO2", 2)], (0, 2), [("PRO1", 6), ("PRO2", 6)]),
        ([("PRO", 1), ("PRO", 2), ("PRO", 1), ("PRO", 2)], (0, 2), [("PRO", 6), ("A", 6)]),
        ([("PRO", 1), ("PRO", 2), ("PRO", 3), ("PRO", 4)], (0, 2), [("PRO", 6), ("PRO", 6)]),
        # stated bonds decide: one molecule whose numbers start again
        ([("PRO", 1), ("PRO", 2), ("PRO", 1), ("PRO", 2)], (0, 1, 2), [("PRO", 12)]),
    ],
)
def test_chains_of_a_format_that_states_bonds(tmp_path, residues, joints, expected):
    bonds = [*INNER, *((3 * r + 2, 3 * r + 3) for r in joints)]
    system = system_of(psf(tmp_path / "m.psf", residues, bonds))
    assert chains_of(system) == expected
    assert set(system.bonds) == set(bonds)
    known = {frozenset(bond) for bond in bonds}
    for variable in system.collective_variables:
        pairs = zip(variable.indices, variable.indices[1:], strict=False)
        assert all(frozenset(pair) in known for pair in pairs)


# --- numbers and codes --------------------------------------------------------------------------


def prmtop(path: Path, tables: str = "") -> Path:
    """Two glycines of three atoms, in the sections that are read."""

    def section(flag: str, form: str, *lines: str) -> str:
        return "\n".join([f"%FLAG {flag}", f"%FORMAT({form})", *lines, ""])

    pointers = [6, 2, 0, 5, *[0] * 7, 2, *[0] * 19]
    rows = ["".join(f"{n:8d}" for n in pointers[at : at + 10]) for at in range(0, 31, 10)]
    path.write_text(
        "%VERSION  VERSION_STAMP = V0001.000  DATE = 01/01/26  00:00:00\n"
        + section("POINTERS", "10I8", *rows)
        + section("ATOM_NAME", "20a4", "".join(f"{name:<4s}" for name in [*BACKBONE] * 2))
        + section("ATOMIC_NUMBER", "10I8", "".join(f"{n:8d}" for n in (7, 6, 6) * 2))
        + section("RESIDUE_LABEL", "20a4", "GLY GLY ")
        + section("RESIDUE_POINTER", "10I8", "".join(f"{n:8d}" for n in (1, 4)))
        + section("BONDS_INC_HYDROGEN", "10I8", "")
        + section(
            "BONDS_WITHOUT_HYDROGEN",
            "10I8",
            *("".join(f"{n:8d}" for n in (3 * i, 3 * i + 3, 1)) for i in range(5)),
        )
        + tables
    )
    return path


def test_residues_of_an_amber_topology_count_from_one_or_as_its_table_says(tmp_path):
    plain = system_of(prmtop(tmp_path / "m.prmtop"))
    assert plain.labels[::3] == ("GLY1-N", "GLY2-N")
    tables = (
        "%FLAG RESIDUE_NUMBER\n%COMMENT of the PDB file\n%FORMAT(20I4)\n  52  52\n"
        "%FLAG RESIDUE_ICODE\n%FORMAT(20a4)\n    A   \n"
        "%FLAG RESIDUE_CHAINID\n%FORMAT(20a4)\nL   L   \n"
    )
    told = system_of(prmtop(tmp_path / "t.prmtop", tables))
    assert told.labels[::3] == ("GLY52-N", "GLY52A-N")
    assert chains_of(told) == [("L", 6)]


def test_insertion_codes_are_part_of_labels_and_variables(tmp_path):
    system = system_of(pdb(tmp_path / "m.pdb", "H 99 100 100A 100B 101"), "all")
    assert system.labels[1::3] == (
        *("GLY99-CA", "GLY100-CA", "GLY100A-CA", "GLY100B-CA", "GLY101-CA"),
    )
    assert "phi GLY100A" in [v.name for v in system.collective_variables]
    assert find_bead(system.labels, "GLY100A-CA") == 7


def test_insertion_codes_of_mmcif(tmp_path):
    names = [
        *("group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id"),
        *("label_asym_id", "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code", "Cartn_x"),
        *("Cartn_y", "Cartn_z", "auth_seq_id", "auth_comp_id", "auth_asym_id", "auth_atom_id"),
        "pdbx_PDB_model_num",
    ]
    rows = [
        f"ATOM {3 * r + i + 1} {name[0]} {name} . GLY L 1 {r + 1} {code} {3.3 * r + x} {y} {z} "
        f"27 GLY L {name} 1"
        for r, code in enumerate("?AB")
        for i, (name, (x, y, z)) in enumerate(BACKBONE.items())
    ]
    path = tmp_path / "m.cif"
    heads = [f"_atom_site.{name}" for name in names]
    path.write_text("\n".join(["data_m", "loop_", *heads, *rows, "#", ""]))
    system = system_of(path)
    assert system.labels[::3] == ("GLY27-N", "GLY27A-N", "GLY27B-N")
    assert chains_of(system) == [("L", 9)]


def test_a_name_that_several_beads_have_is_refused(tmp_path):
    labels = system_of(pdb(tmp_path / "m.pdb", "A 1 2", "B 1 2")).labels
    assert labels[0] == "A:GLY1-N"
    assert find_bead(labels, "B:GLY1-N") == 6
    with pytest.raises(FokkerError, match="one of several: write A:GLY1-N, B:GLY1-N in full"):
        find_bead(labels, "GLY1-N")
    unnamed = ("LIG1-C", "LIG1-C", "LIG1-O")
    assert find_bead(unnamed, "1") == 1
    with pytest.raises(FokkerError, match=r"write its number instead \(0, 1\)"):
        find_bead(unnamed, "LIG1-C")


def test_beads_of_a_mapping_file_may_have_one_name_in_two_chains(tmp_path):
    file = tmp_path / "beads.toml"
    file.write_text(
        'bonds = [["A:GLY1-BB", "B:GLY1-BB"]]\n'
        '[[beads]]\nname = "BB"\natoms = [0, 1, 2]\n[[beads]]\nname = "BB"\natoms = [3, 4, 5]\n'
    )
    system = system_of(pdb(tmp_path / "m.pdb", "A 1", "B 1"), mapping=str(file))
    assert system.labels == ("A:GLY1-BB", "B:GLY1-BB")
    assert system.bonds == ((0, 1),)


# --- files --------------------------------------------------------------------------------------


def positions_of(system: System) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(system.n_beads, 3))


@pytest.mark.parametrize(
    "chains",
    [
        ("H 99 100 100A 100B 101",),
        ("A 1 2", "B 1 2"),
        ("A 1 2", "A 3 4"),
        ("_ 1 2", "_ 1 2"),
        ("A 1 2", "B 1 2", "A 7"),
    ],
)
def test_written_files_keep_chains_and_codes(tmp_path, chains):
    system = system_of(pdb(tmp_path / "m.pdb", *chains))
    out = tmp_path / "out.pdb"
    assert write_topology(out, system, positions_of(system)) is None
    assert not out.with_suffix(".cif").exists()
    again = system_of(out)
    assert again.beads == system.beads
    assert again.bonds == system.bonds


LONG = [(1, "LIGAN", name) for name in ("C1AB1", "C1AB2", "O1AB1", "C1AB", "C1A1")]


def test_names_of_any_length_are_kept_in_mmcif_and_stay_different_in_pdb(tmp_path):
    system = system_of(gro(tmp_path / "m.gro", [*LONG, (12345, "GLY", "O")]))
    last = system.beads[-1].model_copy(update={"name": "O3'"})
    system = system.model_copy(update={"beads": (*system.beads[:-1], last)})
    out, positions = tmp_path / "out.pdb", positions_of(system)
    told = write_topology(out, system, positions)
    assert "bead names over 4 letters" in told
    assert "residue numbers over 9999" in told
    assert "out.cif" in told
    cut = mdtraj.load(out)
    names = [atom.name for atom in cut.topology.atoms]
    assert len(set(names)) == 6
    assert names[3:] == ["C1AB", "C1A1", "O3'"]  # those that fit stay
    full = system_of(out.with_suffix(".cif"))
    assert [bead.label for bead in full.beads] == [bead.label for bead in system.beads]
    for path in (out, out.with_suffix(".cif")):
        # bonds of no length are those of a model that has learned nothing
        found = read_frames(path, system, min_frames=1, allow_failed=True)[0]
        # three decimals of an angstrom
        assert np.abs(found - positions).max() < 0.5e-4 + 1e-6


def test_openmm_reads_every_bead_of_both_files(tmp_path):
    app = pytest.importorskip("openmm.app")
    rows = [*LONG, *((2, "LIG", name) for name in "CCCC")]
    system = system_of(gro(tmp_path / "m.gro", rows * 2))
    out = tmp_path / "out.pdb"
    write_topology(out, system, positions_of(system))
    for read, suffix in ((app.PDBFile, ".pdb"), (app.PDBxFile, ".cif")):
        topology = read(str(out.with_suffix(suffix))).topology
        assert topology.getNumAtoms() == system.n_beads
        assert [chain.id for chain in topology.chains()] == ["A", "B"]
    full = app.PDBxFile(str(out.with_suffix(".cif"))).topology
    assert [atom.name for atom in full.atoms()] == [bead.name for bead in system.beads]


# --- titles of GRO files ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "title",
    ["in vacuum t=", "t= 7 step= 2", "dt=2 fs", "t=0.5 ps", "at=3, t=   1.00000", "t\xe9t=1"],
)
def test_titles_are_free_text(tmp_path, title):
    one = gro(tmp_path / "one.gro", peptide(1, 2), title).read_text()
    path = tmp_path / "m.gro"
    path.write_bytes((one * 3).encode("latin-1"))
    system = system_of(path)
    assert system.n_beads == 6
    assert read_frames(path, system).shape == (3, 6, 3)
