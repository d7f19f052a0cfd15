"""The training loop: it learns, resumes bit for bit, compiles once, and says why it stops."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fokker.config import TrainingOptions, parse
from fokker.config.presets import assignment, combine
from fokker.dataset.frames import prepare
from fokker.dataset.subject import Subject
from fokker.errors import FokkerError
from fokker.objective import AbstractObjective
from fokker.runtime import checkpoint
from fokker.runtime.interruption import Interrupted
from fokker.system import Bead, System
from fokker.training import Files, Watch, block, held_out, inference_group, train
from fokker.training.block import run_block
from fokker.training.expert import Stage
from fokker.training.held_out import Best
from fokker.training.schedule import features_of, initial_model, with_rotation

SYSTEM = System(name="plane", dim=2, beads=(Bead(name="X"),), kT=1.0, centred=False, length_unit="")


def dataset(n=4000, seed=0):
    """A correlated Gaussian."""
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(n, 1, 2)) @ np.array([[1.0, 0.6], [0.0, 0.5]])
    return prepare(positions.astype(np.float32), SYSTEM)


def config(steps=8, method="fokker", extra=(), **more):
    changes = [
        *(
            assignment(f"experts.{i}.{key}={value}")
            for i in range(3)
            for key, value in {
                "network.width": 8,
                "network.depth": 1,
                "training.steps": steps,
                "training.batch_size": 16,
                **more,
            }.items()
        ),
        *(assignment(text) for text in extra),
    ]
    return parse(combine("mixture-2d", method, changes), "test")


def run(folder, settings, data, **options):
    folder.mkdir(exist_ok=True)
    known = {field.name for field in dataclasses.fields(Watch)}
    watch = Watch(**{name: options.pop(name) for name in known & set(options)})
    subject = Subject(SYSTEM, data, start_frames=data.training[:4])
    files = Files(folder / "checkpoint", folder / "training.jsonl")
    return train(settings, subject, files, watch=watch, **options)


def arrays(model):
    return jax.tree.leaves(eqx.filter(model, eqx.is_array))


def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(block, "BLOCK", 4)
    settings, data = config(8, "mixture"), dataset()
    whole = run(tmp_path / "whole", settings, data)
    stops = iter([False, True] * 20)
    part = tmp_path / "part"
    interruptions = 0
    while True:
        try:
            model = run(
                part, settings, data, resume=interruptions > 0, should_stop=lambda: next(stops)
            )
            break
        except Interrupted:
            interruptions += 1
    assert interruptions >= 2
    for a, b in zip(arrays(whole), arrays(model), strict=True):
        assert np.array_equal(a, b)

    def log(folder):
        lines = (folder / "training.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in lines]

    assert log(part) == log(tmp_path / "whole")


def test_slow_steps_do_not_keep_a_signal_waiting(tmp_path, monkeypatch):
    """It is answered within a block, and what is saved there continues to the same weights."""
    settings, data = config(30, "mixture"), dataset(500)
    whole = run(tmp_path / "whole", settings, data)
    monkeypatch.setattr(block, "FIRST_PIECE", 3)
    monkeypatch.setattr(block, "PIECE_SECONDS", 0.0)  # one step a piece from then on
    part = tmp_path / "part"
    asked = []
    with pytest.raises(Interrupted):
        run(part, settings, data, should_stop=lambda: len(asked.append(1) or asked) > 4)
    assert json.loads((part / "training.jsonl").read_text())["step"] == 3 + 4
    monkeypatch.setattr(block, "CHECKPOINT_SECONDS", 0.0)  # a line and a checkpoint a piece
    model = run(part, settings, data, resume=True)
    for a, b in zip(arrays(whole), arrays(model), strict=True):
        assert np.array_equal(a, b)
    lines = [json.loads(x) for x in (part / "training.jsonl").read_text().splitlines()]
    first = [x["step"] for x in lines if x["stage"] == 0]
    assert first == [7, 10, *range(11, 31)]


def test_stages_compile_once_for_every_seed_schedule_and_block(monkeypatch):
    data = dataset()
    settings = config(40)
    traces = []
    original = Stage.update
    monkeypatch.setattr(Stage, "update", lambda self, *a: (traces.append(1), original(self, *a))[1])
    for seed, n_steps, length in ((0, 40, 10), (0, 40, 7), (1, 40, 10), (1, 90, 10)):
        options = settings.experts[0].training.model_copy(update={"steps": n_steps})
        model = initial_model(settings, SYSTEM, data.training).experts[0]
        stage, state = Stage.create(
            model, settings.process.build(), features_of(SYSTEM), (0.0, 0.1), options,
            centred=False, seed=seed,
        )  # fmt: skip
        for repeat in range(2):
            state, logs = run_block(stage, state, data.pool, length)
            assert len(logs["loss"]) == length
            assert int(state.step) == (repeat + 1) * length
    assert len(traces) == 1


def test_average_is_the_exponential_moving_average():
    settings = config(30)
    options = settings.experts[0].training.model_copy(update={"average_decay": 0.9})
    data = dataset()
    model = initial_model(settings, SYSTEM, data.training).experts[0]
    stage, state = Stage.create(
        model,
        settings.process.build(),
        features_of(SYSTEM),
        (0.0, 0.1),
        options,
        centred=False,
        seed=0,
    )
    want = np.asarray(state.average.network.trunk.first.weight)
    for step in range(30):
        state, _ = run_block(stage, state, data.pool, 1)
        decay = min(0.9, (1 + step) / (10 + step))
        want = decay * want + (1 - decay) * np.asarray(state.parameters.network.trunk.first.weight)
    assert np.allclose(state.average.network.trunk.first.weight, want, rtol=1e-4, atol=1e-6)


def test_terms_on_a_fraction_of_the_batch_have_that_many_frames():
    options = TrainingOptions(
        batch_size=40, objectives={"dsm": {}, "fokker-planck": {"fraction": 0.25}}
    )
    settings, data = config(), dataset()
    model = initial_model(settings, SYSTEM, data.training).experts[0]
    stage, state = Stage.create(
        model,
        settings.process.build(),
        features_of(SYSTEM),
        (0.0, 0.1),
        options,
        centred=False,
        seed=0,
    )
    batch = stage.draw(data.pool, state.step)
    values = eqx.filter_jit(stage.terms)(stage.model(state.parameters), batch)
    assert {name: value.shape for name, value in values.items()} == {
        "dsm": (40,),
        "fokker-planck": (10,),
    }


def test_frames_outside_a_fraction_are_noised_as_if_its_term_were_not_there():
    """A quarter at two times, the rest at one: the same noise, the same losses frame by frame."""
    settings, data = config(), dataset()
    model = initial_model(settings, SYSTEM, data.training).experts[0]

    def terms(diffclf):
        options = TrainingOptions(
            batch_size=40, antithetic=True, objectives={"dsm": {}, "diffclf": diffclf}
        )
        stage, state = Stage.create(
            model, settings.process.build(), features_of(SYSTEM), (0.0, 0.1), options,
            centred=False, seed=0,
        )  # fmt: skip
        batch = stage.draw(data.pool, state.step)
        found = eqx.filter_jit(stage.terms)(stage.model(state.parameters), batch)
        once = eqx.tree_at(lambda s: s.objectives, stage, {"dsm": stage.objectives["dsm"]})
        alone = eqx.filter_jit(once.terms)(stage.model(state.parameters), batch)
        return jax.tree.map(np.asarray, (found, alone["dsm"]))

    (whole, _), (part, alone) = terms({}), terms({"fraction": 0.25})
    assert np.allclose(part["diffclf"], whole["diffclf"][:10], rtol=1e-5)
    assert np.allclose(part["dsm"][:10], whole["dsm"][:10], rtol=1e-5)
    assert np.allclose(part["dsm"][10:], alone[10:], rtol=1e-5)
    assert not np.allclose(part["dsm"][10:], whole["dsm"][10:], rtol=1e-2)


class Steep(AbstractObjective):
    """Large where t is small, as consistency is: what a fraction must not miss."""

    times_per_frame = 1

    def __call__(self, evaluation, _key):
        """Logarithm of the time, which is what most of the losses grow with."""
        return -jnp.log(evaluation.noised.times[0])


def steep(size, fractions):
    """A stage of which every term is the same, each on its part of the batch."""
    terms = {name: {"fraction": f} for name, f in fractions.items()}
    options = TrainingOptions(batch_size=size, time_power=2.0, objectives={"dsm": {}, **terms})
    settings, data = config(), dataset()
    model = initial_model(settings, SYSTEM, data.training).experts[0]
    stage, state = Stage.create(
        model, settings.process.build(), features_of(SYSTEM), (0.0, 0.1), options,
        centred=False, seed=3,
    )  # fmt: skip
    same = dict.fromkeys(stage.objectives, Steep())
    stage = eqx.tree_at(lambda s: s.objectives, stage, same)
    return stage, stage.model(state.parameters), data.pool


def values_of_steps(stage, model, pool, n_steps):
    """Values of every term at so many steps, shape (steps, frames of the term)."""
    values = eqx.filter_jit(lambda step: stage.terms(model, stage.draw(pool, step)))
    return jax.tree.map(np.asarray, jax.lax.map(values, jnp.arange(n_steps)))


FRACTIONS = {"diffclf": 1 / 4, "rne": 1 / 16, "ctsm": 0.3}


@pytest.mark.statistics
@pytest.mark.parametrize("size", [128, 50])
def test_every_term_sees_every_stratum_of_time(size):
    stage, model, pool = steep(size, FRACTIONS)
    for name, found in values_of_steps(stage, model, pool, 4000).items():
        u = np.sqrt((np.exp(-found) - 1e-5) / (0.1 - 1e-5))
        counts = np.histogram(u, size, (0.0, 1.0))[0]
        # every row is in every stratum with the same probability
        expected = u.size / size
        assert np.all(abs(counts - expected) < 5.0 * np.sqrt(expected)), name
        assert counts.sum() == u.size


def test_a_fraction_of_the_batch_estimates_the_mean_of_the_batch():
    """The mean over steps, within its standard error; and each step as precisely as strata give."""
    stage, model, pool = steep(128, FRACTIONS)
    found = values_of_steps(stage, model, pool, 4000)
    truth = found["dsm"].mean()
    for name, values in found.items():
        means = values.mean(axis=1)
        assert abs(means.mean() - truth) < 4.0 * means.std() / np.sqrt(len(means)) + 1e-4, name
        # rows drawn alike would have the standard deviation of one over the root of their number
        assert means.std() < 0.6 * values.std() / np.sqrt(values.shape[1]), name


def test_steps_of_held_out_frames_have_other_strata_in_a_fraction_too():
    stage, model, pool = steep(64, {"rne": 1 / 64})
    values = eqx.filter_jit(stage.losses)
    at = [
        float(values(model, pool, jnp.asarray(2**30 + i))["rne"]) for i in range(held_out.BATCHES)
    ]
    u = np.sqrt((np.exp(-np.array(at)) - 1e-5) / (0.1 - 1e-5))
    assert len(np.unique((64 * u).astype(int))) >= held_out.BATCHES // 2


def test_times_fill_the_interval_with_the_stated_power():
    options = TrainingOptions(batch_size=4096, time_power=2.0)
    settings, data = config(), dataset()
    model = initial_model(settings, SYSTEM, data.training).experts[0]
    stage, state = Stage.create(
        model, settings.process.build(), features_of(SYSTEM), (0.0, 0.1), options,
        centred=False, seed=0,
    )  # fmt: skip
    times = stage.draw(data.pool, state.step).times
    u = np.sqrt((np.asarray(times[:, 0]) - 1e-5) / (0.1 - 1e-5))
    # Stratified: one draw in each of 4096 equal parts.
    assert np.allclose(np.sort(u), (np.arange(4096) + 0.5) / 4096, atol=1 / 4096)


@pytest.mark.parametrize(
    ("method", "extra"),
    [
        ("mixture", ()),
        ("fokker", ("experts.0.training.objectives.diffclf.fraction=0.25",)),
    ],
)
def test_a_loss_that_is_not_finite_stops_with_step_term_time_and_frame(tmp_path, method, extra):
    data = dataset(400)
    bad = 123
    row = int(np.flatnonzero(data.training_index == bad)[0])
    data.training[row] = np.nan
    with pytest.raises(FokkerError) as caught:
        run(tmp_path, config(500, method, extra), data)
    message = str(caught.value)
    assert f"frame {bad} of the trajectory" in message
    assert "'dsm'" in message
    assert "at t = " in message
    assert "step" in message


@pytest.mark.statistics
def test_learns_a_gaussian(tmp_path):
    """The energy of the small-t expert has the data's precision matrix as its Hessian."""
    data = dataset(20_000)
    settings = config(
        1500,
        "fokker",
        extra=("experts.1.training.steps=4", "experts.2.training.steps=4"),
        **{"network.width": 32, "training.batch_size": 256},
    )
    model = run(tmp_path, settings, data)
    t = jnp.asarray(0.01)
    process = settings.process.build()
    covariance = np.cov(data.training[:, 0].T)
    noised = float(process.alpha(t)) ** 2 * covariance + float(process.sigma(t)) ** 2 * np.eye(2)
    points = jnp.asarray(data.training[:300])
    score = jax.vmap(lambda x: model.score(x, t, features_of(SYSTEM)))(points)
    fitted = np.linalg.lstsq(points[:, 0], score[:, 0], rcond=None)[0]
    want = -np.linalg.inv(noised)
    assert np.abs(fitted - want).max() < 0.1 * np.abs(want).max()
    lines = [json.loads(x) for x in (tmp_path / "training.jsonl").read_text().splitlines()]
    first = [x for x in lines if x["stage"] == 0]
    # The score at its optimum leaves E|sigma score + eps|^2 / D = sigma^2 tr(noised^-1) subtracted
    # from 1, averaged over the expert's times; the last block must be near it.
    t = 1e-5 + (0.1 - 1e-5) * ((np.arange(400) + 0.5) / 400) ** 2.0
    sigma2 = np.array([float(process.sigma(jnp.asarray(s))) ** 2 for s in t])
    optimum = np.mean(
        [1 - s2 * np.trace(np.linalg.inv((1 - s2) * covariance + s2 * np.eye(2))) / 2
         for s2 in sigma2]
    )  # fmt: skip
    # 250 steps of 512 noised frames: standard error below 0.01.
    assert abs(first[-1]["terms"]["dsm"] - optimum) < 0.02


