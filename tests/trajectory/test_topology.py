"""Systems from topology files, and topology files from systems."""

import subprocess
import sys
from math import pi
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.system import Bead, System
from fokker.trajectory import (
    read_frames,
    system_from_topology,
    topology_of,
    write_topology,
)
from fokker.units import BOLTZMANN
from fokker.variables import longest_path

DATA = Path(__file__).parents[2] / "src/fokker/dataset/embedded/alanine-dipeptide"
TOPOLOGY = DATA / "topology.pdb"
FIVE = "name C and resname ACE or resname ALA and (name N CA C) or resname NME and name N"


def system_of(select: str, topology: Path = TOPOLOGY) -> System:
    return system_from_topology(topology, select=select, temperature=300.0, name="peptide")


def atom_line(serial: int, name: str, residue: str, number: int, element: str, chain="A") -> str:
    return (
        f"ATOM  {serial:5d}  {name:<3s} {residue} {chain}{number:4d}    "
        f"{serial:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00  0.00          {element:>2s}"
    )


def write_pdb(path: Path, atoms: list[str], bonds: list[tuple[int, int]] = ()) -> Path:
    path.write_text("\n".join([*atoms, *(f"CONECT{i:5d}{j:5d}" for i, j in bonds), "END", ""]))
    return path


def test_five_beads_of_alanine_dipeptide():
    system = system_of(FIVE)
    assert system.mapping.n_atoms == 10
    assert system.mapping.indices == (1, 3, 4, 6, 8)
    assert system.bonds == ((0, 1), (1, 2), (2, 3), (3, 4))
    phi, psi = system.collective_variables
    assert (phi.name, phi.kind, phi.indices) == ("phi", "dihedral", (0, 1, 2, 3))
    assert (psi.name, psi.kind, psi.indices) == ("psi", "dihedral", (1, 2, 3, 4))
    assert phi.limits == psi.limits == (-pi, pi)
    assert phi.periodic
    assert psi.periodic
    assert [bead.label for bead in system.beads] == [
        *("ACE1-C", "ALA2-N", "ALA2-CA", "ALA2-C", "NME3-N")
    ]
    assert system.masses == pytest.approx((12.011, 14.007, 12.011, 12.011, 14.007), abs=1e-3)
    assert system.kT == pytest.approx(300 * BOLTZMANN)
    assert (system.dim, system.centred, system.length_unit, system.histogram_bins) == (
        *(3, True, "nm", 64),
    )


def test_all_heavy_atoms_of_alanine_dipeptide():
    system = system_of("all")
    assert system.n_beads == 10
    assert len(system.bonds) == 9  # a tree
    assert [v.indices for v in system.collective_variables] == [(1, 3, 4, 6), (3, 4, 6, 8)]


def backbone(tmp_path: Path, chains: int = 1) -> Path:
    """Three alanines a chain, backbone only, residues numbered from 1 in every chain."""
    atoms = [
        atom_line(1 + 9 * chain + 3 * residue + k, name, "ALA", 1 + residue, name[0], "AB"[chain])
        for chain in range(chains)
        for residue in range(3)
        for k, name in enumerate(("N", "CA", "C"))
    ]
    return write_pdb(tmp_path / "peptide.pdb", atoms)


def test_dihedrals_are_named_by_residue_in_order(tmp_path):
    variables = system_of("all", backbone(tmp_path)).collective_variables
    assert [v.name for v in variables] == [
        *("psi ALA1", "phi ALA2", "psi ALA2", "phi ALA3", "omega ALA1", "omega ALA2")
    ]
    # residue 2 is atoms 3, 4, 5: phi starts at the C before it, psi ends at the N after it
    assert [v.indices for v in variables[1:3]] == [(2, 3, 4, 5), (3, 4, 5, 6)]


def test_residues_of_two_chains_keep_apart(tmp_path):
    variables = system_of("all", backbone(tmp_path, chains=2)).collective_variables
    names = [v.name for v in variables]
    assert len(set(names)) == len(names) == 12
    assert "phi ALA2 chain 0" in names
    assert "phi ALA2 chain 1" in names


def test_beads_that_lack_an_atom_of_a_dihedral_drop_it():
    (psi,) = system_of("resname ALA and name N CA C or resname NME").collective_variables
    assert psi.name == "psi"


