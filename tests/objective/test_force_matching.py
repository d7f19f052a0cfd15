"""The mixture of noise and forces is unbiased at every time, and has the least variance."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.objective import (
    DenoisingOptions,
    Evaluation,
    ForceMatchingOptions,
    Molecule,
    Noised,
)
from fokker.objective.force_matching import LEVELS, ForceMatching
from fokker.objective.modes import Modes
from fokker.process import AbstractProcess
from fokker.types import ForceLabels
from tests.helpers.analytic import (
    MOLECULE_MEAN,
    AnalyticMixture,
    molecule_gaussian,
    molecule_mixture,
)
from tests.helpers.tools import bead_features
from tests.objective.test_diffclf import PERTURBATIONS, Perturbed
from tests.objective.test_residual import PROCESSES, two_wells

pytestmark = pytest.mark.statistics

N = 10_000
CHAIN = ((0, 1), (1, 2), (2, 3), (3, 4))
BRANCHED = ((0, 1), (1, 2), (1, 3), (3, 4))
SYSTEMS = {
    "plane": (two_wells, False, ()),
    "gaussian": (molecule_gaussian, True, CHAIN),
    "mixture": (molecule_mixture, True, CHAIN),
    "branched": (molecule_mixture, True, BRANCHED),
}
TIMES = (1e-3, 0.02, 0.1, 0.5)
NOISE = 2.0


class Still(AbstractProcess):
    """No noise: the clean density."""

    def log_alpha(self, t):
        return 0.0 * t

    def sigma(self, t):
        return 0.0 * t


def labelled(make, centred, noise, n=N, seed=0):
    """Clean frames and noisy labels whose mean is the score of the clean density."""
    base = make(Still())
    clean = base.sample(jax.random.key(seed), n)
    force = jax.vmap(lambda x: base.score(x, jnp.asarray(0.5)))(clean)
    error = noise * jax.random.normal(jax.random.key(seed + 1), clean.shape)
    if centred:
        error = error - error.mean(axis=1, keepdims=True)
    return clean, force + error


def build(clean, force, bonds, **options):
    """The objective, its weights measured on frames other than those it is tested on."""
    given = (np.asarray(clean), np.asarray(force))
    return ForceMatchingOptions(**options).build(Molecule(clean.shape[1], bonds, given))


@eqx.filter_jit
def losses_and_slopes(objective, model, clean, force, known, times, key, a, h, centred):
    def one(x, f, label, t, k, a):
        process, features = model.process, bead_features(x.shape[0])
        noised = Noised.draw(
            x, t[None], process, features, k, centred=centred, label=ForceLabels(f, label)
        )
        return objective(Evaluation(Perturbed(model, a, h), process, noised), k)

    def every(a):
        keys = jax.random.split(key, len(clean))
        return jax.vmap(lambda *each: one(*each, a))(clean, force, known, times, keys)

    return jax.jvp(every, (a,), (jnp.ones_like(a),))


@eqx.filter_jit
def targets(objective, process, clean, force, t, key, centred):
    """Noised frames and what `sigma score` is fitted to there."""

    def one(x, f, k):
        noised = Noised.draw(
            x, t[None], process, bead_features(x.shape[0]), k, centred=centred,
            label=ForceLabels(f, jnp.asarray(True)),
        )  # fmt: skip
        alpha, sigma = process.level(t)
        level = jnp.minimum(sigma / alpha, LEVELS[-1])
        return noised.frames[0], objective.target(noised, noised.frames[0], noised.noise[0], level)

    return jax.vmap(one)(clean, force, jax.random.split(key, len(clean)))


def mean_and_error(sample):
    sample = np.asarray(sample, np.float64)
    return sample.mean(axis=0), sample.std(axis=0) / np.sqrt(len(sample)) + 1e-12


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("mixture", "vp"),
        ("branched", "ve"),
        *[
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in [
                *[("plane", "vp"), ("gaussian", "vp"), ("branched", "vp")],
                ("branched", "cosine"),
            ]
        ],
    ],
)
def test_the_target_has_the_mean_of_the_score_at_every_time(system, name):
    """Against functions of the noised frame: constants, coordinates and the score itself."""
    (make, centred, bonds), process = SYSTEMS[system], PROCESSES[name]
    clean, force = labelled(make, centred, NOISE)
    objective = build(clean[:1000], force[:1000], bonds)
    model = make(process)
    for t in TIMES:
        time = jnp.asarray(t)
        frames, found = targets(objective, process, clean, force, time, jax.random.key(5), centred)
        sigma = process.sigma(time)
        truth = sigma * jax.vmap(lambda x, time=time: model.score(x, time))(frames)
        error = (found - truth).reshape(N, -1)
        flat, score = frames.reshape(N, -1), truth.reshape(N, -1)
        for test in (jnp.ones_like(flat), flat, jnp.tanh(score)):
            mean, deviation = mean_and_error(error * test)
            assert np.abs(mean / deviation).max() < 5.0


OPTIONS = {
    "modes": {},
    "isotropic": {"mixture": "isotropic"},
    "normalised": {"normalise": True},
    "torsions": {"torsions": 3.0},
}


@pytest.mark.parametrize(
    ("system", "name", "process"),
    [
        *[("mixture", name, "vp") for name in ("modes", "normalised", "torsions")],
        ("branched", "modes", "ve"),
        *[
            pytest.param(*row, marks=pytest.mark.slow)
            for row in [
                ("mixture", "isotropic", "vp"),
                *[("plane", "modes", process) for process in PROCESSES],
                ("gaussian", "normalised", "cosine"),
            ]
        ],
    ],
)
def test_least_at_the_true_score(system, name, process):
    """With every third label unknown: the mean slope is zero, and any change raises the mean."""
    make, centred, bonds = SYSTEMS[system]
    clean, force = labelled(make, centred, NOISE)
    objective = build(clean[:1000], force[:1000], bonds, **OPTIONS[name])
    model, h = make(PROCESSES[process]), PERTURBATIONS["tilt"]
    known = jnp.arange(N) % 3 > 0
    times = jax.random.uniform(jax.random.key(3), (N,), minval=1e-3, maxval=0.4)
    found = {
        a: losses_and_slopes(
            objective, model, clean, jnp.where(known[:, None, None], force, 0.0), known, times,
            jax.random.key(2), jnp.asarray(a), h, centred,
        )
        for a in (-5.0, 0.0, 5.0)
    }  # fmt: skip
    mean, error = mean_and_error(found[0.0][1])
    assert abs(mean) < 4.5 * error
    for a in (-5.0, 5.0):
        mean, error = mean_and_error(found[a][0] - found[0.0][0])
        assert mean > 4.0 * error


@pytest.mark.parametrize("noise", [0.0, 1.0, 10.0])
def test_weights_are_those_of_the_gaussian(noise):
    """`w = rho^2 / (rho^2 + 1 / (1 / S + N))` for variance S and label noise N."""

    def make(process):
        return AnalyticMixture.isotropic([1.0], [[[0.0, 0.0]]], [0.3], process)

    clean, force = labelled(make, False, noise)
    objective = build(clean, force, ())
    expected = LEVELS**2 / (LEVELS**2 + 1.0 / (1.0 / 0.09 + noise**2))
    np.testing.assert_allclose(objective.weights[:, 0], expected, atol=0.03)


def test_a_gaussian_with_exact_labels_has_an_exact_target():
    def make(process):
        return AnalyticMixture.isotropic([1.0], [[[0.0, 0.0]]], [0.3], process)

    clean, force = labelled(make, False, 0.0)
    objective, process = build(clean, force, ()), PROCESSES["vp"]
    for t in TIMES:
        time = jnp.asarray(t)
        frames, found = targets(objective, process, clean, force, time, jax.random.key(1), False)
        truth = process.sigma(time) * jax.vmap(lambda x: make(process).score(x, time))(frames)  # noqa: B023
        assert float(jnp.mean((found - truth) ** 2)) < 0.02


@pytest.mark.parametrize("noise", [0.0, NOISE, pytest.param(20.0, marks=pytest.mark.slow)])
def test_variance_is_below_that_of_noise_alone_and_of_forces_alone(noise):
    clean, force = labelled(molecule_gaussian, True, noise)
    objective, process = build(clean, force, CHAIN), PROCESSES["vp"]
    model = molecule_gaussian(process)
    for t in TIMES:
        time = jnp.asarray(t)
        alpha, sigma = process.level(time)
        frames, mixed = targets(objective, process, clean, force, time, jax.random.key(1), True)
        truth = sigma * jax.vmap(lambda x, time=time: model.score(x, time))(frames)
        noise_alone = -(frames - alpha * clean) / sigma
        variance = [
            float(jnp.mean((target - truth) ** 2))
            for target in (mixed, noise_alone, sigma / alpha * force)
        ]
        assert variance[0] < 1.02 * min(variance[1:])


def test_between_levels_tables_are_linear_in_the_logarithm():
    table = jnp.asarray(np.random.default_rng(0).normal(size=(len(LEVELS), 2)), jnp.float32)
    tables = np.asarray(table)
    read = jax.vmap(ForceMatching(None, tables, tables, 0.0, False)._at, in_axes=(None, 0))
    np.testing.assert_allclose(read(table, jnp.asarray(LEVELS)), table, atol=1e-4)
    for part in (0.05, 0.3, 0.95):
        between = LEVELS[:-1] ** (1.0 - part) * LEVELS[1:] ** part
        expected = (1.0 - part) * table[:-1] + part * table[1:]
        np.testing.assert_allclose(read(table, jnp.asarray(between)), expected, atol=1e-3)
    outside = read(table, jnp.asarray([0.1 * LEVELS[0], 10.0 * LEVELS[-1]]))
    np.testing.assert_allclose(outside, table[jnp.array([0, -1])], atol=1e-4)


def test_without_labels_it_is_denoising_score_matching():
    clean, force = labelled(molecule_mixture, True, NOISE)
    objective = build(clean[:500], force[:500], CHAIN)
    model = molecule_mixture(PROCESSES["vp"])
    label = ForceLabels(jnp.zeros_like(clean[0]), jnp.asarray(False))

    @eqx.filter_jit
    def both(t):
        noised = Noised.draw(
            clean[0], t[None], model.process, bead_features(5), jax.random.key(0),
            centred=True, label=label,
        )  # fmt: skip
        evaluation = Evaluation(model, model.process, noised)
        return tuple(
            term(evaluation, jax.random.key(0)) for term in (objective, DenoisingOptions().build())
        )

    for t in TIMES:
        np.testing.assert_allclose(*both(jnp.asarray(t)), rtol=1e-4)


def test_no_labels_at_all_is_an_error():
    with pytest.raises(FokkerError, match="no training frame has a force"):
        ForceMatchingOptions().build(Molecule(5, CHAIN))


@pytest.mark.parametrize(("bonds", "n_torsions"), [(CHAIN, 2), (BRANCHED, 1)])
def test_modes_are_orthonormal_and_turn_with_the_molecule(bonds, n_torsions):
    rng = np.random.default_rng(0)
    frames = (MOLECULE_MEAN + 0.1 * rng.normal(size=(50, 5, 3))).astype(np.float32)
    modes = Modes.of(Molecule(5, bonds), frames)
    assert modes.n_torsions == n_torsions
    x = jnp.asarray(frames[0])
    found = modes(x)
    flat = found.reshape(modes.n_modes, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(modes.n_modes), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 0.0, atol=1e-5)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    along = np.abs(np.einsum("kbd,kbd->k", modes(x @ turn.T)[3:], found[3:] @ turn.T))
    np.testing.assert_allclose(along, 1.0, atol=1e-4)


def test_redundant_bends_are_left_out():
    """A planar star has three bends in a plane of which two are independent."""
    rng = np.random.default_rng(0)
    star = np.array([[0, 0, 0], [1, 0, 0], [-0.5, 0.87, 0], [-0.5, -0.87, 0]])
    frames = (star + 1e-3 * rng.normal(size=(50, 4, 3))).astype(np.float32)
    assert Modes.of(Molecule(4, ((0, 1), (0, 2), (0, 3))), frames).n_modes == 3 + 3 + 2
