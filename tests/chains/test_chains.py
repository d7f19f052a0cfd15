"""C-alpha chains: native geometry, the Go-type energy and its dynamics, files and their cache."""

import itertools
import json
import os
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from fokker.chains import (
    FOLDS,
    Dynamics,
    ForceField,
    GoModel,
    bundle,
    chain_file,
    energy_and_forces,
    engine,
    hairpin,
    helix,
    manifest,
    run_chain,
    simulate,
)
from fokker.chains import cache as cache_module
from fokker.chains.engine import MASS
from fokker.chains.native import BOND, HELIX_DISTANCE
from fokker.cli import app
from fokker.config.presets import combine
from fokker.dataset.source import load_reference, load_trajectory
from fokker.errors import FokkerError
from fokker.variables import angle, dihedral
from fokker.workflow.preset import preset

EACH = pytest.mark.parametrize("name", FOLDS)
SIZES = {"hairpin": 10, "helix-bundle": 28, "long-fold": 100}


def model(name) -> GoModel:
    return FOLDS[name].model()


def slope(of: GoModel, x, direction, step=1e-5):
    """Derivative of the energy along a direction, by central differences."""
    up, down = (energy_and_forces(of, x + sign * step * direction)[0] for sign in (1, -1))
    return (up - down) / (2 * step)


def shaken(of: GoModel, size=0.02, seed=0):
    return of.native + size * np.random.default_rng(seed).normal(size=of.native.shape)


# ---------------------------------------------------------------- geometry


@EACH
def test_native_bonds_angles_and_contacts(name):
    x = FOLDS[name].native()
    assert x.shape == (SIZES[name], 3)
    np.testing.assert_allclose(np.linalg.norm(np.diff(x, axis=0), axis=1), BOND, atol=1e-6)
    angles = np.rad2deg([angle(x[None], (i, i + 1, i + 2))[0] for i in range(len(x) - 2)])
    assert angles.min() > 85
    assert angles.max() < 140  # far from the straight angle, where dihedrals have no gradient
    apart = np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(len(x), 3)]
    assert apart.min() > 0.42
    contacts = model(name).contacts
    assert len(contacts) > len(x)
    assert (contacts[:, 1] - contacts[:, 0] > 6).sum() >= 4  # between strands or helices


def test_helices_are_right_handed():
    x = helix(12)
    turns = np.rad2deg([dihedral(x[None], (i, i + 1, i + 2, i + 3))[0] for i in range(9)])
    np.testing.assert_allclose(turns, 50, atol=2)
    for structure, helices in ((bundle(2, 12, 4), [0, 16]), (bundle(4, 22, 4), [0, 26, 52, 78])):
        for start in helices:
            i = start + 3
            assert 40 < np.rad2deg(dihedral(structure[None], (i, i + 1, i + 2, i + 3))[0]) < 60


def test_helices_of_a_bundle_are_antiparallel_neighbours():
    x = bundle(4, 22, 4)
    parts = [x[start : start + 22] for start in (0, 26, 52, 78)]
    axes = [part[-4:].mean(axis=0) - part[:4].mean(axis=0) for part in parts]
    for k in range(3):
        cosine = axes[k] @ axes[k + 1] / np.linalg.norm(axes[k]) / np.linalg.norm(axes[k + 1])
        assert cosine < -0.95
    centres = np.array([part.mean(axis=0) for part in parts])
    sides = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, HELIX_DISTANCE, atol=0.05)


def test_strands_of_the_hairpin_twist_like_those_of_natural_sheets():
    """Going along a strand, the vector to the other strand turns right-handed."""
    x = hairpin()
    across = [x[9 - i] - x[i] for i in range(4)]
    along = x[3] - x[0]
    turns = [np.cross(a, b) @ along for a, b in itertools.pairwise(across)]
    assert min(turns) > 0


# ---------------------------------------------------------------- energy


@EACH
def test_forces_are_minus_the_gradient(name):
    of = model(name)
    x = shaken(of)
    forces = energy_and_forces(of, x)[1]
    for seed in range(4):
        direction = np.random.default_rng(seed).normal(size=x.shape)
        wanted = -np.sum(forces * direction)
        assert slope(of, x, direction) == pytest.approx(wanted, abs=1e-5 * np.abs(forces).sum())


