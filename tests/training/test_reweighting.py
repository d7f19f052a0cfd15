"""Reweighting: its gradient is that of the relative entropy, and simulations come out right."""

import dataclasses
import json
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.benchmark.calibration import calibrate, key_of, steps_factor
from fokker.benchmark.plan import with_steps
from fokker.config import parse
from fokker.config.presets import assignment, combine
from fokker.dataset.subject import Subject
from fokker.errors import FokkerError
from fokker.model import AbstractEnergy
from fokker.training import block
from fokker.training.block import run_block
from fokker.training.reweighting import EFFECTIVE, Reweighting
from fokker.training.schedule import Stages, initial_model
from fokker.training.simulating import GAP, RESTARTED
from fokker.training.stage import Recorded
from tests.training.test_refinement import (
    SYSTEM,
    Harmonic,
    arrays,
    dataset,
    emphasised,
    run,
    run_in_parts,
)


def config(*extra, width=8):
    """Ours with two short experts and a reweighting of two rounds."""
    settings = {
        "experts.*.network.width": width,
        "experts.*.network.depth": 1,
        "experts.*.training.steps": 4,
        "experts.*.training.batch_size": 16,
        "reweighting.rounds": 2,
        "reweighting.chains": 8,
        "reweighting.stride": 3,
        "reweighting.frames": 5,
        "reweighting.steps": 4,
        "reweighting.draws": 3,
        "reweighting.batch_size": 8,
    }
    changes = [assignment(f"{key}={value}") for key, value in settings.items()]
    return parse(combine("mixture-2d", "fokker", [*changes, *map(assignment, extra)]), "test")


def reweighting(settings, data, model=None, is_broken=None):
    """The stage, its first state and its frames."""
    model = model or initial_model(settings, SYSTEM, data.training)
    job = Stages(settings, Subject(SYSTEM, data, is_broken)).create(settings.n_stages - 1, model)
    assert job.expert == 0
    assert isinstance(job.stage, Reweighting)
    return job.stage, job.state, job.pool


@pytest.mark.statistics
def test_gradient_is_that_of_the_relative_entropy_with_frames_of_other_weights():
    """Frames are of `k0`, the gradient is that at `k`: `dS/dk = (1 - 1 / k)` in the plane."""
    stage, _, _ = reweighting(config(), dataset(100))
    n, k0, k = 200_000, 1.5, 1.7
    data, own = np.random.default_rng(1).normal(size=(2, n, 1, 2)).astype(np.float32)
    own /= np.sqrt(k0)
    before = 0.5 * k0 * jnp.sum(jnp.asarray(own) ** 2, axis=(1, 2))
    ensemble = stage.ensemble
    ensemble = eqx.tree_at(lambda e: e.place, ensemble, jnp.zeros(n, jnp.int32))
    blank = eqx.tree_at(lambda s: s.stage.frozen, stage, Harmonic(None))
    blank = dataclasses.replace(blank, ensemble=ensemble)
    frames = jnp.asarray(data)[:, None], jnp.asarray(own)[:, None], before[:, None]
    gradient, effective = jax.grad(blank.gap, has_aux=True)(Harmonic(jnp.asarray(k)), *frames)
    # w ~ exp(-(k - k0) s) with s exponential of rate k0: E[w^2] = k^2 / (k0 (2 k - k0))
    mean_square = k**2 / (k0 * (2 * k - k0))
    assert float(effective) == pytest.approx(1 / mean_square, rel=0.01)
    error = np.sqrt((1.0 + mean_square / k**2) / n)
    assert abs(2 * float(gradient.k) - (1.0 - 1.0 / k)) < 4 * error


def test_chains_count_by_the_frames_they_began_from():
    """Frames of `k1` that count for `exp(-(k0 - k1) s)` are as good as frames of `k0`."""
    stage, _, _ = reweighting(config(), dataset(100))
    n, k1, k0, k = 400_000, 1.2, 1.5, 1.7
    data, own = np.random.default_rng(2).normal(size=(2, n, 1, 2)).astype(np.float32)
    own /= np.sqrt(k1)
    s = 0.5 * jnp.sum(jnp.asarray(own) ** 2, axis=(1, 2))[:, None]
    counts = jnp.exp(-(k0 - k1) * s)
    ensemble = eqx.tree_at(lambda e: e.place, stage.ensemble, jnp.zeros(n, jnp.int32))
    blank = eqx.tree_at(lambda s: s.stage.frozen, stage, Harmonic(None))
    blank = dataclasses.replace(blank, ensemble=ensemble)
    given = jnp.asarray(data)[:, None], jnp.asarray(own)[:, None], k0 * s
    weights = None, counts / counts.mean()
    gradient, effective = jax.grad(blank.gap, has_aux=True)(
        Harmonic(jnp.asarray(k)), *given, weights
    )
    assert float(effective) == pytest.approx(k0 * (2 * k - k0) / k**2, rel=0.01)
    # all frames together count for exp(-(k - k1) s), s exponential of rate k1
    mean_square = k**2 / (k1 * (2 * k - k1))
    error = np.sqrt((1.0 + mean_square / k**2) / n)
    assert abs(2 * float(gradient.k) - (1.0 - 1.0 / k)) < 4 * error


