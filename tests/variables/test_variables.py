"""Every kind of collective variable: its definition, its symmetries, and how it is chosen."""

from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from pydantic import ValidationError

from fokker.config import MoleculeOptions
from fokker.errors import FokkerError
from fokker.metrics import compute
from fokker.system import CollectiveVariable, System
from fokker.trajectory import read_molecule
from fokker.variables import KINDS, Context, choose, parse_choice

DATA = Path(__file__).parents[2] / "src/fokker/dataset/embedded/alanine-dipeptide"
TOPOLOGY = DATA / "topology.pdb"
WORDS = [
    "dihedral ACE1-C ALA2-N ALA2-CA ALA2-C",
    "angle ALA2-N CA ALA2-C",
    "distance 0 CB",
    "end-to-end",
    "radius-of-gyration",
    f"rmsd {TOPOLOGY}",
    f"native-contacts {TOPOLOGY}",
    "tica",
    "tica dihedrals",
    "psi",
]


@pytest.fixture(scope="module")
def trajectory():
    return read_molecule([DATA / "train.dcd"], TOPOLOGY, select="all", temperature=300.0, stride=25)


@pytest.fixture(scope="module")
def context(trajectory) -> Context:
    system = trajectory.system
    return Context(
        labels=tuple(bead.label for bead in system.beads),
        masses=system.masses,
        neighbours=system.neighbours,
        segments=(trajectory.positions[:900], trajectory.positions[1000:]),
        automatic=system.collective_variables,
        read_structure=lambda name: mdtraj.load(name).xyz[0],
    )


def options(*texts: str) -> MoleculeOptions:
    return MoleculeOptions.model_validate(
        {
            "trajectory": ["md.dcd"],
            "topology": "md.pdb",
            "temperature": 300.0,
            "collective_variables": [parse_choice(text) for text in texts],
        }
    )


def chosen(context: Context, *texts: str) -> tuple[CollectiveVariable, ...]:
    return choose(options(*texts).collective_variables, context)


@pytest.fixture(scope="module")
def each(context) -> dict[str, tuple[CollectiveVariable, ...]]:
    return {words: chosen(context, words) for words in WORDS}


def as_mdtraj(trajectory) -> mdtraj.Trajectory:
    return mdtraj.Trajectory(trajectory.positions, mdtraj.load(str(TOPOLOGY)).topology)


@pytest.mark.parametrize("words", WORDS)
def test_every_kind_is_invariant_periodic_or_not_and_survives_json(each, trajectory, words):
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    frames = trajectory.positions[:200].astype(np.float64)
    for variable in each[words]:
        moved = frames @ rotation.T + rng.normal(size=3)
        assert variable == CollectiveVariable.model_validate(variable.model_dump(mode="json"))
        values, again = compute(variable, frames), compute(variable, moved)
        difference = values - again
        if variable.periodic:
            difference = np.angle(np.exp(1j * difference))
        scale = max(1.0, float(np.abs(values).max()))
        assert np.abs(difference).max() < 1e-6 * scale
        inside = (values >= variable.limits[0]) & (values <= variable.limits[1])
        assert inside.all()
        assert values.std() > 0


@pytest.mark.parametrize("words", WORDS)
def test_diverged_frames_are_not_finite_and_change_no_other(each, trajectory, words):
    frames = trajectory.positions[:8].copy()
    (variable, *_) = each[words]
    before = compute(variable, frames)
    frames[3] = np.nan
    after = compute(variable, frames)
    assert np.isnan(after[3])
    np.testing.assert_array_equal(np.delete(after, 3), np.delete(before, 3))


def test_rmsd_is_that_of_mdtraj(context, trajectory):
    (deviation,) = chosen(context, f"rmsd {TOPOLOGY}")
    np.testing.assert_allclose(
        compute(deviation, trajectory.positions),
        mdtraj.rmsd(as_mdtraj(trajectory), mdtraj.load(str(TOPOLOGY))),
        atol=2e-4,
    )


def test_radius_of_gyration_follows_from_all_pairs(context, trajectory):
    """By Lagrange's identity: `sum_ij m_i m_j r_ij^2 / (2 M^2)`, without any centre of mass."""
    (extent,) = chosen(context, "radius-of-gyration")
    masses = np.array(trajectory.system.masses)
    frames = trajectory.positions[:50].astype(float)
    squares = ((frames[:, :, None] - frames[:, None]) ** 2).sum(-1)
    expected = np.sqrt(np.einsum("i,j,fij->f", masses, masses, squares) / 2) / masses.sum()
    np.testing.assert_allclose(compute(extent, frames), expected, rtol=1e-10)


def test_rmsd_tells_mirror_images_apart(context):
    structure = mdtraj.load(str(TOPOLOGY)).xyz
    (deviation,) = chosen(context, f"rmsd {TOPOLOGY}")
    assert compute(deviation, structure)[0] == pytest.approx(0.0, abs=1e-6)
    assert compute(deviation, structure * [-1, 1, 1])[0] > 0.02