@EACH
def test_the_native_structure_is_the_minimum(name):
    of = model(name)
    energy, forces = energy_and_forces(of, of.native)
    # Only the excluded volume pulls at it.
    assert np.abs(forces).max() < 30
    for seed in range(3):
        assert energy_and_forces(of, shaken(of, 0.01, seed))[0] > energy + 1
    stretched = np.cumsum(np.tile([0.3, 0.0, 0.0], (of.n_beads, 1)), axis=0)
    stretched[:, 1] = 0.23 * (np.arange(of.n_beads) % 2)
    stretched[:, 2] = 0.02 * np.arange(of.n_beads) % 3
    assert energy_and_forces(of, stretched)[0] > energy + 20


def test_the_energy_is_the_stated_one():
    """Term by term in NumPy, for a chain off its minimum."""
    field = ForceField(contact=3.0, cooperativity=0.4, dihedral=1.3)
    of = GoModel.of(hairpin(), field)
    x = shaken(of, 0.03)
    moved = GoModel.of(x, field)
    r = np.linalg.norm(x[of.contacts[:, 0]] - x[of.contacts[:, 1]], axis=1)
    q = np.mean(np.exp(-((r - of.contact_lengths) ** 2) / (2 * field.width**2)))
    all_r = np.linalg.norm(x[of.pairs[:, 0]] - x[of.pairs[:, 1]], axis=1)
    turn = moved.dihedrals - of.dihedrals
    terms = [
        0.5 * field.bond * np.sum((moved.bond_lengths - of.bond_lengths) ** 2),
        0.5 * field.angle * np.sum((moved.angles - of.angles) ** 2),
        field.dihedral * np.sum(1 - np.cos(turn) + 0.5 * (1 - np.cos(3 * turn))),
        -3.0 * len(of.contacts) * q * (1 + 0.4 * (q - 1)),
        field.repulsion * np.sum((field.size / all_r) ** 12),
    ]
    assert energy_and_forces(of, x)[0] == pytest.approx(sum(terms), rel=1e-6)


@EACH
def test_a_mirror_image_costs_energy(name):
    of = model(name)
    mirror = of.native * np.array([1.0, 1.0, -1.0])
    assert energy_and_forces(of, mirror)[0] > energy_and_forces(of, of.native)[0] + 5


# ---------------------------------------------------------------- dynamics

SHORT = Dynamics(temperature=300, chains=4, frames=60, stride=50, equilibration=2000)


def test_dynamics_are_reproducible_whatever_the_processors(monkeypatch):
    of = model("hairpin")
    told = []
    first = simulate(of, SHORT, seed=3, on_progress=lambda done, total: told.append((done, total)))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    np.testing.assert_array_equal(first, simulate(of, SHORT, seed=3))
    assert not np.array_equal(first, simulate(of, SHORT, seed=4))
    assert first.shape == (4, 60, 10, 3)
    assert first.dtype == np.float32
    assert told[-1] == (4 * 5000, 4 * 5000)
    assert not np.allclose(first[0], first[2])
    bonds = np.linalg.norm(np.diff(first, axis=2), axis=-1)
    # Equipartition: each bond is a spring of 5000 kJ/mol/nm^2.
    assert bonds.std() == pytest.approx(np.sqrt(2.494 / 5000), rel=0.1)


def test_a_chain_that_falls_apart_is_an_error():
    long = Dynamics(temperature=300.0, chains=1, frames=20, stride=50, equilibration=100, dt=0.1)
    with pytest.raises(FokkerError, match="fell apart"):
        run_chain(FOLDS["hairpin"].model(), long, 0, 0)


def test_unfolding_that_breaks_a_chain_is_repeated_more_carefully(monkeypatch):
    """A step of 30 fs holds at 300 K and breaks this hairpin at 900 K; half of it does not."""
    of = FOLDS["hairpin"].model()
    kept = []

    def spy(*arguments):
        kept.append(holds(*arguments))
        return kept[-1]

    holds = engine._holds_together
    monkeypatch.setattr(engine, "_holds_together", spy)
    rough = Dynamics(
        temperature=300.0, chains=2, frames=2, stride=10, equilibration=20_000, dt=0.03
    )
    run_chain(of, rough, 0, 1)
    assert kept == [False, True, True]


@pytest.mark.slow
def test_the_chain_of_a_hundred_beads_that_broke_when_it_was_unfolded():
    fold = FOLDS["long-fold"]
    dynamics = fold.dynamics.model_copy(update={"frames": 1, "stride": 1})
    run_chain(fold.model(), dynamics, 0, 9)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("hairpin", 100), ("helix-bundle", 6)])