class Springs(AbstractEnergy):
    """`energy = sum k_i x_i^2 / 2`, the same at all times."""

    k: jax.Array

    def energy(self, x, t, features):
        return 0.5 * jnp.sum(self.k * x**2)

    def energy_and_score(self, x, t, features):
        return self.energy(x, t, features), self.score(x, t, features)

    def score(self, x, t, features):
        return -self.k * x


@pytest.mark.statistics
def test_two_rounds_set_the_springs_of_a_simulation_right():
    """Springs a quarter too stiff and too soft; `k` of the data is one in scaled units."""
    rng = np.random.default_rng(0)
    settings = config(
        "reweighting.chains=200", "reweighting.frames=60", "reweighting.stride=60",
        "reweighting.steps=100", "reweighting.learning_rate=0.02", "simulation.integrator.dt=0.1",
        "experts.0.training.objectives={dsm={weight=1e-6}, diffclf={weight=0}, torsion={weight=0}}",
    )  # fmt: skip
    data = dataclasses.replace(dataset(), training=rng.normal(size=(19_000, 1, 2)).astype("f4"))
    start = Springs(jnp.asarray([1.25, 0.8], jnp.float32))
    model = initial_model(settings, SYSTEM, data.training)
    model = eqx.tree_at(lambda m: m.experts[0], model, start)
    stage, state, pool = reweighting(settings, data, model)
    truth = 1.0 / np.mean(np.square(data.training), axis=0)[0]
    seen = []
    for _ in range(2):
        state, _ = run_block(stage, state, pool, 60)
        seen.append(np.asarray(state.recorded.frames)[15:])
        state, logs = run_block(stage, state, pool, 100)
        assert (logs[EFFECTIVE] > 0.5).all()
    # 200 chains of 45 frames, of which one in three or so is independent, see 2 % of a variance
    before, after = (1.0 / frames.reshape(-1, 2).var(axis=0) for frames in seen)
    assert np.abs(before - [1.25, 0.8]).max() < 0.1
    assert np.abs(after - truth).max() < 0.1
    assert np.abs(np.asarray(state.parameters.k) - truth).max() < 0.08


def test_frames_are_recorded_with_their_energies_and_weights_stay_until_all_are():
    settings, data = config(), dataset(100)
    stage, state, pool = reweighting(settings, data)
    first = arrays(state.parameters)
    state, logs = run_block(stage, state, pool, 5)
    for new, old in zip(arrays(state.parameters), first, strict=True):
        assert (np.asarray(new) == np.asarray(old)).all()
    frames, energies = np.asarray(state.recorded.frames), np.asarray(state.recorded.energies)
    assert (frames[-1] == np.asarray(stage.ensemble.scaled(state.chains))).all()
    assert len({row.tobytes() for row in frames.reshape(40, -1)}) == 40
    again = stage.ensemble.energies(stage.model(state.parameters), state.recorded.frames)
    np.testing.assert_allclose(again, energies, rtol=1e-5, atol=1e-5)
    assert (logs["gradient_norm"] == 0).all()
    assert (logs[EFFECTIVE] == 1).all()
    state, logs = run_block(stage, state, pool, 4)
    assert (logs["gradient_norm"] > 0).all()
    assert any(
        (np.asarray(new) != np.asarray(old)).any()
        for new, old in zip(arrays(state.parameters), first, strict=True)
    )
    assert (np.asarray(state.recorded.frames) == frames).all()
    state, _ = run_block(stage, state, pool, 1)
    assert (np.asarray(state.recorded.frames[1:]) == frames[1:]).all()
    assert (np.asarray(state.recorded.frames[0]) != frames[0]).any()