@pytest.mark.statistics
def test_what_held_out_frames_are_best_with_is_kept(tmp_path, monkeypatch):
    """A few frames are learned by heart; the weights before that are kept, and it is said."""
    monkeypatch.setattr(block, "BLOCK", 25)
    changes = {"network.width": 64, "network.depth": 3, "training.batch_size": 128}
    others = tuple(f"experts.{i}.training.steps=4" for i in (1, 2))
    data, said = dataset(30, seed=1), []
    settings = config(500, "fokker", others, **changes)
    model = run(tmp_path / "best", settings, data, on_message=said.append)
    lines = [
        json.loads(line) for line in (tmp_path / "best" / "training.jsonl").read_text().splitlines()
    ]
    held_out = {
        line["step"]: line["validation"]["loss"]
        for line in lines
        if line["stage"] == 0 and "validation" in line
    }
    kept = max(line["kept"] for line in lines if line["stage"] == 0 and "kept" in line)
    lowest = min(held_out.values())
    assert held_out[500] > 1.2 * lowest, "no overfitting to test with"
    within = [step for step, loss in held_out.items() if loss <= 1.01 * lowest]
    assert kept == max(within) < 500
    assert len(said) == 1
    assert f"step {kept:,} of 500" in said[0]

    at = [0]
    with pytest.raises(Interrupted):
        run(
            tmp_path / "part",
            settings,
            data,
            on_progress=lambda progress: at.append(progress.step),
            should_stop=lambda: at[-1] == kept,
        )
    expert = inference_group(model, data.training[:4])
    there = checkpoint.load(checkpoint.latest(tmp_path / "part" / "checkpoint"), "model", expert)
    for a, b in zip(arrays(model.experts[0]), arrays(there["model"].experts[0]), strict=True):
        assert np.array_equal(a, b)

    last = config(500, "fokker", (*others, "experts.0.training.keep=last"), **changes)
    other = run(tmp_path / "last", last, data, on_message=said.append)
    assert len(said) == 1
    assert not all(
        np.array_equal(a, b)
        for a, b in zip(arrays(model.experts[0]), arrays(other.experts[0]), strict=True)
    )


