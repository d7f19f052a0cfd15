"""Refinement: its gradient is that of the relative entropy, and simulations come out right."""

import dataclasses
import json
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.config import parse
from fokker.config.presets import assignment, combine
from fokker.dataset.emphasis import emphasised as with_probability
from fokker.dataset.frames import prepare
from fokker.dataset.pool import Pool, Shares, edges_of
from fokker.dataset.subject import Subject
from fokker.dynamics import simulate
from fokker.errors import FokkerError
from fokker.model import AbstractEnergy
from fokker.runtime import checkpoint
from fokker.runtime.interruption import Interrupted
from fokker.system import Bead, System
from fokker.training import Files, Watch, block, train
from fokker.training import loop as training
from fokker.training.block import run_block
from fokker.training.chains import _product_over
from fokker.training.refinement import Refinement
from fokker.training.schedule import Stages, initial_model
from fokker.training.simulating import GAP, RESTARTED
from fokker.training.stage import TrainingState

SYSTEM = System(name="plane", dim=2, beads=(Bead(name="X"),), kT=1.0, centred=False, length_unit="")
COVARIANCE = np.array([[1.0, 0.3], [0.3, 0.61]])


def dataset(n=20_000):
    """A correlated Gaussian."""
    positions = np.random.default_rng(0).normal(size=(n, 1, 2)) @ np.linalg.cholesky(COVARIANCE).T
    return prepare(positions.astype(np.float32), SYSTEM)


def config(*extra, steps=8, width=8):
    """Ours with two short experts and a refinement."""
    settings = {
        "experts.*.network.width": width,
        "experts.*.network.depth": 1,
        "experts.*.training.steps": 4,
        "experts.*.training.batch_size": 16,
        "refinement.steps": steps,
        "refinement.chains": 8,
        "refinement.stride": 3,
        "refinement.frames": 2,
        "refinement.batch_size": 8,
    }
    changes = [assignment(f"{key}={value}") for key, value in settings.items()]
    return parse(combine("mixture-2d", "fokker", [*changes, *map(assignment, extra)]), "test")


def refinement(settings, data, is_broken=None):
    """The stage, its first state and its frames."""
    model = initial_model(settings, SYSTEM, data.training)
    subject = Subject(SYSTEM, data, is_broken)
    job = Stages(settings, subject).create(len(settings.experts), model)
    assert job.expert == 0
    return job.stage, job.state, job.pool


def run(folder, settings, data, **options):
    folder.mkdir(exist_ok=True)
    known = {field.name for field in dataclasses.fields(Watch)}
    watch = Watch(**{name: options.pop(name) for name in known & set(options)})
    subject = Subject(SYSTEM, data, options.pop("is_broken", None), start_frames=data.training[:4])
    files = Files(folder / "checkpoint", folder / "training.jsonl")
    return train(settings, subject, files, watch=watch, **options)


def run_in_parts(folder, settings, data):
    """The same, stopped at every other chance and continued."""
    stops, resumed = iter([False, True] * 20), False
    while True:
        try:
            return run(folder, settings, data, resume=resumed, should_stop=lambda: next(stops))
        except Interrupted:
            resumed = True


def arrays(tree):
    return jax.tree.leaves(eqx.filter(tree, eqx.is_array))


class Harmonic(AbstractEnergy):
    """`energy = k |x|^2 / 2`."""

    k: jax.Array

    def energy(self, x, t, features):
        return 0.5 * self.k * jnp.sum(x**2)

    def energy_and_score(self, x, t, features):
        return self.energy(x, t, features), self.score(x, t, features)

    def score(self, x, t, features):
        return -self.k * x


@pytest.mark.statistics
def test_gradient_is_that_of_the_relative_entropy():
    """Of a Gaussian of variance 1 to one of variance 1 / k: `dS/dk = (1 - 1 / k)` in the plane."""
    stage, _, _ = refinement(config(), dataset(100))
    n, k = 200_000, 1.7
    data, own = np.random.default_rng(1).normal(size=(2, n, 1, 2)).astype(np.float32)
    own /= np.sqrt(k)
    blank = eqx.tree_at(lambda s: s.stage.frozen, stage, Harmonic(None))
    frames = jnp.asarray(data)[:, None], jnp.asarray(own)
    gradient = 2 * jax.grad(blank.gap)(Harmonic(jnp.asarray(k)), *frames).k
    # |x|^2 / 2 in the plane has mean and standard deviation 1, of the chains 1 / k
    error = np.sqrt((1.0 + 1.0 / k**2) / n)
    assert abs(float(gradient) - (1.0 - 1.0 / k)) < 4 * error