def test_a_simulation_that_is_given_is_in_the_place_of_the_first_rounds_own():
    settings, data = config("reweighting.rounds=1"), dataset(100)
    stage, state, pool = reweighting(settings, data)
    own, _ = run_block(stage, state, pool, 5)
    given = stage.after_simulation(state, np.asarray(own.recorded.frames))
    assert int(given.step) == 5
    np.testing.assert_allclose(given.recorded.energies, own.recorded.energies, rtol=1e-5, atol=1e-5)
    (a, logs), (b, others) = (run_block(stage, each, pool, 4) for each in (own, given))
    assert (logs["gradient_norm"] > 0).all()
    np.testing.assert_allclose(others[GAP], logs[GAP], rtol=1e-4, atol=1e-6)
    for one, other in zip(arrays(a.parameters), arrays(b.parameters), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("reweighting.rounds=2", "set rounds = 1"),
        ("reweighting.emphasise=true", "set rounds = 1 and emphasise = false"),
        ("pretrained=a", "experts.*.training.steps = 0"),
        ("experts.*.training.steps=0", "name it with --pretrained"),
    ],
)
def test_a_simulation_by_other_weights_is_refused(change, message):
    with pytest.raises(FokkerError, match=re.escape(message)):
        config("reweighting.rounds=1", "reweighting.simulation=a.xtc", change)


def test_the_first_frames_of_a_round_are_not_used():
    stage, _, _ = reweighting(
        config("reweighting.discard=0.4", "reweighting.draws=40"), dataset(99)
    )
    rows = np.asarray(stage._recorded_rows(jax.random.key(0)))
    assert rows.shape == (8, 40)
    counts = np.bincount(rows.ravel(), minlength=5)
    assert counts[:2].tolist() == [0, 0]
    assert counts[2:].min() > 0.8 * rows.size / 3


@pytest.mark.statistics
def test_weights_stay_where_the_frames_cannot_tell():
    """A simulation of quite other weights: hardly a frame counts."""
    stage, state, pool = reweighting(config("reweighting.least=0.9"), dataset(200))
    state, _ = run_block(stage, state, pool, 5)
    far = 30.0 * np.random.default_rng(0).random(state.recorded.energies.shape, np.float32)
    other = Recorded(state.recorded.frames, jnp.asarray(far))
    first = arrays(state.parameters)
    after, logs = run_block(stage, dataclasses.replace(state, recorded=other), pool, 4)
    assert (logs[EFFECTIVE] < 0.9).all()
    for new, old in zip(arrays(after.parameters), first, strict=True):
        assert (np.asarray(new) == np.asarray(old)).all()
    assert int(after.step) == 9


def test_chains_that_break_begin_again_and_are_objected_to():
    stage, state, pool = reweighting(config(), dataset(200), is_broken=lambda x: x[0, 0] > 0.0)
    state, logs = run_block(stage, state, pool, 5)
    assert logs[RESTARTED].mean() > 0.02
    known = {row.tobytes() for row in np.asarray(pool.frames)}
    share = np.mean([row.tobytes() in known for row in np.asarray(state.recorded.frames[-1])])
    assert share == pytest.approx(logs[RESTARTED][-1], abs=0.3)
    assert "of the reweighting broke" in stage.objection(0.5 * stage.options.chains, 0, 5)
    assert stage.objection(0.01 * stage.options.chains, 0, 5) is None