def chain_of_carbons(tmp_path: Path, n: int) -> Path:
    atoms = [atom_line(i, f"C{i}", "LIG", 1, "C") for i in range(1, n + 1)]
    return write_pdb(tmp_path / "chain.pdb", atoms, [(i, i + 1) for i in range(1, n)])


def test_molecule_that_is_no_peptide_takes_dihedrals_of_its_longest_path(tmp_path):
    first, second = system_of("all", chain_of_carbons(tmp_path, 6)).collective_variables
    assert (first.kind, first.indices, first.name) == ("dihedral", (0, 1, 2, 3), "C1-C2-C3-C4")
    assert second.indices == (1, 2, 3, 4)
    (only,) = system_of("all", chain_of_carbons(tmp_path, 4)).collective_variables
    assert only.indices == (0, 1, 2, 3)


def test_short_molecule_takes_the_distance_of_its_ends_and_its_extent(tmp_path):
    distance, extent = system_of("all", chain_of_carbons(tmp_path, 3)).collective_variables
    assert (extent.kind, extent.indices) == ("radius-of-gyration", (0, 1, 2))
    assert (distance.kind, distance.indices, distance.periodic) == ("distance", (0, 2), False)
    low, high = distance.limits
    assert low == 0
    assert 2 * 0.154 < high < 1  # two stretched carbon bonds fit


def test_beads_apart_along_a_chain_are_bonded_and_take_the_distance_of_its_ends(tmp_path):
    system = system_of("name CA", backbone(tmp_path))
    assert system.bonds == ((0, 1), (1, 2))
    first, second = system.collective_variables
    assert (first.kind, first.indices) == ("distance", (0, 2))
    assert second.values == system.masses
    assert first.limits[1] > 2 * 0.38  # two stretched peptide units


def test_unconnected_beads_still_have_a_variable(tmp_path):
    ions = [atom_line(i, "NA", "NA ", i, "NA") for i in range(1, 5)]
    system = system_of("all", write_pdb(tmp_path / "ions.pdb", ions))
    assert system.bonds == ()
    assert [v.indices for v in system.collective_variables] == [(0, 3), (1, 2)]


@pytest.mark.parametrize(
    ("neighbours", "path"),
    [
        (((1,), (0, 2), (1, 3), (2,)), [0, 1, 2, 3]),
        (((3,), (2,), (1, 3), (0, 2)), [0, 3, 2, 1]),
        (((), (2,), (1,)), [1, 2]),
        (((1, 2), (0,), (0, 3, 4), (2,), (2, 5), (4,)), [1, 0, 2, 4, 5]),
    ],
)
def test_longest_path(neighbours, path):
    assert longest_path(neighbours) == path


def test_topology_of_has_bonds_residues_and_elements():
    system = system_of(FIVE)
    topology = topology_of(system)
    assert [(a.index, b.index) for a, b in topology.bonds] == list(system.bonds)
    assert all(type(bond).__name__ == "Bond" for bond in topology.bonds)
    assert [(r.name, r.resSeq, r.n_atoms) for r in topology.residues] == [
        *(("ACE", 1, 1), ("ALA", 2, 3), ("NME", 3, 1))
    ]
    assert [a.element.symbol for a in topology.atoms] == ["C", "N", "C", "C", "N"]


def test_topology_of_an_unknown_element_is_a_virtual_site():
    beads = (Bead(name="B1", element="Zz"), Bead(name="B2"))
    topology = topology_of(System(name="beads", dim=3, beads=beads, kT=1.0))
    assert topology.atom(0).element is mdtraj.element.virtual


@pytest.mark.parametrize("select", [FIVE, "all", "name CA CB"])
def test_written_topology_reads_back_as_the_same_system(tmp_path, select):
    system = system_of(select)
    positions = mdtraj.load(TOPOLOGY).xyz[0, list(system.mapping.indices)]
    path = tmp_path / "beads.pdb"
    write_topology(path, system, positions)
    again = system_of("all", path)
    assert again.beads == system.beads
    assert again.bonds == system.bonds
    # PDB keeps three decimals of an angstrom; half of the last one, and float32
    assert np.abs(mdtraj.load(path).xyz[0] - positions).max() < 0.5e-4 + 1e-6
    n_conect = sum(len(line[6:].split()) - 1 for line in _conect(path))
    assert n_conect == 2 * len(system.bonds)  # each bond from both sides, standard residues too
    assert [p.name for p in tmp_path.iterdir()] == ["beads.pdb"]


