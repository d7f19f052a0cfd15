"""Beads that are atoms, residues, or groups that a file names; their bonds; broken molecules."""

from pathlib import Path

import mdtraj
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fokker.errors import FokkerError
from fokker.system import System
from fokker.trajectory import FrameWriter, read_frames, read_molecule, system_from_topology
from fokker.trajectory.beads_file import BeadsFile, parse_beads
from fokker.trajectory.contraction import contracted_bonds

DATA = Path(__file__).parents[2] / "src/fokker/dataset/embedded/alanine-dipeptide"
TOPOLOGY = DATA / "topology.pdb"
N_FRAMES = 30
TWO_GROUPS = """
[[beads]]
name = "ACE"
atoms = "resname ACE"
[[beads]]
name = "BB"
atoms = [3, 4, 6, 7]
mass = 50.0
[[beads]]
name = "SC"
atoms = "name CB"
residue = "XXX"
[[beads]]
name = "NME"
atoms = "resname NME"
"""


@pytest.fixture(scope="module")
def source():
    return mdtraj.load(str(DATA / "train.dcd"), top=str(TOPOLOGY))[:N_FRAMES]


@pytest.fixture
def beads(tmp_path) -> str:
    path = tmp_path / "beads.toml"
    path.write_text(TWO_GROUPS)
    return str(path)


def system_of(mapping: str, select: str = "all", topology: Path = TOPOLOGY) -> System:
    return system_from_topology(
        topology, select=select, temperature=300.0, name="beads", mapping=mapping
    )


def centres(source, groups) -> np.ndarray:
    return np.stack(
        [mdtraj.compute_center_of_mass(source.atom_slice(group)) for group in groups], axis=1
    )


def read(path: Path, mapping: str, topology: Path = TOPOLOGY) -> np.ndarray:
    return read_molecule(
        [path], topology, select="all", temperature=300.0, mapping=mapping
    ).positions


def test_groups_lie_at_their_centres_of_mass(tmp_path, source, beads):
    source.save(str(tmp_path / "md.dcd"))
    system = system_of(beads)
    groups = [[0, 1, 2], [3, 4, 6, 7], [5], [8, 9]]
    assert [list(group) for group in system.mapping.groups] == groups
    np.testing.assert_allclose(read(tmp_path / "md.dcd", beads), centres(source, groups), atol=2e-6)


def test_masses_are_sums_unless_given_and_bonds_follow_the_atoms(beads):
    system = system_of(beads)
    assert system.masses == pytest.approx((40.021, 50.0, 12.011, 26.018), abs=1e-2)
    assert system.bonds == ((0, 1), (1, 2), (1, 3))
    assert [bead.label for bead in system.beads] == ["ACE1-ACE", "ALA2-BB", "XXX2-SC", "NME3-NME"]
    # no dihedral of atoms is left: the chain takes its length and its extent
    assert [v.name for v in system.collective_variables] == ["end to end", "radius of gyration"]


def test_one_bead_a_residue(tmp_path, source):
    source.save(str(tmp_path / "md.xtc"))
    system = system_of("residues")
    assert system.bonds == ((0, 1), (1, 2))
    assert sum(system.masses) == pytest.approx(sum(a.element.mass for a in source.top.atoms))
    expected = centres(source, [[0, 1, 2], [3, 4, 5, 6, 7], [8, 9]])
    assert np.abs(read(tmp_path / "md.xtc", "residues") - expected).max() < 1e-3


def test_alpha_carbons_have_the_mass_of_their_residue_and_a_chain(tmp_path):
    """Three alanines, backbone only."""
    lines = [
        f"ATOM  {3 * r + k + 1:5d}  {name:<3s} ALA A{r + 1:4d}    "
        f"{3 * r + k:8.3f}{0.0:8.3f}{0.0:8.3f}  1.00  0.00          {name[0]:>2s}"
        for r in range(3)
        for k, name in enumerate(("N", "CA", "C"))
    ]
    path = tmp_path / "peptide.pdb"
    path.write_text("\n".join([*lines, "END", ""]))
    system = system_of("alpha-carbons", topology=path)
    assert system.mapping.indices == (1, 4, 7)
    assert system.bonds == ((0, 1), (1, 2))
    assert system.masses == pytest.approx((14.007 + 2 * 12.011,) * 3, abs=1e-2)


