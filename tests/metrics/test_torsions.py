"""Which torsions a molecule is judged by."""

from math import pi

from fokker.metrics import torsions_of
from fokker.system import Bead, System
from tests.helpers.backbone import peptide


def chain(n, *, bonds=True, **bead):
    beads = tuple(
        Bead(residue="GLY", residue_index=i + 1, **{"name": "CA", **bead}) for i in range(n)
    )
    pairs = tuple((i, i + 1) for i in range(n - 1)) if bonds else ()
    return System(name="chain", dim=3, beads=beads, kT=2.5, bonds=pairs)


def test_every_residue_of_a_peptide_has_two_dihedrals_and_so_have_its_ends():
    found = {m.label: [v.indices for v in m.variables] for m in torsions_of(peptide(4))}
    assert found == {
        "psi of ALA 1, phi of ALA 2": [(0, 1, 2, 3), (2, 3, 4, 5)],
        "phi, psi of ALA 2": [(2, 3, 4, 5), (3, 4, 5, 6)],
        "phi, psi of LEU 3": [(5, 6, 7, 8), (6, 7, 8, 9)],
        "psi of LEU 3, phi of ALA 4": [(6, 7, 8, 9), (8, 9, 10, 11)],
    }


def test_two_peptides_are_told_apart():
    one = peptide(3)
    n = one.n_beads
    beads = tuple(
        bead.model_copy(update={"chain": chain, "chain_index": k})
        for k, chain in enumerate("AB")
        for bead in one.beads
    )
    bonds = tuple((i + n * k, j + n * k) for k in (0, 1) for i, j in one.bonds)
    found = torsions_of(one.model_copy(update={"beads": beads, "bonds": bonds}))
    assert [m.label for m in found if "LEU" not in m.label] == [
        "psi of A:ALA 1, phi of A:ALA 2",
        "phi, psi of A:ALA 2",
        "psi of B:ALA 1, phi of B:ALA 2",
        "phi, psi of B:ALA 2",
    ]


def test_a_chain_of_residues_has_an_angle_and_a_torsion_at_each():
    for system in (chain(6), chain(6, bonds=False)):
        first, *_, last = found = torsions_of(system)
        assert len(found) == 3
        assert first.label == "angle, torsion of GLY 2"
        assert [v.indices for v in last.variables] == [(2, 3, 4), (2, 3, 4, 5)]
        assert [v.kind for v in last.variables] == ["angle", "dihedral"]
        assert first.variables[0].limits == (0.0, pi)


def test_beads_that_are_no_chain_have_none():
    assert torsions_of(chain(6, bonds=False, name="P")) == ()
    assert torsions_of(chain(3)) == ()
    assert torsions_of(peptide(3).model_copy(update={"dim": 2})) == ()


def test_a_ligand_has_a_torsion_about_every_bond_inside_it():
    # C0-C1(-C5)-C2-C3-C4, with hydrogen alone beyond C4: nothing turns about C3-C4 or C1-C5.
    names = ("C", "C", "C", "C", "C", "C", "H")
    beads = tuple(Bead(name=f"{e}{i}", element=e, residue="LIG") for i, e in enumerate(names))
    bonds = ((0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (4, 6))
    found = torsions_of(System(name="ligand", dim=3, beads=beads, kT=2.5, bonds=bonds))
    assert {m.label: m.variables[0].indices for m in found} == {
        "torsion about LIG1-C1 LIG1-C2": (0, 1, 2, 3),
        "torsion about LIG1-C2 LIG1-C3": (1, 2, 3, 4),
    }
