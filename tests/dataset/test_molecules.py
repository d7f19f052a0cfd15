"""Many molecules behind one model: masks, shares, vocabulary, one compilation, resuming."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fokker.config import T_MIN, parse
from fokker.dataset.corpus import load_corpus
from fokker.dataset.frames import centre
from fokker.dataset.molecules import Ranges, padded_features
from fokker.dataset.pool import Pool
from fokker.dataset.subject import Subject
from fokker.errors import FokkerError
from fokker.model import EnergyModel, ScoreModel
from fokker.model.force import Broken
from fokker.network import (
    GraphTransformerOptions,
    InvariantOptions,
    MLPOptions,
    MoleculeInputs,
    NetworkInputs,
)
from fokker.objective import Evaluation, Molecule, Noised, ObjectiveOptions
from fokker.process import VariancePreservingOptions
from fokker.runtime import checkpoint
from fokker.runtime.interruption import Interrupted, Stop
from fokker.sampler import ReverseProcess
from fokker.system import Bead, System, Vocabulary
from fokker.training.block import run_block
from fokker.training.expert import Stage
from fokker.training.schedule import Stages, initial_model
from fokker.training.simulating import RESTARTED
from fokker.workflow.train import train
from tests.helpers.analytic import MOLECULE_MEAN
from tests.helpers.peptides import SELECT, write_folders, write_molecule
from tests.helpers.tools import BEADS, BONDS, randomise

PADDED = 7
PROCESS = VariancePreservingOptions().build()
T = jnp.asarray(0.05)
GARBAGE = (1.0, 1e30, jnp.nan, jnp.inf)
OBJECTIVES = ("dsm", "diffclf", "ctsm", "torsion", "fitted", "rne", "fokker-planck")


def chain(n: int, name: str = "chain") -> System:
    """Beads in a row, of two kinds."""
    beads = tuple(Bead(name="AB"[i % 2], residue="POL", residue_index=i) for i in range(n))
    return System(
        name=name, dim=3, beads=beads, kT=2.5, bonds=tuple((i, i + 1) for i in range(n - 1))
    )


SYSTEMS = (chain(BEADS), chain(PADDED, "longer"))
VOCABULARY = Vocabulary.of(SYSTEMS)
STACKED = padded_features(SYSTEMS, VOCABULARY)
MASKED = jax.tree.map(lambda leaf: leaf[0], STACKED)
ALONE = jax.tree.map(lambda leaf: leaf[0], padded_features(SYSTEMS[:1], VOCABULARY))


def inputs() -> NetworkInputs:
    frames = np.random.default_rng(0).normal(size=(20, PADDED, 3)).astype(np.float32)
    molecules = MoleculeInputs(VOCABULARY.kinds, STACKED, np.zeros(20, int))
    return NetworkInputs(frames, (), 3 * (PADDED - 1), molecules)


def model(head: str = "energy"):
    """A model of many molecules with random weights."""
    options = GraphTransformerOptions(width=16, layers=2, heads=2, head_width=8)
    network = options.build(inputs(), head, jax.random.key(0))
    if head == "energy":
        return randomise(EnergyModel(network, PROCESS))
    return randomise(ScoreModel(network, PROCESS, True))


def padded(x, filling=0.0):
    rows = jnp.full((*x.shape[:-2], PADDED - BEADS, 3), filling, x.dtype)
    return jnp.concatenate([x, rows], axis=-2)


CLEAN = jnp.asarray(centre(MOLECULE_MEAN), jnp.float32)


@pytest.mark.parametrize("head", ["energy", "score"])
def test_padding_changes_nothing(head):
    score = eqx.filter_jit(model(head).score)
    alone, masked = score(CLEAN, T, ALONE), score(padded(CLEAN), T, MASKED)
    assert ALONE.present is None
    assert MASKED.present is not None
    np.testing.assert_allclose(masked[:BEADS], alone, rtol=2e-4, atol=1e-4)
    assert not np.asarray(masked[BEADS:]).any()


@pytest.mark.parametrize("head", ["energy", "score"])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_masked_bead_changes_nothing_to_the_bit(head, garbage):
    score = eqx.filter_jit(model(head).score)
    expected = score(padded(CLEAN), T, MASKED)
    np.testing.assert_array_equal(score(padded(CLEAN, garbage), T, MASKED), expected)
    if head == "energy":
        energy = eqx.filter_jit(model().energy)
        assert energy(padded(CLEAN, garbage), T, MASKED) == energy(padded(CLEAN), T, MASKED)


def test_energy_of_padding_is_that_without():
    energy = eqx.filter_jit(model().energy)
    assert np.isclose(energy(padded(CLEAN), T, MASKED), energy(CLEAN, T, ALONE), rtol=1e-5)


def build(name: str):
    options = TypeAdapter(ObjectiveOptions).validate_python({"name": name})
    if name == "fokker-planck":
        options = options.model_copy(update={"probes": "exact"})
    return options


@pytest.mark.parametrize("name", ["dsm", "diffclf", "ctsm", "torsion", "fokker-planck"])
def test_objectives_of_padded_frames_are_those_without(name):
    """With the same noise; terms that draw probes of their own are left to the next test."""
    energy_model, key = model(), jax.random.key(1)
    times = jnp.asarray([0.02, 0.05])

    def value(noised: Noised, molecule: Molecule):
        evaluation = Evaluation(energy_model, PROCESS, noised)
        return eqx.filter_jit(lambda k: build(name).build(molecule)(evaluation, k))(key)

    alone = Noised.draw(CLEAN, times, PROCESS, ALONE, key, centred=True)
    masked = Noised(padded(CLEAN), padded(alone.noise), times, padded(alone.frames), MASKED, True)
    expected = value(alone, Molecule(BEADS, BONDS))
    # whether a torsion has rows for padding is up to the molecule it is built for
    found = value(masked, Molecule(PADDED, BONDS))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-6)
    assert int(masked.degrees_of_freedom) == alone.degrees_of_freedom == 3 * (BEADS - 1)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_do_not_see_masked_beads(name):
    energy_model, key = model(), jax.random.key(1)

    @eqx.filter_jit
    def value(clean):
        times = jnp.asarray([0.02, 0.05])
        noised = Noised.draw(clean, times, PROCESS, MASKED, key, centred=True)
        evaluation = Evaluation(energy_model, PROCESS, noised)
        return build(name).build(Molecule(PADDED, BONDS))(evaluation, key)

    expected = value(padded(CLEAN))
    assert np.isfinite(expected)
    for garbage in GARBAGE:
        assert value(padded(CLEAN, garbage)) == expected


def test_noise_of_a_sampler_is_zero_where_padded_and_centred_elsewhere():
    reverse = ReverseProcess(model(), PROCESS, MASKED, True)
    noise = np.asarray(reverse.noise(jax.random.key(0), (50, PADDED, 3)))
    assert not noise[:, BEADS:].any()
    np.testing.assert_allclose(noise[:, :BEADS].mean(axis=1), 0.0, atol=1e-6)
    variance = (noise**2).sum(axis=(1, 2)).mean()
    assert abs(variance - 3 * (BEADS - 1)) < 2.0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (MLPOptions(), "is of one fixed molecule and the system has many"),
        (InvariantOptions(), "is for molecules that are alike"),
    ],
)
def test_networks_of_a_fixed_molecule_refuse_molecules_that_differ(options, match):
    assert not options.any_molecule
    with pytest.raises(FokkerError, match=match):
        options.build(inputs(), "energy", jax.random.key(0))


def test_molecules_of_one_size_need_no_mask():
    features = padded_features((chain(4), chain(4)), VOCABULARY)
    assert features.present is None
    assert features.kind.shape == (2, 4)


def test_separation_is_the_number_of_bonds_up_to_six():
    table = chain(9).separations
    assert table[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 6]
    apart = chain(3).model_copy(update={"bonds": ((0, 1),)})
    assert apart.separations[0].tolist() == [0, 1, 6]


def test_a_bead_that_was_never_seen_is_one_sentence():
    other = chain(2).model_copy(update={"beads": (Bead(name="A", residue="TRP"),) * 2})
    with pytest.raises(FokkerError, match=r"never trained on bead TRP1-A; of all residues .* POL"):
        VOCABULARY.indices(other)
    other = chain(2).model_copy(update={"beads": (Bead(name="Z", residue="POL"),) * 2})
    with pytest.raises(FokkerError, match=r"of POL it knows the beads A, B"):
        VOCABULARY.indices(other)


@pytest.mark.statistics
@settings(max_examples=20)  # every number of molecules and size of a batch compiles
@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(1e-3, 1e3)), min_size=1, max_size=4),
    st.sampled_from([1, 7, 64]),
    st.integers(0, 2**31 - 1),
)
def test_a_batch_keeps_the_shares_and_picks_frames_of_their_molecule(molecules, size, seed):
    count, weight = (np.array(column) for column in zip(*molecules, strict=True))
    ranges = Ranges(10 + np.arange(len(count)), count, weight.astype(float))
    pool = Pool(jnp.zeros((int(count.sum()), 2, 3)), ranges.shares)
    index, molecule = pool.pick(jax.random.key(seed), size)
    np.testing.assert_array_equal(ranges.of_frames[np.asarray(index)], molecule)
    drawn = np.bincount(np.asarray(molecule) - 10, minlength=len(count))
    edges = np.concatenate([[0.0], np.cumsum(weight / weight.sum())]) * size
    # float32 edges: a frame more or less at either end
    assert (np.abs(drawn - np.diff(edges)) < 2.0 + 1e-4 * size).all()


def config(folder, held_out=None, steps=4, refinement=None, reweighting=None, **system):
    expert = {
        "network": {"name": "graph-transformer", "width": 8, "layers": 1, "heads": 2}
        | {"head_width": 4},
        "training": {"steps": steps, "batch_size": 8, "objectives": {"dsm": {}, "torsion": {}}},
    }
    given = {"folder": str(folder), "validation": str(held_out or ""), "select": SELECT}
    raw = {
        "system": {"kind": "molecules", "temperature": 300.0, **given, **system},
        "experts": [expert],
        "refinement": refinement or {},
        "reweighting": reweighting or {},
        "sampling": {"n": 8, "sampler": {"name": "dpm-solver", "steps": 2}},
        "simulation": {"integrator": {"name": "langevin"}},
    }
    return parse(raw, "test")


def test_frames_of_many_molecules_are_padded_and_scaled_alike(tmp_path):
    trained, held_out = write_folders(tmp_path)
    corpus = load_corpus(config(trained, held_out).system)
    dataset, molecules = corpus.dataset, corpus.molecules
    assert [system.name for system in molecules.systems] == ["A", "AS", "SA"]
    assert dataset.training.shape == (280, 10, 3)
    assert dataset.validation.shape == (120, 10, 3)
    assert not dataset.training[:120, 5:].any()
    assert dataset.training[120:, 5:].any()
    small, large = dataset.training[:120, :5], dataset.training[120:]
    assert np.isclose((np.mean(small**2) + np.mean(large**2)) / 2, 1.0, rtol=1e-4)
    assert dataset.name_of(130) == "frame 10 of the trajectory of AS"
    assert ("ALA", "CA") in molecules.vocabulary.kinds
    assert len(molecules.vocabulary.kinds) == 10
    _, molecule = dataset.validation_pool(30).pick(jax.random.key(0), 16)
    assert set(np.asarray(molecule).tolist()) == {2}


def test_without_validation_molecules_frames_are_held_out_in_blocks(tmp_path):
    trained, _ = write_folders(tmp_path)
    corpus = load_corpus(config(trained, max_frames=100, validation_fraction=0.1).system)
    assert corpus.molecules.training.count.tolist() == [90, 90]
    assert corpus.molecules.validation.count.tolist() == [10, 10]


def test_a_validation_molecule_must_be_new_and_made_of_known_beads(tmp_path):
    trained, held_out = write_folders(tmp_path)
    write_molecule(held_out, "X", "ALA SER")
    with pytest.raises(FokkerError, match=r"'X' has the beads of 'AS', which is trained on"):
        load_corpus(config(trained, held_out).system)
    write_molecule(held_out, "A", "ALA SER")
    with pytest.raises(FokkerError, match="molecule 'A' is trained on as well"):
        load_corpus(config(trained, held_out).system)
    for file in held_out.iterdir():
        file.unlink()
    write_molecule(held_out, "W", "TRP ALA")
    with pytest.raises(FokkerError, match="never trained on bead TRP1-N"):
        load_corpus(config(trained, held_out).system)


def write_tests(root, name, residues):
    """A folder of one molecule to judge by."""
    folder = root / f"test-{name}"
    folder.mkdir()
    write_molecule(folder, name, residues)
    return folder


def test_a_test_molecule_serves_no_other_purpose_and_has_known_beads(tmp_path):
    trained, held_out = write_folders(tmp_path)
    for name, residues, message in (
        ("A", "SER SER", "molecule 'A' is trained on as well"),
        ("SA", "SER SER", "molecule 'SA' chooses the weights as well"),
        ("X", "ALA SER", "'X' has the beads of 'AS', which is trained on"),
        ("Y", "SER ALA", "'Y' has the beads of 'SA', which chooses the weights"),
        ("W", "TRP ALA", "never trained on bead TRP1-N"),
    ):
        folder = write_tests(tmp_path, name, residues)
        with pytest.raises(FokkerError, match=message):
            load_corpus(config(trained, held_out, test=str(folder)).system)


def test_weights_do_not_depend_on_what_judges_them(tmp_path, monkeypatch):
    """Other test molecules, of another size and other frames, or none: the same bits."""
    monkeypatch.setattr("fokker.training.block.BLOCK", 2)
    trained, held_out = write_folders(tmp_path)
    small = write_tests(tmp_path, "S", "SER")
    large = write_tests(tmp_path, "SS", "SER SER")
    kept = []
    for number, test in enumerate((None, small, large)):
        chosen = config(trained, held_out, steps=8, **({"test": str(test)} if test else {}))
        corpus = load_corpus(chosen.system)
        assert "S" not in [system.name for system in corpus.molecules.systems]
        out = tmp_path / f"run-{number}"
        train(chosen, out)
        kept.append((checkpoint.latest(out / "checkpoint") / "model.safetensors").read_bytes())
    assert kept[0] == kept[1] == kept[2]


def test_many_molecules_are_one_program(tmp_path, monkeypatch):
    trained, _ = write_folders(tmp_path)
    chosen = config(trained)
    corpus = load_corpus(chosen.system)
    traces = []
    original = Stage.update
    monkeypatch.setattr(Stage, "update", lambda self, *a: (traces.append(1), original(self, *a))[1])
    molecules = corpus.molecules
    network = chosen.experts[0].network.build(
        NetworkInputs(corpus.dataset.training, (), 27, molecules.inputs),
        "energy",
        jax.random.key(0),
    )
    stage, state = Stage.create(
        EnergyModel(network, PROCESS),
        PROCESS,
        molecules.features,
        (0.0, 1.0),
        chosen.experts[0].training,
        molecules=[Molecule(s.n_beads, s.bonds) for s in molecules.systems],
        centred=True,
        seed=0,
    )
    for _ in range(3):
        state, logs = run_block(stage, state, corpus.dataset.pool, 4)
    assert len(traces) == 1
    assert np.isfinite(logs["loss"]).all()
    batch = stage.draw(corpus.dataset.pool, state.step)
    assert sorted(np.asarray(batch.molecule).tolist()) == [0] * 4 + [1] * 4


def refinement(folder, chains):
    """A refinement of molecules of five and ten beads."""
    chosen = config(folder, refinement={"steps": 9, "chains": chains, "stride": 3, "batch_size": 4})
    return last_stage(chosen)


def last_stage(chosen):
    """Data and the last stage, of molecules that break as their frames say."""
    corpus = load_corpus(chosen.system)
    molecules = corpus.molecules
    model = initial_model(chosen, molecules.largest, corpus.dataset.training, molecules.inputs)
    limits = [Broken.create(s, corpus.limits.of_system(s)) for s in molecules.systems]
    stages = Stages(chosen, Subject(molecules.largest, corpus.dataset, Broken.stacked(limits)))
    job = stages.create(len(stages) - 1, model)
    return corpus, (job.expert, job.stage, job.state, job.pool)


def test_a_refinement_simulates_every_molecule(tmp_path):
    corpus, (number, stage, state, pool) = refinement(write_folders(tmp_path)[0], 6)
    assert number == 0
    ensemble, molecules = stage.ensemble, corpus.molecules
    assert np.asarray(ensemble.place).tolist() == [0] * 3 + [1] * 3
    masses = np.asarray(ensemble.own.integrator.masses)
    np.testing.assert_allclose(masses[0, :5], molecules.systems[0].masses)
    np.testing.assert_allclose(masses[5], molecules.systems[1].masses)
    for _ in range(2):
        state, logs = run_block(stage, state, pool, 4)
        assert all(np.isfinite(values).all() for values in logs.values())
    assert logs[RESTARTED].mean() < 0.5
    frames = pool.frames[ensemble.training_rows(pool, jax.random.key(1), 7)]
    assert frames.shape == (6, 7, 10, 3)
    assert not frames[:3, :, 5:].any()
    assert frames[3:, :, 5:].any()


def test_a_chain_is_judged_as_its_own_molecule(tmp_path):
    """Energy, force and limits of five beads in a row of ten are those of five beads."""
    corpus, (_, stage, state, pool) = refinement(write_folders(tmp_path)[0], 6)
    ensemble, parameters = stage.ensemble, randomise(state.parameters)
    model, t = stage.model(parameters), jnp.asarray(T_MIN)
    x = pool.frames[ensemble.training_rows(pool, jax.random.key(1), 2)]
    alone = padded_features(corpus.molecules.systems[:1], corpus.molecules.vocabulary)
    alone = jax.tree.map(lambda leaf: leaf[0], alone)
    whole = jax.tree.map(lambda leaf: leaf[5], ensemble.own.features)
    energies = [model.energy(one[:5], t, alone) / 12 for one in x[:3].reshape(6, 10, 3)]
    energies += [model.energy(one, t, whole) / 27 for one in x[3:].reshape(6, 10, 3)]
    mean = ensemble.mean_energy(model, x)
    assert mean == pytest.approx(float(np.mean(energies)), rel=1e-4)
    chains = state.chains
    assert np.asarray(ensemble.sound(chains)).all()
    far = chains._replace(x=chains.x.at[0, 0].add(9.0).at[1, 9].add(9.0).at[4, 9].add(9.0))
    assert np.asarray(ensemble.sound(far)).tolist() == [False, True, True, True, False, True]
    moved = ensemble.advance(model, chains, jnp.asarray(0), 3)
    centres = np.asarray(moved.x[0, :5].mean(axis=0)), np.asarray(moved.x[5].mean(axis=0))
    np.testing.assert_allclose(centres, 0.0, atol=1e-5)
    assert not moved.x[0, 5:].any()


@pytest.mark.statistics
def test_recorded_frames_are_weighted_among_those_of_their_own_molecule(tmp_path):
    """Molecules whose energies have quite other levels change alike."""
    options = {"rounds": 1, "chains": 6, "frames": 4, "stride": 3, "steps": 3, "draws": 4}
    chosen = config(write_folders(tmp_path)[0], reweighting={**options, "batch_size": 4})
    _, (_, stage, state, pool) = last_stage(chosen)
    state, logs = run_block(stage, state, pool, 7)
    assert np.isfinite(logs["loss"]).all()
    assert (logs["gradient_norm"][4:] > 0).all()
    change = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    w = np.asarray(stage.ensemble.boltzmann(jnp.asarray(change), jnp.ones((6, 4))))
    np.testing.assert_allclose([w[:3].mean(), w[3:].mean()], 1.0, rtol=1e-5)
    np.testing.assert_allclose(w[0, 0] / w[2, 3], np.exp(change[2, 3] - change[0, 0]), rtol=1e-4)
    levels = np.repeat([[500.0], [-300.0]], 3, axis=0).astype(np.float32)
    same = stage.ensemble.boltzmann(jnp.asarray(change + levels), jnp.ones((6, 4)))
    np.testing.assert_allclose(same, w, rtol=1e-3)


def test_every_molecule_needs_a_chain(tmp_path):
    with pytest.raises(FokkerError, match=r"refinement\.chains = 1: there are 2 molecules"):
        refinement(write_folders(tmp_path)[0], 1)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    trained, held_out = write_folders(tmp_path)
    monkeypatch.setattr("fokker.training.block.BLOCK", 3)
    short = {"steps": 3, "chains": 2, "stride": 2, "batch_size": 4}
    chosen = config(trained, held_out, steps=8, refinement=short)
    train(chosen, tmp_path / "whole")
    calls = iter([False, True])
    monkeypatch.setattr(Stop, "__call__", lambda self: next(calls))
    with pytest.raises(Interrupted):
        train(chosen, tmp_path / "parts", stop=Stop())
    train(chosen, tmp_path / "parts", resume=True)
    for name in ("model", "training"):
        paths = [
            checkpoint.latest(tmp_path / run / "checkpoint") / f"{name}.safetensors"
            for run in ("whole", "parts")
        ]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    with pytest.raises(FokkerError, match="other settings of 'system'"):
        train(config(trained, None, steps=8, refinement=short), tmp_path / "parts", resume=True)
    write_molecule(trained, "S", "SER")
    with pytest.raises(FokkerError, match="other molecules or frames"):
        train(chosen, tmp_path / "parts", resume=True)