@pytest.mark.parametrize("suffix", [".dcd", ".xtc"])
def test_groups_that_a_box_has_cut_are_made_whole_first(tmp_path, source, beads, suffix):
    box = np.array([1.2, 1.3, 1.4], np.float32)
    shift = np.random.default_rng(0).uniform(0, 3, (N_FRAMES, 1, 3))
    folded = mdtraj.Trajectory(
        np.mod(source.xyz + shift, box).astype(np.float32),
        source.topology,
        unitcell_lengths=np.tile(box, (N_FRAMES, 1)),
        unitcell_angles=np.full((N_FRAMES, 3), 90.0),
    )
    folded.save(str(tmp_path / f"folded{suffix}"))
    found = read(tmp_path / f"folded{suffix}", beads)
    expected = centres(source, [[0, 1, 2], [3, 4, 6, 7], [5], [8, 9]])
    assert np.abs((found - found[:, :1]) - (expected - expected[:, :1])).max() < 3e-3
    # a reference file is read by the system alone, without its topology
    again = read_frames(tmp_path / f"folded{suffix}", system_of(beads))
    np.testing.assert_array_equal(again, found)


def test_frames_of_the_beads_are_read_back(tmp_path, source, beads):
    """Distances of large beads are no bond lengths and must not look like another unit."""
    system = system_of(beads)
    frames = np.random.default_rng(0).normal(0, 2.0, (5, 4, 3)).astype(np.float32)
    with FrameWriter(tmp_path / "beads.dcd", system) as writer:
        writer.write(frames)
    np.testing.assert_allclose(
        read_frames(tmp_path / "beads.dcd", system, allow_failed=True), frames, rtol=1e-6
    )


def test_stored_systems_of_older_runs_are_still_read(tmp_path, source):
    """They know the source atom of each bead, and no bonds between atoms."""
    source.save(str(tmp_path / "md.dcd"))
    old = system_of("atoms", "name N CA C").model_dump(mode="json")
    old["mapping"] = {key: old["mapping"][key] for key in ("n_atoms", "indices")}
    system = System.model_validate(old)
    found = read_frames(tmp_path / "md.dcd", system)
    np.testing.assert_allclose(found, source.xyz[:, system.mapping.indices], atol=1e-6)


def test_bonds_of_beads_pass_through_atoms_that_are_none():
    # 0-1-2-3-4 with a branch 2-5: beads at both ends and on the branch
    chemical = np.array([(0, 1), (1, 2), (2, 3), (3, 4), (2, 5)])
    assert contracted_bonds(chemical, [(0,), (4,), (5,)], 6) == ((0, 2), (1, 2))
    assert contracted_bonds(chemical, [(0, 1), (4, 3)], 6) == ((0, 1),)
    assert contracted_bonds(chemical[:1], [(0,), (5,)], 6) == ()


