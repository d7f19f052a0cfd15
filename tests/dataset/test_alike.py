"""Molecules that are alike: the network on internal coordinates knows them by their residues."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.config import parse
from fokker.config.presets import combine
from fokker.dataset.corpus import Known, load_corpus
from fokker.dataset.molecules import Molecules, Ranges, padded_features, shared_skeleton
from fokker.errors import FokkerError
from fokker.model import EnergyModel
from fokker.network import InvariantOptions, MoleculeInputs, NetworkInputs
from fokker.process import VariancePreservingOptions
from fokker.run.loaded import load_run
from fokker.run.molecule import molecule
from fokker.system import Skeleton, System, Vocabulary
from tests.cli.test_cli import call
from tests.helpers.peptides import SELECT, STRUCTURE, system_of, write_molecule, write_pdb
from tests.helpers.tools import random_rotation, randomise

PROCESS = VariancePreservingOptions().build()
T = jnp.asarray(0.05)
TINY = [
    "-sexperts.*.network.width=8",
    "-sexperts.*.network.depth=1",
    "-sexperts.*.training.batch_size=8",
    "-sexperts.*.training.steps=2",
]


def alike(folder) -> tuple[System, ...]:
    """Three dipeptides, the last of them of residues of the others, in other places."""
    return tuple(
        system_of(write_pdb(folder / f"{n}.pdb", r))
        for n, r in (("AS", "ALA SER"), ("AV", "ALA VAL"), ("VS", "VAL SER"))
    )


@pytest.fixture(scope="module")
def dipeptides(tmp_path_factory):
    """Energy model of two dipeptides with random weights, and features of all three."""
    systems = alike(tmp_path_factory.mktemp("alike"))
    vocabulary = Vocabulary.of(systems)
    features = padded_features(systems, vocabulary)
    known = padded_features(systems[:2], vocabulary)
    molecules = MoleculeInputs(vocabulary.kinds, known, np.arange(20) % 2, systems[0].skeleton)
    frames = 0.3 * np.random.default_rng(0).normal(size=(20, 10, 3)).astype(np.float32)
    inputs = NetworkInputs(frames + places(), (), 27, molecules)
    network = InvariantOptions(width=16, depth=2).build(inputs, "energy", jax.random.key(0))
    model = randomise(EnergyModel(network, PROCESS))
    return model, [jax.tree.map(lambda leaf, i=i: leaf[i], features) for i in range(3)]


def places() -> np.ndarray:
    """The structure of a dipeptide, in units of about its size."""
    rows = np.array([place[i] for i in range(2) for place in STRUCTURE.values()]) / 2.0
    return (rows - rows.mean(axis=0)).astype(np.float32)


def test_energy_depends_on_every_residue_and_not_on_the_orientation(dipeptides):
    model, features = dipeptides

    def energy(x, of) -> float:
        return float(model.energy(jnp.asarray(x), T, of))

    energies = [energy(places(), each) for each in features]
    assert len({round(energy, 3) for energy in energies}) == 3
    turned = places() @ random_rotation().astype(np.float32)
    mirrored = places() * np.array([1, 1, -1], np.float32)
    assert np.isclose(energy(turned, features[0]), energies[0], rtol=1e-4)
    assert not np.isclose(energy(mirrored, features[0]), energies[0], rtol=1e-2)


def test_a_residue_is_told_by_the_same_numbers_at_every_place(dipeptides):
    model, features = dipeptides
    alanine_serine, _, valine_serine = (
        np.asarray(model.network.residues(each)).reshape(2, 5, -1) for each in features
    )
    np.testing.assert_array_equal(alanine_serine[1], valine_serine[1])
    assert (alanine_serine[0] == alanine_serine[0, 0]).all()
    assert (alanine_serine[0] != valine_serine[0]).any()


def test_the_dipeptide_preset_has_the_network_of_alike_molecules():
    experts = combine("dipeptides", "fokker")["experts"]
    assert [expert["network"]["name"] for expert in experts] == ["invariant"] * 3


def test_a_new_molecule_must_be_alike(tmp_path):
    trained, other = tmp_path / "trained", tmp_path / "other"
    trained.mkdir()
    other.mkdir()
    write_molecule(trained, "AS", "ALA SER")
    write_molecule(trained, "VA", "VAL ALA")
    arguments = ["--folder", trained, "--temperature", 300, "--select", SELECT]
    call("train", "dipeptides", "--method", "diffusion", *arguments, *TINY, "-o", tmp_path / "run")
    folder = molecule(tmp_path / "run", write_pdb(other / "SV.pdb", "SER VAL"))
    loaded = load_run(folder)
    force = loaded.force(1e-5)(jnp.asarray(loaded.start_frames[0] * loaded.scaling.scale))
    assert np.isfinite(force).all()
    assert float(jnp.abs(force).max()) > 0
    with pytest.raises(FokkerError, match=r"A.pdb: its 5 beads .* are not, or not bonded like"):
        molecule(tmp_path / "run", write_pdb(other / "A.pdb", "ALA"))


def test_molecules_that_have_more_bonds_than_others_share_what_all_have(tmp_path):
    plain, _, other = alike(tmp_path)
    ring = other.model_copy(update={"bonds": (*other.bonds, (4, 0))})
    shared = plain.skeleton.shared(ring.skeleton)
    assert shared == plain.skeleton
    assert (0, 4) in ring.skeleton.bonds
    assert shared.fits(ring)
    assert not ring.skeleton.fits(plain)
    shorter = plain.model_copy(update={"beads": plain.beads[:5], "bonds": ()})
    assert plain.skeleton.shared(shorter.skeleton) is None
    systems = (plain, ring)
    rows = Ranges(np.arange(2), np.ones(2, int), np.ones(2))
    assert shared_skeleton(systems) == shared
    made = Molecules(systems, Vocabulary.of(systems), rows, rows, shared)
    assert made.inputs.skeleton == shared


def test_molecules_for_a_model_take_what_it_knows(tmp_path):
    """A molecule with a ring that others have not does not narrow the model that it tunes."""
    system = write_molecule(tmp_path, "AS", "ALA SER")
    raw = combine("dipeptides", "diffusion", [{"system": {"folder": str(tmp_path)}}])
    raw["system"] |= {"select": SELECT}
    (tmp_path / "others").mkdir()
    vocabulary = Vocabulary.of(alike(tmp_path / "others"))
    fewer = Skeleton(names=system.skeleton.names, bonds=system.skeleton.bonds[1:])
    corpus = load_corpus(parse(raw, "test").system, known=Known(vocabulary, fewer))
    assert corpus.molecules.skeleton == fewer
    assert Known.of({"many": corpus.describe()}) == Known(vocabulary, fewer)
    other = Skeleton(names=system.skeleton.names, bonds=((0, 9),))
    corpus = load_corpus(parse(raw, "test").system, known=Known(vocabulary, other))
    assert corpus.molecules.skeleton is None