def _conect(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith("CONECT")]


def test_written_topology_replaces_an_older_one(tmp_path):
    path = tmp_path / "beads.pdb"
    path.write_text("old")
    write_topology(path, system_of(FIVE), np.zeros((5, 3)))
    assert path.read_text().startswith("ATOM")


@pytest.mark.parametrize(
    ("name", "positions", "match"),
    [
        ("beads.gro", np.zeros((5, 3)), r"use the suffix \.pdb"),
        ("beads.pdb", np.zeros((4, 3)), r"\(4, 3\) do not fit the 5 beads"),
        ("beads.pdb", np.full((5, 3), np.nan), "not finite"),
        ("beads.pdb", np.full((5, 3), 2e3), "beyond 1000 nm"),
        ("nowhere/beads.pdb", np.zeros((5, 3)), "cannot be written"),
    ],
)
def test_bad_topology_output(tmp_path, name, positions, match):
    with pytest.raises(FokkerError, match=match):
        write_topology(tmp_path / name, system_of(FIVE), positions)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("select", "match"),
    [
        ("name ZZ", "'name ZZ' matches no atom.*ACE, ALA, NME.*CH3, C, O, N, CA, CB"),
        ("name CB", "a single atom"),
        ("nmae CA", "'nmae CA' does not parse"),
        ("", "does not parse|matches no atom"),
        ("name CA )", "does not parse"),
    ],
)
def test_bad_selection(select, match):
    with pytest.raises(FokkerError, match=match):
        system_of(select)


@pytest.mark.parametrize("temperature", [0.0, -300.0, float("nan"), float("inf")])
def test_bad_temperature(temperature):
    with pytest.raises(FokkerError, match=r"temperature: .* is not positive"):
        system_from_topology(TOPOLOGY, select="all", temperature=temperature, name="peptide")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("missing.pdb", None, "does not exist"),
        ("top.xyz", b"1\n", r"topology suffix '\.xyz' is not known; use one of \.pdb"),
        ("top", b"1\n", "topology suffix ''"),
        ("empty.pdb", b"", "is empty"),
        ("text.pdb", b"no atoms here\n", "top|cannot be read|no atoms"),
        ("bytes.pdb", bytes(range(256)), "cannot be read"),
        ("bad.gro", b"title\nmany\n", "cannot be read"),
        ("bad.prmtop", b"%FLAG\n", "cannot be read"),
        ("bad.psf", b"PSF\n", "cannot be read"),
        ("bad.h5", b"\x89HDF", "cannot be read"),
    ],
)
def test_bad_topology(tmp_path, name, content, match):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FokkerError, match=match) as caught:
        system_of("all", path)
    assert str(path) in str(caught.value)


def test_folder_is_no_topology(tmp_path):
    folder = tmp_path / "folder.pdb"
    folder.mkdir()
    with pytest.raises(FokkerError, match="is a folder; name a file in it"):
        system_of("all", folder)


def test_atom_without_mass_is_told(tmp_path):
    atoms = [atom_line(1, "C1", "LIG", 1, "C"), atom_line(2, "EPW", "LIG", 1, "VS")]
    with pytest.raises(FokkerError, match=r"LIG1-EPW \(number 1 from 0\) has no element"):
        system_of("all", write_pdb(tmp_path / "site.pdb", atoms))


def test_other_topology_formats(tmp_path):
    path = tmp_path / "peptide.gro"
    mdtraj.load(TOPOLOGY).save(path)
    assert [v.name for v in system_of("all", path).collective_variables] == ["phi", "psi"]


def test_heavy_library_is_imported_late():
    code = "import sys, fokker.trajectory; sys.exit('mdtraj' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_system_of_an_earlier_version_is_read(tmp_path):
    """Before there were lengths of bonds; its bonds are judged by their overall length."""
    stored = system_of("all").model_dump(mode="json")
    del stored["mapping"]["lengths"], stored["mapping"]["atoms"]
    old = System.model_validate(stored)
    frames = mdtraj.load(TOPOLOGY).xyz.repeat(3, axis=0)
    np.save(tmp_path / "md.npy", frames)
    assert read_frames(tmp_path / "md.npy", old).shape == (3, 10, 3)
    np.save(tmp_path / "md.npy", 10 * frames)
    with pytest.raises(FokkerError, match="look like angstrom"):
        read_frames(tmp_path / "md.npy", old)