# --- mapping files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("beads = 3", r"beads = 3: .*write \[\[beads\]\] tables"),
        ("[[beads]\nname", "not valid TOML"),
        ('[[beads]]\nname="A"\natoms=[0]\n', "at least 2 items"),
        ('[[beads]]\natoms=[0]\n[[beads]]\nname="B"\natoms=[1]', r"beads\.0\.name"),
        ('[[beads]]\nname="A"\natoms=[0]\nmas=1\n[[beads]]\nname="B"\natoms=[1]', "mas"),
        ('[[beads]]\nname="A"\natoms=[0]\nmass=-1\n[[beads]]\nname="B"\natoms=[1]', "mass"),
        ('[[beads]]\nname="A B"\natoms=[0]\n[[beads]]\nname="B"\natoms=[1]', "name"),
        ('[[beads]]\nname="A"\natoms=[99]\n[[beads]]\nname="B"\natoms=[1]', "has atom 99"),
        ('[[beads]]\nname="A"\natoms=[]\n[[beads]]\nname="B"\natoms=[1]', "matches no atom"),
        ('[[beads]]\nname="A"\natoms="name ZZ"\n[[beads]]\nname="B"\natoms=[1]', "no atom"),
        ('[[beads]]\nname="A"\natoms="nmae"\n[[beads]]\nname="B"\natoms=[1]', "does not parse"),
        ('[[beads]]\nname="A"\natoms=[0,1]\n[[beads]]\nname="B"\natoms=[1]', "in bead 'A' already"),
        ('[[beads]]\nname="A"\natoms=[0,0]\n[[beads]]\nname="B"\natoms=[1]', "in bead 'A' already"),
        ('[[beads]]\nname="A"\natoms=[0]\n[[beads]]\nname="A"\natoms=[1]', "two beads are called"),
        (
            'bonds=[["A","C"]]\n[[beads]]\nname="A"\natoms=[0]\n[[beads]]\nname="B"\natoms=[1]',
            "bonds: no bead 'C'",
        ),
        (
            'bonds=[["A","A"]]\n[[beads]]\nname="A"\natoms=[0]\n[[beads]]\nname="B"\natoms=[1]',
            "bonded to itself",
        ),
    ],
)
def test_bad_mapping_files(tmp_path, text, match):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(FokkerError, match=match) as caught:
        system_of(str(path))
    assert "bad.toml" in str(caught.value) or "select" in str(caught.value)


def test_stated_bonds_replace_those_of_the_atoms(tmp_path):
    path = tmp_path / "beads.toml"
    path.write_text('bonds = [["NME", "ACE1-ACE"]]\n' + TWO_GROUPS)
    assert system_of(str(path)).bonds == ((0, 3),)


@pytest.mark.parametrize(
    ("mapping", "match"),
    [
        ("martini", "no mapping 'martini'; use atoms, alpha-carbons, residues or the path"),
        ("missing.toml", "not readable"),
        ("alpha-carbons", r"1 bead\(s\) for the mapping 'alpha-carbons'"),
    ],
)
def test_bad_mappings(mapping, match):
    with pytest.raises(FokkerError, match=match):
        system_of(mapping)


NAMES = st.from_regex(r"[!-~]{1,4}", fullmatch=True)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(
    st.lists(
        st.tuples(
            NAMES,
            st.lists(st.integers(0, 10_000), min_size=1, max_size=5) | st.text("abc 0", min_size=1),
            st.none() | st.floats(1e-3, 1e6),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_every_written_mapping_is_read_as_it_was_meant(members):
    lines = []
    for name, atoms, mass in members:
        lines += ["[[beads]]", f"name = {quoted(name)}"]
        lines.append(f"atoms = {quoted(atoms) if isinstance(atoms, str) else atoms}")
        lines += [] if mass is None else [f"mass = {mass!r}"]
    found = parse_beads("\n".join(lines), Path("beads.toml"))
    for bead, (name, atoms, mass) in zip(found.beads, members, strict=True):
        assert (bead.name, bead.mass) == (name, mass)
        assert bead.atoms == (atoms if isinstance(atoms, str) else tuple(atoms))


@given(st.text(max_size=200) | st.text("[]beads=name\"'\n0123,.{}atoms", max_size=120))
def test_any_text_is_a_mapping_or_one_sentence(text):
    try:
        assert isinstance(parse_beads(text, Path("any.toml")), BeadsFile)
    except FokkerError as error:
        assert str(error).startswith("any.toml: ")
        assert str(error).endswith(".")