def test_a_chain_that_broke_counts_no_more_in_its_round():
    """Its energy is minus infinity from then on; its frames move neither gap nor gradient."""
    settings = config("reweighting.chains=40", "reweighting.least=0.01")
    stage, state, pool = reweighting(
        settings, dataset(2000), is_broken=lambda x: (x[0, 0] > 0.8) & (x[0, 1] > 0.0)
    )
    frames = stage.options.frames
    state, logs = run_block(stage, state, pool, frames)
    counts = np.isfinite(np.asarray(state.recorded.energies))
    assert 0.1 < counts[-1].mean() < 0.95
    assert (np.diff(counts.astype(int), axis=0) <= 0).all()
    assert logs[RESTARTED].sum() == pytest.approx(1.0 - counts[-1].mean())
    assert np.isfinite(logs[GAP]).all()

    def of(recorded):
        before = jnp.asarray(state.recorded.energies).T
        data = pool.frames[: 40 * frames].reshape(40, frames, 1, 2)
        (gap, effective), gradient = jax.value_and_grad(stage.gap, has_aux=True)(
            state.parameters, data, jnp.swapaxes(recorded, 0, 1), before
        )
        return float(gap), float(effective), arrays(gradient)

    gap, effective, gradient = of(state.recorded.frames)
    moved = jnp.where(counts[..., None, None], state.recorded.frames, pool.frames[7])
    again, _, other = of(moved)
    assert effective == pytest.approx(counts.mean(), rel=1e-3)
    assert gap == pytest.approx(again, rel=1e-5)
    for a, b in zip(gradient, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    state, _ = run_block(stage, state, pool, stage.options.steps + 1)
    anew = np.isfinite(np.asarray(state.recorded.energies[0]))
    assert (anew & ~counts[-1]).any()  # in the next round


def test_learning_rate_goes_on_over_rounds_and_not_while_simulating():
    stage, _, _ = reweighting(config("reweighting.steps=20"), dataset(99))
    rates = [float(stage.learning_rate(step)) for step in range(50)]
    updates = rates[5:25] + rates[30:50]
    assert np.argmax(updates) <= 10
    assert np.diff(updates[10:]).max() <= 0
    assert len(set(rates[25:30])) == 1
    assert max(rates) == pytest.approx(5e-4 / SYSTEM.degrees_of_freedom)


def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(block, "BLOCK", 4)
    settings, data = config("refinement.steps=3", "refinement.chains=8"), dataset(500)
    whole = run(tmp_path / "whole", settings, data)
    model = run_in_parts(tmp_path / "part", settings, data)
    for a, b in zip(arrays(whole), arrays(model), strict=True):
        assert np.array_equal(a, b)
    lines = (tmp_path / "part" / "training.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert (last["stage"], last["step"], last["name"]) == (4, 18, "reweighting")
    assert {GAP, EFFECTIVE, RESTARTED, "dsm", "diffclf"} <= set(last["terms"])


def test_rare_frames_that_nothing_emphasises_are_refused():
    with pytest.raises(FokkerError, match=r"reweighting\.emphasise: how rare frames"):
        config("reweighting.emphasise=true", "experts.*.training.rare=0")


@pytest.mark.statistics
def test_emphasised_chains_begin_from_rare_frames_and_count_for_less():
    stage, state, pool = reweighting(
        config("reweighting.emphasise=true", "reweighting.chains=256"), dataset(4_000)
    )
    rare = np.linalg.norm(np.asarray(pool.frames[:, 0]), axis=1) > 2.0
    pool = emphasised(pool, np.where(rare, 5.0, 1.0))
    first = stage._begun(pool, jnp.asarray(0))
    counts = np.asarray(stage.ensemble.weights(pool, first[:, None]))[:, 0]
    begun = rare[np.asarray(first)]
    assert begun.mean() > 2 * rare.mean()
    assert abs(np.mean(counts * begun) - rare.mean()) < 4 * np.sqrt(rare.mean() / 256)
    for kind, _ in stage.kinds_of_steps:
        at = dataclasses.replace(state, step=jnp.asarray(kind, jnp.int32))
        _, logs = run_block(stage, at, pool, 1)
        assert np.isfinite(logs["loss"]).all()


@pytest.mark.statistics
def test_time_is_set_by_steps_of_both_kinds(tmp_path):
    """A budget scales the frames and the optimiser steps, and knows what each of them takes."""
    settings = config("reweighting.stride=300")
    stage = settings.n_stages - 1
    speeds = calibrate([settings], tmp_path / "times.json")
    assert set(speeds) == {key_of(settings, i) for i in range(settings.n_stages) if i != stage - 1}
    with_long = config("reweighting.stride=3000")
    longer = calibrate([with_long], tmp_path / "other.json")
    assert longer[key_of(with_long, stage)] > 3 * speeds[key_of(settings, stage)]
    scaled = with_steps(settings, 3.0, 1).reweighting
    assert (scaled.rounds, scaled.frames, scaled.steps, scaled.chains) == (2, 15, 12, 8)
    assert steps_factor(settings, dict.fromkeys(speeds, 1.0), 60.0) == pytest.approx(2.0)


def test_a_system_says_how_long_and_a_method_whether():
    def of(method, effort):
        name = {"name": "mine", "method": method}
        return parse(combine("long-fold", name, effort=effort), "presets").reweighting

    whole, half = of("fokker", 1.0), of("fokker", 0.5)
    assert whole.rounds == half.rounds > 0
    assert (half.frames, half.steps) == (whole.frames // 2, whole.steps // 2)
    assert of("both", 1.0).rounds == 0


def test_a_score_alone_cannot_be_reweighted():
    terms = "experts.0.training.objectives={dsm={}, diffclf={weight=0}, torsion={weight=0}}"
    with pytest.raises(
        FokkerError, match=r"a reweighting needs an energy.*reweighting\.rounds = 0"
    ):
        config('experts.0.kind="score"', terms)


def test_stages_are_the_experts_then_the_refinement_then_the_reweighting():
    settings = config("refinement.steps=7")
    names = [settings.name_of(i) for i in range(settings.n_stages)]
    assert names[-2:] == ["refinement", "reweighting"]
    assert [settings.steps_of(i) for i in range(settings.n_stages)][-2:] == [7, 18]
    without = config()
    assert without.steps_of(without.n_stages - 2) == 0
    assert without.next_stage(len(without.experts)) == without.n_stages - 1
    assert config("reweighting.rounds=0").n_stages == len(without.experts)


def test_more_steps_than_can_be_counted_are_refused():
    with pytest.raises(FokkerError, match=r"rounds x frames x stride is 2,147,483,648 simulation"):
        config("reweighting.rounds=1024", "reweighting.frames=1024", "reweighting.stride=2048")