@pytest.mark.statistics
def test_weights_that_tuning_makes_worse_are_left_as_they_are(tmp_path):
    """From weights that fit many frames, twenty and a high rate lead nowhere better."""
    others = tuple(f"experts.{i}.training.steps=4" for i in (1, 2))
    many = run(tmp_path / "many", config(300, "fokker", others), dataset(4000))
    few = config(250, "fokker", (*others, "experts.0.training.learning_rate=0.1"))
    tuned = run(tmp_path / "few", few, dataset(20, seed=3), pretrained=many)
    line = (tmp_path / "few" / "training.jsonl").read_text().splitlines()[0]
    assert json.loads(line)["kept"] == 0
    for a, b in zip(arrays(many.experts[0]), arrays(tuned.experts[0]), strict=True):
        assert np.array_equal(a, b)


def test_a_loss_that_is_never_finite_keeps_the_last_weights():
    first, second, third = initial_model(config(), SYSTEM, dataset().training).experts
    best = Best.create(first, np.inf)
    for step, weights in ((1, second), (2, third)):
        best = best.updated(weights, step, np.nan)
        assert best.weights is weights
        assert best.step == step
    best = best.updated(first, 3, 1.0).updated(second, 4, np.nan)
    assert best.weights is first
    assert best.step == 3


