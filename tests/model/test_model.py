"""Score, energy and mixture models."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.model import AbstractScore, EnergyModel, Mixture, ScoreModel
from fokker.process import VariancePreservingOptions
from fokker.types import Features, Positions, Time
from tests.helpers.tools import FEATURES, molecule_inputs, randomise, to_double
from tests.network.test_conformance import NETWORKS

PROCESS = VariancePreservingOptions().build()
X = jnp.asarray(molecule_inputs().frames[0])
T = jnp.asarray(0.05)


def energy_model(name) -> EnergyModel:
    network = NETWORKS[name].build(molecule_inputs(), "energy", jax.random.key(0))
    return EnergyModel(randomise(network), PROCESS)


def score_model(name, *, centred=True) -> ScoreModel:
    network = NETWORKS[name].build(molecule_inputs(), "score", jax.random.key(0))
    return ScoreModel(randomise(network), PROCESS, centred)


@pytest.mark.parametrize("name", NETWORKS)
def test_score_is_minus_the_gradient_of_the_energy(name):
    """Central differences in float64; step^2 and rounding / step are both near 1e-9."""
    step = 1e-5
    with jax.enable_x64(True):
        model, x = to_double(energy_model(name)), jnp.asarray(X, jnp.float64)
        t = jnp.asarray(0.05, jnp.float64)
        moves = step * jnp.eye(x.size).reshape(-1, *x.shape)
        energies = eqx.filter_jit(jax.vmap(lambda y: model.energy(y, t, FEATURES)))
        slope = (energies(x + moves) - energies(x - moves)) / (2.0 * step)
        energy, score = eqx.filter_jit(model.energy_and_score)(x, t, FEATURES)
        scale = float(jnp.abs(score).max())
        np.testing.assert_allclose(score.ravel(), -slope, rtol=1e-6, atol=1e-7 * scale)
        np.testing.assert_allclose(energies(x[None])[0], energy, rtol=1e-12)


def test_invariant_score_turns_with_the_molecule():
    model = energy_model("invariant")
    angle = 0.7
    turn = jnp.array(
        [[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0, 0, 1]]
    )
    score = model.score(X, T, FEATURES)
    turned = model.score(X @ turn.T, T, FEATURES)
    assert float(jnp.abs(turned - score @ turn.T).max()) < 2e-5 * float(jnp.abs(score).max())
    assert float(jnp.abs(jnp.sum(score, axis=0)).max()) < 1e-5 * float(jnp.abs(score).max())


def test_score_model_starts_as_the_score_of_the_unit_gaussian():
    network = NETWORKS["mlp"].build(molecule_inputs(), "score", jax.random.key(0))
    model = ScoreModel(network, PROCESS, True)
    for t in (1e-5, 0.3, 1.0):  # alpha^2 + sigma^2 = 1
        np.testing.assert_allclose(model.score(X, jnp.asarray(t), FEATURES), -X, rtol=1e-5)


def test_centred_score_has_no_net_component_and_sees_no_translation():
    model = score_model("mlp")
    score = model.score(X, T, FEATURES)
    scale = float(jnp.abs(score).max())
    assert float(jnp.abs(jnp.sum(score, axis=0)).max()) < 1e-5 * scale
    uncentred = score_model("mlp", centred=False).score(X, T, FEATURES)
    assert float(jnp.abs(jnp.sum(uncentred, axis=0)).max()) > 1e-2 * scale


class Constant(AbstractScore):
    """A score that says who gave it, and counts how often it was asked."""

    value: float
    calls: list

    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        jax.debug.callback(lambda _: self.calls.append(1), t)
        return jnp.full_like(x, self.value)


def constants() -> tuple[Mixture, list[list]]:
    calls = [[], [], []]
    experts = tuple(Constant(float(i), c) for i, c in enumerate(calls))
    return Mixture(experts, (0.0, 0.1, 0.6, 1.0)), calls


@pytest.mark.parametrize(
    ("t", "expert"),
    [(0.0, 0), (1e-5, 0), (0.0999, 0), (0.1, 1), (0.3, 1), (0.6, 2), (0.61, 2), (1.0, 2)],
)
def test_each_interval_has_its_left_edge(t, expert):
    mixture, _ = constants()
    assert float(mixture.score(X, jnp.asarray(t), FEATURES)[0, 0]) == expert


def test_only_one_expert_is_evaluated_where_the_batch_shares_t():
    mixture, calls = constants()
    frames = jnp.tile(X, (4, 1, 1))

    @jax.jit
    def scores(x, t):
        return jax.vmap(lambda y: mixture.score(y, t, FEATURES))(x)

    jax.block_until_ready(scores(frames, jnp.asarray(0.3)))
    jax.effects_barrier()
    assert [len(c) > 0 for c in calls] == [False, True, False]


def test_times_of_their_own_find_their_experts():
    mixture, _ = constants()
    times = jnp.array([0.05, 0.1, 0.5, 0.6, 0.99])
    out = jax.vmap(lambda t: mixture.score(X, t, FEATURES))(times)
    np.testing.assert_array_equal(out[:, 0, 0], [0, 1, 1, 2, 2])


def test_one_expert_serves_all_times():
    model = energy_model("mlp")
    mixture = Mixture((model,), (0.0, 1.0))
    np.testing.assert_array_equal(mixture.score(X, T, FEATURES), model.score(X, T, FEATURES))
    assert mixture.interval(0) == (0.0, 1.0)


def test_experts_of_both_kinds_mix():
    ground, other = energy_model("mlp"), score_model("mlp")
    mixture = Mixture((ground, other), (0.0, 0.5, 1.0))
    assert mixture.interval(1) == (0.5, 1.0)
    for t, expert in ((0.3, ground), (0.7, other)):
        expected = expert.score(X, jnp.asarray(t), FEATURES)
        found = mixture.score(X, jnp.asarray(t), FEATURES)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