@pytest.mark.statistics
@pytest.mark.parametrize("lifetime", [0, 10])
def test_a_simulation_comes_out_right_that_was_wrong(lifetime):
    """From a network that has learned nothing, with no other objective to speak of."""
    settings = config(
        "refinement.chains=256", "refinement.frames=4", "refinement.stride=20",
        "refinement.learning_rate=5e-3", "refinement.weight=2.0", "simulation.integrator.dt=0.1",
        f"refinement.lifetime={lifetime}",
        "experts.0.training.objectives={dsm={weight=1e-6}, diffclf={weight=0}, torsion={weight=0}}",
        steps=600, width=32,
    )  # fmt: skip
    data = dataset()
    stage, state, pool = refinement(settings, data)
    first, chains, frames_of_chain = state.average, 256, 200

    def covariance(parameters):
        force = eqx.tree_at(lambda f: f.model, stage.ensemble.force, stage.model(parameters))
        blocks = []
        x0 = data.scaling.invert(data.training[:chains])
        simulate(
            stage.ensemble.own.integrator, force, x0, jax.random.key(3), stride=100,
            n_steps=100 * frames_of_chain, centred=False,
            on_block=lambda block: blocks.append(block.frames),
        )  # fmt: skip
        return np.cov(np.concatenate(blocks)[20:].reshape(-1, 2).T)

    assert np.abs(covariance(first) - COVARIANCE).max() > 0.2
    for _ in range(3):
        state, logs = run_block(stage, state, pool, 200)
    assert np.abs(logs[GAP].mean()) < 0.2
    # 20,000 frames have a relative error of a percent; so have the chains of the last updates
    assert np.abs(covariance(state.average) - COVARIANCE).max() < 0.06


def begun_at(stage, pool, n):
    """The frame that each chain of an update began from."""
    born = stage._born(jnp.asarray(n, jnp.int32))
    return np.asarray(pool.frames[stage.ensemble.first_rows(pool, stage.restart, born)])


def test_chains_of_a_lifetime_begin_again_from_frames():
    """Ages are spread evenly, every chain has its turn, and frames are drawn anew each time."""
    stage, state, pool = refinement(config("refinement.lifetime=4"), dataset(500))
    known = {row.tobytes() for row in np.asarray(pool.frames)}
    seen, before = [], None
    for n in range(13):
        ages = n - np.asarray(stage._born(jnp.asarray(n)))
        assert ages.min() >= 0
        assert ages.max() == min(n, 3)
        if n >= 3:
            assert np.bincount(ages).tolist() == [2, 2, 2, 2]
        begun = begun_at(stage, pool, n)
        assert {row.tobytes() for row in begun} <= known
        if before is not None:
            changed = (begun != before).any(axis=(1, 2))
            assert (changed == (ages == 0)).all()
        seen.append(begun.tobytes())
        before = begun
    assert len(set(seen)) == 13
    # a chain that has just begun is a stride away from its frame, whatever it was before
    far = eqx.tree_at(lambda s: s.chains.x, state, state.chains.x + 50.0)
    far = eqx.tree_at(lambda s: s.step, far, jnp.asarray(8, jnp.int32))
    after, _ = run_block(stage, far, pool, 1)
    young = np.asarray(stage._born(jnp.asarray(8))) == 8
    away = np.abs(np.asarray(after.chains.x)).max(axis=(1, 2)) > 20.0
    assert (away == ~young).all()


def test_chains_without_a_lifetime_never_begin_again():
    stage, state, pool = refinement(config(), dataset(100))
    for n in (0, 8, 5000):
        far = eqx.tree_at(lambda s: s.chains.x, state, state.chains.x + 50.0)
        far = eqx.tree_at(lambda s: s.step, far, jnp.asarray(n, jnp.int32))
        after, _ = run_block(stage, far, pool, 1)
        assert (np.abs(np.asarray(after.chains.x)).max(axis=(1, 2)) > 20.0).all()


HALVES = jnp.asarray(edges_of(np.array([0.5, 0.5])))