def test_learning_rate_warms_up_and_decays():
    options = TrainingOptions(steps=1000, warmup=100, learning_rate=1e-2)
    data = dataset()
    model = initial_model(config(), SYSTEM, data.training).experts[0]
    stage, _ = Stage.create(
        model, config().process.build(), features_of(SYSTEM), (0.0, 0.1), options,
        centred=False, seed=0,
    )  # fmt: skip
    rates = [float(stage.learning_rate(jnp.asarray(s))) for s in (0, 50, 100, 550, 1000)]
    assert rates[0] < rates[1] < rates[2] == pytest.approx(1e-2)
    assert rates[3] == pytest.approx(5e-3, rel=1e-3)
    assert rates[4] == pytest.approx(0.0, abs=1e-9)
    assert isinstance(stage.optimiser, optax.GradientTransformation)


def stage_of(**options):
    """A stage of the first expert of the mixture, on times from 0 to 0.1."""
    data = dataset()
    model = initial_model(config(), SYSTEM, data.training).experts[0]
    stage, state = Stage.create(
        model, config().process.build(), features_of(SYSTEM), (0.0, 0.1),
        TrainingOptions(**options), centred=False, seed=0,
    )  # fmt: skip
    return stage, state, data.pool


def test_learning_rate_ends_where_it_is_told_to():
    stage, *_ = stage_of(steps=1000, warmup=0, learning_rate=3e-4, final_learning_rate=1e-5)
    rates = [float(stage.learning_rate(jnp.asarray(s))) for s in (0, 500, 1000)]
    assert rates == pytest.approx([3e-4, 0.5 * (3e-4 + 1e-5), 1e-5], rel=1e-4)