def test_chains_fold_and_unfold(name, least):
    dynamics = FOLDS[name].dynamics.model_copy(update={"chains": 4, "frames": 1000})
    of = model(name)
    share = of.fraction(simulate(of, dynamics, seed=7).reshape(-1, of.n_beads, 3)).reshape(4, 1000)
    changes = 0
    for chain in share:
        # Crossing a band, not a line, so that fluctuations at the barrier are not counted.
        states = np.where(chain > 0.75, 1, np.where(chain < 0.35, -1, 0))
        states = states[states != 0]
        changes += int((np.diff(states) != 0).sum())
    assert changes >= least
    assert 0.1 < share.mean() < 0.9


# ---------------------------------------------------------------- files


@pytest.fixture
def short(monkeypatch):
    """Chains of a few frames."""
    for name, fold in FOLDS.items():
        few = {"chains": fold.dynamics.chains, "stride": 5, "equilibration": 20}
        dynamics = SHORT.model_copy(update=few)
        monkeypatch.setitem(FOLDS, name, fold._replace(dynamics=dynamics))


def test_files_are_made_once(short, tmp_path, monkeypatch):
    told = []
    path = chain_file("hairpin/native.pdb", cache=tmp_path, on_progress=lambda *a: told.append(a))
    assert told
    names = {p.name for p in path.parent.iterdir()}
    assert names == {"native.pdb", "manifest.json", *(f"chain-{i}.dcd" for i in range(12))}
    assert manifest(path)["seconds"] >= 0
    monkeypatch.setattr(cache_module, "simulate", None)
    assert chain_file("hairpin/chain-3.dcd", cache=tmp_path).parent == path.parent


def test_damaged_files_are_made_again(short, tmp_path):
    path = chain_file("hairpin/chain-0.dcd", cache=tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert chain_file("hairpin/chain-0.dcd", cache=tmp_path).read_bytes() == whole
    path.with_name("manifest.json").write_text(json.dumps([]))
    assert chain_file("hairpin/chain-0.dcd", cache=tmp_path).read_bytes() == whole


def test_other_settings_are_other_files(short, tmp_path, monkeypatch):
    first = chain_file("hairpin/native.pdb", cache=tmp_path)
    fold = FOLDS["hairpin"]
    field = fold.field.model_copy(update={"contact": 4.0})
    monkeypatch.setitem(FOLDS, "hairpin", fold._replace(field=field))
    assert chain_file("hairpin/native.pdb", cache=tmp_path).parent != first.parent


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("barrel/native.pdb", "no chain 'barrel'"),
        ("hairpin/chain-99.dcd", "no such file"),
        ("hairpin/../../x", "no such file"),
    ],
)
def test_unknown_files(name, match, tmp_path):
    with pytest.raises(FokkerError, match=match):
        chain_file(name, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_one_sentence(short, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(FokkerError, match="XDG_CACHE_HOME"):
        chain_file("hairpin/native.pdb", cache=blocked)


def test_without_openmm_one_sentence_says_what_to_install(short, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(FokkerError, match=r"pip install 'fokker\[chains\]'"):
        chain_file("hairpin/native.pdb", cache=tmp_path)


# ---------------------------------------------------------------- presets


@EACH
def test_presets_read_as_any_molecule(name, short, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    of = model(name)
    config = preset(name)
    trajectory = load_trajectory(config)
    system = trajectory.system
    assert system.n_beads == SIZES[name]
    assert system.kT == pytest.approx(2.4943, rel=1e-4)
    assert set(system.masses) == {MASS}
    assert system.bonds == tuple((i, i + 1) for i in range(SIZES[name] - 1))
    assert trajectory.lengths == (60,) * 8
    q, rmsd, *rest = system.collective_variables
    assert (q.kind, rmsd.kind) == ("native-contacts", "rmsd")
    assert [v.name for v in rest] == ["radius of gyration", "TICA 1", "TICA 2"]
    # Q of the metrics counts the contacts that the energy has.
    assert q.indices == tuple(of.contacts.ravel().tolist())
    np.testing.assert_allclose(q.values, 1.2 * of.contact_lengths, atol=2e-3)
    assert load_reference(config, trajectory).shape == (240, SIZES[name], 3)


@EACH
def test_presets_name_every_chain_once(name):
    system = combine(name, "fokker")["system"]
    files = [*system["trajectory"], *system["reference"]]
    n = FOLDS[name].dynamics.chains
    assert files == [f"generated:{name}/chain-{i}.dcd" for i in range(n)]
    assert system["temperature"] == FOLDS[name].dynamics.temperature


def test_a_command_makes_the_data_with_a_bar_and_once(short, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = (CliRunner().invoke(app, ["inspect", "hairpin"]) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert "OpenMM, hairpin (once)" in first.output
    assert "native contacts" in first.output
    assert second.exit_code == 0
    assert "OpenMM" not in second.output