def test_each_chain_has_its_part_of_the_frames_of_its_molecule_and_all_frames_count_alike():
    """Three chains of a molecule of 31 frames, two of one of 9, which come after 5 of another."""
    stage, _, pool = refinement(config("refinement.chains=5"), dataset(60))
    place, first, count = jnp.asarray([0, 0, 0, 1, 1]), jnp.asarray([0, 36]), jnp.asarray([31, 9])
    numbered = jnp.arange(len(pool.frames), dtype=jnp.float32)[:, None, None]
    pool = Pool(numbered, Shares(jnp.arange(2), first, count, HALVES))
    ensemble = eqx.tree_at(lambda e: e.place, stage.ensemble, place)
    n = 20_000
    drawn = np.asarray(ensemble.training_rows(pool, jax.random.key(0), n))
    ends = [(0, 31 / 3), (31 / 3, 62 / 3), (62 / 3, 31), (36, 40.5), (40.5, 45)]
    for frames, (low, high) in zip(drawn, ends, strict=True):
        assert frames.min() == int(low)
        assert frames.max() == int(np.ceil(high)) - 1
    for own, (start, size) in ((drawn[:3], (0, 31)), (drawn[3:], (36, 9))):
        counts = np.bincount(own.ravel() - start, minlength=size)
        assert len(counts) == size
        expected = own.size / size
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.statistics
def test_parts_take_the_noise_of_slow_motions_away():
    """Two states that take turns every 1,000 frames: the mean over chains is that of all frames."""
    positions = np.random.default_rng(0).normal(size=(20_000, 1, 2)).astype(np.float32)
    positions[:, 0, 0] += np.where(np.arange(20_000) // 1_000 % 2, 10.0, -10.0)
    stage, _, pool = refinement(config("refinement.chains=64"), prepare(positions, SYSTEM))
    assert len(pool.frames) == 19_000  # a validation block of one state is left out
    ensemble, truth = stage.ensemble, float(pool.frames[:, 0, 0].mean())
    means = [
        float(pool.frames[ensemble.training_rows(pool, jax.random.key(i), 1), 0, 0].mean())
        for i in range(200)
    ]
    alike = float(pool.frames[:, 0, 0].std()) / 8
    assert np.std(means) < 0.6 * alike
    assert abs(np.mean(means) - truth) < 4 * np.std(means) / np.sqrt(200)


def emphasised(pool, factors):
    """The same frames, each drawn so much more often than on average."""
    return dataclasses.replace(pool, emphasis=with_probability(factors, [len(factors)]))


@pytest.mark.statistics
@pytest.mark.parametrize("rare", [False, True])
def test_chains_begin_from_every_one_of_twenty_million_frames(rare):
    """Float32 tells every second frame of the last three millions from its neighbour, at most."""
    n, chains, draws = 20_000_000, 3, 200_000
    stage, _, _ = refinement(config(f"refinement.chains={chains}"), dataset(60))
    found = with_probability(np.ones(n), [n]) if rare else None
    pool = Pool(jnp.zeros((n, 0, 1)), emphasis=found)
    born = jnp.zeros(chains, jnp.int32)
    rows = np.asarray(stage.ensemble.training_rows(pool, jax.random.key(0), draws))
    assert rows.min() >= 0
    assert rows.max() < n
    for part, own in enumerate(rows):
        assert part * n // chains <= own.min()
        assert own.max() <= -(-(part + 1) * n // chains)
        shares = np.bincount(own % 8, minlength=8) / draws
        assert np.abs(shares - 1 / 8).max() < 5 * np.sqrt(1 / 8 / draws)
    begun = [stage.ensemble.first_rows(pool, jax.random.key(1), born + i)[-1] for i in range(64)]
    assert np.asarray(begun).min() >= 2 * n // 3
    assert 12 < np.sum(np.asarray(begun) % 2) < 52


def test_parts_of_very_many_chains_are_exact():
    """Where they begin is a product that 32 bits do not hold."""
    a = np.array([0, 1, 69_999, 123_456_789], np.int32)
    b = np.array([0, 70_000, 69_998, 345_678_901], np.int32)
    n = np.array([1, 70_001, 70_001, 500_000_003], np.int32)
    quotient, rest = _product_over(*map(jnp.asarray, (a, b, n)))
    exact = a.astype(np.int64) * b
    np.testing.assert_array_equal(quotient, exact // n)
    np.testing.assert_array_equal(rest, exact % n)


def test_emphasised_frames_are_drawn_more_often_and_means_stay():
    """Three chains of a molecule of 31 frames, two of one of 9, which come after 5 of another."""
    stage, _, pool = refinement(config("refinement.chains=5"), dataset(60))
    place, first, count = jnp.asarray([0, 0, 0, 1, 1]), jnp.asarray([0, 36]), jnp.asarray([31, 9])
    pool = Pool(pool.frames, Shares(jnp.arange(2), first, count, HALVES))
    factors = np.random.default_rng(0).uniform(0.2, 3.0, len(pool.frames))
    pool = emphasised(pool, factors)
    ensemble = eqx.tree_at(lambda e: e.place, stage.ensemble, place)
    n = 20_000
    rows = ensemble.training_rows(pool, jax.random.key(0), n)
    weights = np.asarray(ensemble.weights(pool, rows))
    drawn, value = np.asarray(rows), np.asarray(pool.frames[:, 0, 0])
    for chains, own in ((slice(3), slice(0, 31)), (slice(3, 5), slice(36, 45))):
        counts = np.bincount(drawn[chains].ravel() - own.start, minlength=own.stop - own.start)
        expected = counts.sum() * factors[own] / factors[own].sum()
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())
        assert weights[chains].mean() == pytest.approx(1.0, abs=1e-5)
        terms = weights[chains] * (value[drawn[chains]] - value[own].mean())
        assert abs(terms.mean()) < 4 * terms.std() / np.sqrt(terms.size)
    born = jnp.zeros(5, jnp.int32)
    begun = np.asarray(ensemble.first_rows(pool, stage.restart, born))
    assert (begun[:3] < 31).all()
    assert (begun[3:] >= 36).all()


@pytest.mark.statistics
@pytest.mark.parametrize(("lifetime", "emphasise"), [(0, 0), (1, 0), (4, 0), (1, 1), (4, 1)])
def test_a_simulation_that_is_right_stays_right_whatever_the_lifetime(lifetime, emphasise):
    """The energy of the data has no gap at any age of the chains, wherever these began."""
    positions = np.random.default_rng(0).normal(size=(50_000, 1, 2)).astype(np.float32)
    data, chains, updates = prepare(positions, SYSTEM), 64, 400
    integrator = f"{{name='overdamped', dt={0.01 * SYSTEM.masses[0]}, friction=1.0}}"
    settings = config(
        f"refinement.lifetime={lifetime}", f"refinement.emphasise={str(bool(emphasise)).lower()}",
        "refinement.frames=4", "refinement.stride=5",
        f"refinement.chains={chains}", f"simulation.integrator={integrator}",
        "refinement.learning_rate=1e-12", "experts.0.training.objectives={dsm={weight=1e-6}}",
        steps=updates,
    )  # fmt: skip
    stage, state, pool = refinement(settings, data)
    variance = 1.0  # of |x|^2 / 2
    if emphasise:
        radius = np.linalg.norm(np.asarray(pool.frames)[:, 0], axis=1)
        pool = emphasised(pool, np.where(radius > 2.0, 8.0, 1.0))
        variance = float(np.mean(pool.emphasis.weight * (radius**2 / 2 - 1.0) ** 2))
    well = Harmonic(jnp.asarray(1.0))
    stage = eqx.tree_at(lambda s: s.stage.frozen, stage, Harmonic(None))
    optimiser = stage.stage.optimiser.init(well)
    state = TrainingState(well, well, optimiser, state.step, state.chains)
    gaps = []
    for _ in range(updates // 200):
        state, logs = run_block(stage, state, pool, 200)
        gaps.append(2 * logs[GAP])
    gaps = np.concatenate(gaps)
    # it forgets by exp(-0.1) an update, or with each life
    independent = chains * updates / (lifetime or 20)
    error = np.sqrt(variance / independent) + np.sqrt(variance / (4 * chains * updates))
    assert abs(gaps.mean()) < 4 * error


def test_chains_that_never_begin_again_cannot_start_from_rare_frames():
    with pytest.raises(FokkerError, match=r"emphasise: .* set a lifetime"):
        config("refinement.emphasise=true")


def test_rare_frames_that_nothing_emphasises_are_refused():
    with pytest.raises(FokkerError, match=r"experts\.0\.training\.rare, which is 0"):
        config("refinement.emphasise=true", "refinement.lifetime=5", "experts.*.training.rare=0")


def test_more_steps_than_can_be_counted_are_refused():
    with pytest.raises(FokkerError, match=r"steps x stride is 2,147,483,648 simulation steps"):
        config("refinement.steps=1048576", "refinement.stride=2048")


def test_a_broken_chain_begins_again_from_a_training_frame():
    data = dataset(200)
    stage, state, pool = refinement(config(), data, is_broken=lambda x: x[0, 0] > 0.0)
    state, logs = run_block(stage, state, pool, 2)
    assert 0.1 < logs[RESTARTED].mean() < 0.9
    training = np.asarray(data.scaling.invert(data.training)).reshape(-1, 2)
    x = np.asarray(state.chains.x).reshape(-1, 2)
    again = [np.abs(training - row).max(axis=1).min() < 1e-6 for row in x]
    assert np.mean(again) == pytest.approx(float(logs[RESTARTED][-1]))
    assert all(x[~np.array(again), 0] <= 0.0)


def test_chains_that_break_end_it_with_the_weights_before_kept(tmp_path, monkeypatch):
    """It is told, logged and in the checkpoint; what follows would begin from those weights."""
    monkeypatch.setattr(block, "BLOCK", 4)
    settings, data, told = config(), dataset(500), []
    before = run(tmp_path / "before", config(steps=0), data)
    broken = {"is_broken": lambda x: x[0, 0] > 0.0, "on_message": told.append}
    after = run(tmp_path / "run", settings, data, **broken)
    (message,) = (text for text in told if text.startswith("refinement"))
    assert re.search(
        r"ended at step 4 of 8: \d+% of the chains .* train the expert longer", message
    )
    lines = (tmp_path / "run" / "training.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert last["name"] == "refinement"
    assert last["ended"] in message
    assert last["terms"][RESTARTED] > 0.1
    newest = checkpoint.latest(tmp_path / "run" / "checkpoint")
    assert checkpoint.read_manifest(newest)["progress"]["stage"] == settings.n_stages
    like = training.inference_group(before, data.training[:4])
    stored = checkpoint.load(newest, "model", like)["model"]
    for a, b, c in zip(arrays(before), arrays(stored), arrays(after), strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


@pytest.mark.statistics
@pytest.mark.parametrize("lifetime", [0, 1, 20, 350])
@pytest.mark.parametrize("chains", [32, 512])
def test_the_share_of_lives_that_are_lost_has_a_limit(lifetime, chains):
    """By a known rate at which chains break in each update, as many lives as the lifetime says."""
    settings = config(
        f"refinement.lifetime={lifetime}", f"refinement.chains={chains}", "refinement.steps=1000"
    )
    stage, _, _ = refinement(settings, dataset(60))
    rng, life = np.random.default_rng(0), lifetime or 1000

    def ended(share):
        """How often so large a share of lost lives ends it, over one block of 250 updates."""
        rate = 1.0 - (1.0 - share) ** (1.0 / life)
        lost = rng.binomial(chains, rate, (400, 250)).sum(axis=1)
        return np.mean([stage.objection(float(n), 250, 500) is not None for n in lost])

    lives = chains * 250 / life
    assert ended(0.02) < 0.2  # by chance, beyond two standard deviations of few lives
    assert ended(0.005) < 0.02 + 0.5 * (lives < 30) * lives / 30
    assert ended(0.5) > 0.95
    message = stage.objection(chains * 250 * 0.02, 250, 500)
    assert (message is None) == (lifetime == 1)
    if lifetime == 350:
        assert "100% of the chains" in message


def test_where_it_ends_does_not_depend_on_how_blocks_were_cut(tmp_path, monkeypatch):
    """On a slow machine a block ends early: what is judged, and what is kept, stays the same."""
    monkeypatch.setattr(block, "BLOCK", 4)
    data, ends, models = dataset(500), [], []
    broken = lambda x: x[0, 0] > 0.0  # noqa: E731
    for name, slow in (("fast", False), ("slow", True)):
        if slow:
            monkeypatch.setattr(block, "FIRST_PIECE", 1)
            monkeypatch.setattr(block, "PIECE_SECONDS", 0.0)
            monkeypatch.setattr(block, "CHECKPOINT_SECONDS", 0.0)
        models.append(run(tmp_path / name, config(), data, is_broken=broken))
        lines = (tmp_path / name / "training.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if row["name"] == "refinement"]
        ends.append([(row["step"], row["ended"]) for row in rows if "ended" in row])
        assert (len(rows) > 2) == slow
    assert ends[0] == ends[1]
    assert ends[0]
    for a, b in zip(*map(arrays, models), strict=True):
        assert (np.asarray(a) == np.asarray(b)).all()


def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(block, "BLOCK", 4)
    settings, data = config(), dataset(500)
    whole = run(tmp_path / "whole", settings, data)
    model = run_in_parts(tmp_path / "part", settings, data)
    for a, b in zip(arrays(whole), arrays(model), strict=True):
        assert np.array_equal(a, b)
    lines = (tmp_path / "part" / "training.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert (last["stage"], last["step"]) == (3, 8)
    assert {GAP, RESTARTED, "dsm", "diffclf"} <= set(last["terms"])


def test_only_the_expert_that_simulates_changes(tmp_path):
    data = dataset(500)
    plain = run(tmp_path / "plain", config(steps=0), data)
    refined = run(tmp_path / "refined", config(), data)
    same = [
        all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))
        for a, b in zip(plain.experts, refined.experts, strict=True)
    ]
    assert same == [False, True, True]


def test_one_program_for_every_length_and_seed(monkeypatch):
    data, traces = dataset(500), []
    original = Refinement.update
    counted = lambda self, *a: (traces.append(1), original(self, *a))[1]  # noqa: E731
    monkeypatch.setattr(Refinement, "update", counted)
    for text, length in (("seed=0", 3), ("seed=1", 5), ("refinement.steps=90", 3)):
        # no other test has seven chains, so nothing is compiled yet
        stage, state, pool = refinement(config(text, "refinement.chains=7"), data)
        state, logs = run_block(stage, state, pool, length)
        assert len(logs["loss"]) == length
        assert set(logs) == {*stage.logged, "loss", "gradient_norm"}
    assert len(traces) == 1


def test_a_frame_that_is_not_finite_is_named(tmp_path):
    data = dataset(500)
    data.training[:] = np.nan
    stage, state, pool = refinement(config(), data)
    name, value, row, times = stage.culprit(state.parameters, pool, state.step)
    assert name in stage.stage.logged
    assert not np.isfinite(value)
    assert 0 <= row < len(data.training)
    assert np.all(np.isfinite(times))


def test_a_method_without_a_refinement_makes_none_and_effort_shortens_ours():
    steps = parse(combine("hairpin", "fokker"), "test").refinement.steps
    assert steps > 0
    assert parse(combine("hairpin", "fokker", effort=0.5), "test").refinement.steps == steps / 2
    assert parse(combine("hairpin", "both"), "test").refinement.steps == 0
    assert parse(combine("mueller-brown", "fokker"), "test").refinement.steps == 0


SCORE = (
    'experts.0.kind="score"',
    "experts.0.training.objectives={dsm={}, diffclf={weight=0}, torsion={weight=0}}",
)


def test_a_score_without_an_energy_cannot_be_refined():
    raw = combine("hairpin", "fokker", [assignment(text) for text in SCORE])
    with pytest.raises(FokkerError, match='kind = "score"'):
        parse(raw, "test")


def test_a_trained_run_is_refined_with_its_experts_left_as_they_are(tmp_path):
    """Stages of no steps change nothing, and a run whose last stage has none is finished."""
    data, none = dataset(500), "experts.*.training.steps=0"
    plain = run(tmp_path / "plain", config(steps=0), data)
    given = {"pretrained": plain}
    refined = run(tmp_path / "a", config(none, 'pretrained="plain"'), data, **given)
    both = run(tmp_path / "b", config(), data)
    for a, b in zip(arrays(refined), arrays(both), strict=True):
        assert np.array_equal(a, b)
    first = ("experts.1.training.steps=0", "experts.2.training.steps=0", 'pretrained="plain"')
    settings = config(*first, steps=0)
    run(tmp_path / "c", settings, data, **given)
    newest = checkpoint.read_manifest(checkpoint.latest(tmp_path / "c" / "checkpoint"))
    assert newest["progress"]["stage"] == settings.n_stages == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["experts.1.training.steps=0"], "--pretrained"),
        (['pretrained="a"', "experts.*.training.steps=0"], "nothing to train"),
    ],
)
def test_steps_of_zero_need_weights_and_something_else_to_train(changes, message):
    raw = combine("hairpin", "both", [assignment(text) for text in changes])
    with pytest.raises(FokkerError, match=message):
        parse(raw, "test")