@pytest.mark.parametrize("midpoint", [0.01, 0.03, 0.05])
def test_half_of_the_weight_is_on_either_side_of_the_midpoint(midpoint):
    stage, state, pool = stage_of(batch_size=4096, midpoint=midpoint)
    batch = stage.draw(pool, state.step)
    times, weight = np.asarray(batch.times[:, 0]), np.asarray(batch.weight)
    # stratified times: either side is filled to within one frame of 4096
    assert np.isclose(weight.mean(), 1.0, atol=5e-3)
    assert np.isclose(weight[times <= midpoint].sum() / 4096, 0.5, atol=5e-3)


def test_the_midpoint_weighs_every_term_of_a_frame():
    (stage, state, pool), (other, *_) = (
        stage_of(batch_size=64),
        stage_of(batch_size=64, midpoint=0.02),
    )
    batch, same = stage.draw(pool, state.step), other.draw(pool, state.step)
    np.testing.assert_array_equal(batch.times, same.times)
    model = stage.model(state.parameters)
    alone, found = stage.terms(model, batch)["dsm"], other.terms(model, same)["dsm"]
    factors = np.sort(np.asarray(found) / np.asarray(alone))
    np.testing.assert_allclose(factors, np.sort(np.asarray(same.weight)), rtol=1e-5)


@pytest.mark.parametrize(
    ("system", "network", "rotate"),
    [
        ("alanine-dipeptide", "invariant", False),
        ("alanine-dipeptide", "graph-transformer", True),
        ("mixture-2d", "mlp", False),
    ],
)
def test_frames_are_rotated_where_the_network_is_not_invariant(system, network, rotate):
    settings = parse(
        combine(system, "diffusion", [assignment(f"experts.0.network.name={network}")]), "test"
    )
    dim = 3 if system == "alanine-dipeptide" else 2
    beads = System(name=system, dim=dim, beads=(Bead(name="A"), Bead(name="B")), kT=1.0)
    assert with_rotation(settings.experts[0], beads).rotate is rotate
    forced = settings.experts[0].model_copy(
        update={"training": settings.experts[0].training.model_copy(update={"rotate": True})}
    )
    assert with_rotation(forced, beads).rotate is True