def test_native_contacts_follow_their_definition(context, trajectory):
    (contacts,) = chosen(context, f"native-contacts {TOPOLOGY}")
    native = mdtraj.load(str(TOPOLOGY)).xyz[0].astype(float)
    pairs = list(zip(contacts.indices[::2], contacts.indices[1::2], strict=True))
    assert (0, 9) not in pairs or np.linalg.norm(native[0] - native[9]) < 0.45
    assert all(np.linalg.norm(native[i] - native[j]) < 0.45 for i, j in pairs)
    frame = trajectory.positions[7].astype(float)
    terms = [
        1
        / (
            1
            + np.exp(
                50
                * (
                    np.linalg.norm(frame[i] - frame[j])
                    - 1.8 * np.linalg.norm(native[i] - native[j])
                )
            )
        )
        for i, j in pairs
    ]
    assert compute(contacts, frame[None])[0] == pytest.approx(np.mean(terms), rel=1e-6)


def test_tica_finds_the_slow_coordinate_and_keeps_unit_variance():
    """Bead 2 hops slowly along x, bead 1 rattles: the first component is the slow distance."""
    rng = np.random.default_rng(1)
    n = 4000
    slow = np.cumsum(rng.random(n) < 0.01) % 2 + 0.05 * rng.normal(size=n)
    frames = np.zeros((n, 3, 3), np.float32)
    frames[:, 1] = [0.5, 0.8, 0] + 0.1 * rng.normal(size=(n, 3))
    frames[:, 2, 0] = 2.0 + slow
    context = Context(
        labels=("A", "B", "C"),
        masses=(1.0,) * 3,
        neighbours=((1,), (0, 2), (1,)),
        segments=(frames[:1500], frames[1500:]),
        automatic=(),
        read_structure=lambda _: frames[0],
    )
    first, second = chosen(context, "tica")
    values = compute(first, frames)
    assert abs(np.corrcoef(values, slow)[0, 1]) > 0.98
    assert values.std() == pytest.approx(1.0, abs=0.05)
    assert values.mean() == pytest.approx(0.0, abs=0.05)
    assert abs(np.corrcoef(values, compute(second, frames))[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["distance ALA2-CA ALA2-CX"], "no bead 'ALA2-CX': did you mean 'ALA2-C"),
        (["distance C N"], "'C' is one of several: write ACE1-C, ALA2-C"),
        (["phi ALA9"], "'phi ALA9': the beads do not define it; there are phi, psi"),
        (["psi", "psi"], "'psi' is chosen twice"),
        (["distance 1"], "distance takes 2 beads after it"),
        (["end-to-end now"], "takes nothing after it"),
    ],
)
def test_bad_choices_are_told(context, words, match):
    with pytest.raises(FokkerError, match=match):
        chosen(context, *words)


def test_a_lag_longer_than_the_data_and_contacts_too_far_are_told(context):
    raw = {"trajectory": ["a"], "topology": "b", "temperature": 1.0}
    for table, match in (
        ({"kind": "tica", "lag": 5000}, "longer than the lag of 5000 frames"),
        (
            {"kind": "native-contacts", "reference": str(TOPOLOGY), "cutoff": 0.1},
            "no two beads at least 4 bonds apart are within 0.1 nm",
        ),
    ):
        found = MoleculeOptions.model_validate({**raw, "collective_variables": [table]})
        with pytest.raises(FokkerError, match=match):
            choose(found.collective_variables, context)


def test_native_contacts_without_bonds_are_refused(context):
    unbonded = replace(context, neighbours=((),) * len(context.neighbours))
    with pytest.raises(FokkerError, match=r"the topology has no bonds; give one with bonds"):
        chosen(unbonded, f"native-contacts {TOPOLOGY}")


def test_order_is_that_of_the_choices_and_none_means_automatic(context):
    names = [v.name for v in chosen(context, "end-to-end", "phi")]
    assert names == ["end to end", "phi"]
    assert choose((), context) == context.automatic


def test_limits_may_be_given(context):
    table = {"kind": "end-to-end", "limits": [0.2, 0.9]}
    raw = {"trajectory": ["a"], "topology": "b", "temperature": 1.0}
    found = MoleculeOptions.model_validate({**raw, "collective_variables": [table]})
    (variable,) = choose(found.collective_variables, context)
    assert variable.limits == (0.2, 0.9)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_wrong_number_of_indices_or_values_is_told(kind):
    with pytest.raises(ValidationError, match=r"'v': .* takes?"):
        CollectiveVariable(name="v", kind=kind, indices=(0,) * 7, limits=(0, 1), values=(1.0,) * 2)


def test_an_unknown_kind_is_told():
    with pytest.raises(ValidationError, match="no kind 'torsion'; there are angle, coordinate"):
        CollectiveVariable(name="v", kind="torsion", indices=(0,), limits=(0, 1))


def test_units():
    system = System.model_validate(
        {"name": "s", "dim": 3, "kT": 1.0, "beads": [{"name": "A"}] * 4, "length_unit": "nm"}
    )
    found = {kind: KINDS[kind].unit(system.length_unit) for kind in KINDS}
    assert found["dihedral"] == found["angle"] == "rad"
    assert found["rmsd"] == found["radius-of-gyration"] == found["distance"] == "nm"
    assert found["native-contacts"] == found["tica-distances"] == ""
