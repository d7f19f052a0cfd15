"""The estimators of the Fokker-Planck loss are unbiased for the square of the exact residual."""

import functools
from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from fokker.errors import FokkerError
from fokker.model import EnergyModel, ScoreModel
from fokker.objective import (
    ClassificationOptions,
    DenoisingOptions,
    Evaluation,
    FittedOptions,
    FokkerPlanckOptions,
    Noised,
    ObjectiveOptions,
    RadonNikodymOptions,
    TimeScoreOptions,
    TorsionOptions,
    exact_residual,
)
from fokker.objective.residual import strong_residuals, weak_residuals
from tests.helpers.analytic import molecule_gaussian, molecule_mixture
from tests.helpers.tools import FEATURES, bead_features, is_weight, molecule_inputs, randomise
from tests.network.test_conformance import NETWORKS
from tests.objective.test_residual import EACH_PROCESS, PROCESSES, Wrong, noised_frames, two_wells

pytestmark = pytest.mark.statistics

FORMS = {
    "rademacher": {"form": "strong"},
    "gaussian": {"form": "strong", "distribution": "gaussian"},
    "weak": {"form": "weak", "time_derivative": "exact"},
    "weak-finite": {"form": "weak", "time_derivative": "finite"},
}
EXACT = eqx.filter_jit(exact_residual)
N_PROBES = 4000


def noised_at(x, t, degrees) -> Noised:
    """A frame at one time; the term needs neither the clean frame nor the noise."""
    features, centred = bead_features(len(x)), degrees < x.size
    return Noised(x, jnp.zeros_like(x)[None], t[None], x[None], features, centred)


@eqx.filter_jit
def values(objective, model, process, x, t, degrees, keys):
    """The term for many keys at one frame."""
    evaluation = Evaluation(model, process, noised_at(x, t, degrees))
    return jax.vmap(lambda key: objective(evaluation, key))(keys)


def molecule(process):
    """Wrong by a scale and by a term, in the centre-of-mass-free space."""
    return Wrong(molecule_mixture(process), a=1.2, b=0.3), 12


def plane(process):
    """Wrong enough to stand out from the noise of a probe."""
    return Wrong(two_wells(process), a=1.2, b=30.0), 2


def compare(process, make, options, t):
    """Samples of the term in float64, and the exact `R^2 / D^2`."""
    model, degrees = make(process)
    with jax.enable_x64(True):
        x, t = jnp.asarray(noised_frames(model.base, t)[1]), jnp.asarray(t)
        keys = jax.random.split(jax.random.key(1), N_PROBES)
        objective = FokkerPlanckOptions(**options).build()
        samples = values(objective, model, process, x, t, degrees, keys)
        features = bead_features(x.shape[0])
        centred = degrees < x.size
        residual = EXACT(model, process, x, t, features, centred=centred)
        return np.asarray(samples), float(residual) ** 2 / degrees**2


@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("make", [plane, molecule])
@pytest.mark.parametrize("t", [1e-4, 0.05])
def test_mean_over_probes_is_the_squared_residual(options, make, t):
    """Within 4 standard errors of the mean over probes; the weak form is off by sigma_v^2.

    The mean must also be known well enough to tell it from zero, or the test would pass for any
    small number.
    """
    samples, expected = compare(PROCESSES["vp"], make, options, t)
    error = samples.std() / np.sqrt(N_PROBES)
    assert abs(samples.mean() - expected) < 4.0 * error + 1e-3 * expected
    assert error < 0.1 * expected


@EACH_PROCESS
def test_every_process_has_the_right_terms(process):
    samples, expected = compare(process, plane, FORMS["gaussian"], 0.3)
    error = samples.std() / np.sqrt(N_PROBES)
    assert abs(samples.mean() - expected) < 4.0 * error
    assert error < 0.1 * expected


def test_the_product_can_be_negative_and_a_square_would_be_biased():
    """Where R is small beside the noise of a probe, a clamp or a square would dominate."""
    process = PROCESSES["vp"]
    true = Wrong(molecule_mixture(process))  # right energy, no residual
    with jax.enable_x64(True):
        x, t = jnp.asarray(noised_frames(true.base, 0.05)[1]), jnp.asarray(0.05)
        keys = jax.random.split(jax.random.key(1), N_PROBES)
        objective = FokkerPlanckOptions(distribution="gaussian").build()
        samples = np.asarray(values(objective, true, process, x, t, 12, keys))
    error = samples.std() / np.sqrt(N_PROBES)
    assert abs(samples.mean()) < 4.0 * error
    assert (samples < 0).mean() > 0.2
    assert np.maximum(samples, 0.0).mean() > 10.0 * error


def test_exact_probes_have_no_noise():
    samples, expected = compare(PROCESSES["vp"], molecule, {"probes": "exact"}, 0.05)
    np.testing.assert_allclose(samples, expected, rtol=1e-9)


@pytest.mark.parametrize("t", [1e-4, 1e-2, 0.3])
def test_finite_and_exact_time_derivatives_agree(t):
    """Same probes, float64; the step is a quarter of t, so the error is of order t^2 or 1e-6."""
    finite, _ = compare(PROCESSES["vp"], molecule, FORMS["weak-finite"], t)
    exact, _ = compare(PROCESSES["vp"], molecule, FORMS["weak"], t)
    np.testing.assert_allclose(finite, exact, rtol=1e-2, atol=1e-3 * np.abs(exact).mean())


WEAK = functools.partial(weak_residuals, sigma_v=1e-4, time_derivative="exact")


@pytest.mark.parametrize("residuals", [strong_residuals, WEAK], ids=["strong", "weak"])
def test_estimates_stay_in_the_centre_of_mass_free_space(residuals):
    """An energy that sees translations: the mean is still the exact residual of the subspace."""
    process = PROCESSES["vp"]
    model = Wrong(molecule_gaussian(process), b=300.0)
    probes = np.random.default_rng(0).normal(size=(N_PROBES, 1, 5, 3))
    with jax.enable_x64(True):
        x, t = jnp.asarray(noised_frames(model.base, 0.05)[1]), jnp.asarray(0.05)

        @eqx.filter_jit
        def found(model, probes):
            return jax.vmap(
                lambda v: residuals(model, process, x, t, FEATURES, v, centred=True)[0]
            )(probes)

        sample = np.asarray(found(model, jnp.asarray(probes)))
        expected = EXACT(model, process, x, t, FEATURES, centred=True)
        error = sample.std() / np.sqrt(N_PROBES)
        assert abs(sample.mean() - float(expected)) < 4.0 * error
        # In the whole space the answer is another one.
        elsewhere = EXACT(model, process, x, t, FEATURES, centred=False)
        assert abs(float(elsewhere - expected)) > 10.0 * error


def test_strong_form_keeps_its_digits_where_dynamics_run():
    """float32 against float64 at t = 1e-5 with the same probes.

    The strong form is good to 1e-5. The weak form divides a difference of scores, rounded to 1e-7
    of their size, by 2e-4: it loses three digits or more.
    """
    process = PROCESSES["vp"]
    model, _ = molecule(process)
    frame = noised_frames(model.base, 1e-5)[1]
    probes = np.random.default_rng(0).normal(size=(10, *frame.shape))

    def error(residuals):
        @eqx.filter_jit
        def evaluate(model, x, t, probes):
            return residuals(model, process, x, t, FEATURES, probes, centred=True)

        def at(dtype):
            arrays = (jnp.asarray(a, dtype) for a in (frame, 1e-5, probes))
            return np.asarray(evaluate(model, *arrays), np.float64)

        single = at(jnp.float32)
        with jax.enable_x64(True):
            double = at(jnp.float64)
        return np.abs(single - double).max() / np.abs(double).mean()

    assert error(strong_residuals) < 1e-5
    assert 1e-4 < error(WEAK) < 0.1


def test_lambda_and_t_max_scale_the_term():
    process = PROCESSES["vp"]
    model, degrees = plane(process)
    x, t = jnp.asarray(noised_frames(model.base, 0.05)[1], jnp.float32), jnp.asarray(0.05)
    keys = jax.random.split(jax.random.key(1), 3)

    def term(**options):
        return values(FokkerPlanckOptions(**options).build(), model, process, x, t, degrees, keys)

    rate = process.sigma(t) ** 2 / process.diffusion_squared(t)
    plain = term()
    np.testing.assert_allclose(term(time_weight="log-snr-measure"), rate * plain, rtol=1e-5)
    np.testing.assert_allclose(term(time_weight="log-snr"), rate**2 * plain, rtol=1e-5)
    np.testing.assert_array_equal(term(t_max=0.04), 0.0)
    np.testing.assert_array_equal(term(t_max=0.06), plain)


def test_rate_is_the_inverse_of_the_slope_of_the_log_snr():
    with jax.enable_x64(True):
        for process in PROCESSES.values():
            for t in map(jnp.asarray, (1e-4, 0.1, 0.9)):
                rate = process.sigma(t) ** 2 / process.diffusion_squared(t)
                np.testing.assert_allclose(-rate * jax.grad(process.log_snr)(t), 1.0, rtol=1e-9)


@pytest.mark.parametrize("form", ["strong", "weak"])
def test_gradient_by_weights_is_finite_and_reduces_the_residual(form):
    """One network, small step against the gradient of the mean over many frames."""
    process = PROCESSES["vp"]
    network = NETWORKS["mlp"].build(molecule_inputs(), "energy", jax.random.key(0))
    model = EnergyModel(randomise(network, scale=0.2), process)
    frames = jnp.asarray(molecule_inputs().frames[:32])
    weights, rest = eqx.partition(model, is_weight)
    objective = FokkerPlanckOptions(form=form).build()
    t = jnp.asarray(0.05)

    @jax.jit
    def loss(weights, key):
        def one(x, k):
            return objective(
                Evaluation(eqx.combine(weights, rest), process, noised_at(x, t, 12)), k
            )

        return jnp.mean(jax.vmap(one)(frames, jax.random.split(key, 32)))

    key = jax.random.key(3)
    before, gradient = jax.value_and_grad(loss)(weights, key)
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
    assert np.isfinite(norm)
    step = 1e-3 * float(jnp.abs(before) / norm**2)
    after = loss(jax.tree.map(lambda w, g: w - step * g, weights, gradient), key)
    assert float(after) < float(before)


def test_needs_an_energy():
    network = NETWORKS["mlp"].build(molecule_inputs(), "score", jax.random.key(0))
    model = ScoreModel(network, PROCESSES["vp"], True)
    x = jnp.asarray(molecule_inputs().frames[0])
    evaluation = Evaluation(model, PROCESSES["vp"], noised_at(x, jnp.asarray(0.1), 12))
    with pytest.raises(TypeError, match="conservative"):
        FokkerPlanckOptions().build()(evaluation, jax.random.key(0))


def test_options_are_chosen_by_name():
    adapter = TypeAdapter(ObjectiveOptions)
    built = {
        "dsm": DenoisingOptions,
        "diffclf": ClassificationOptions,
        "fokker-planck": FokkerPlanckOptions,
        "torsion": TorsionOptions,
        "rne": RadonNikodymOptions,
        "ctsm": TimeScoreOptions,
        "fitted": FittedOptions,
    }
    for name, options in built.items():
        parsed = adapter.validate_python({"name": name})
        assert type(parsed) is options
        assert parsed.build().times_per_frame in (1, 2)
    labelled = adapter.validate_python({"name": "force-matching"})
    assert set(get_args(get_args(ObjectiveOptions)[0])) == {*built.values(), type(labelled)}
    with pytest.raises(FokkerError, match="no training frame has a force"):
        labelled.build()
    with pytest.raises(ValidationError, match="fraction"):
        FokkerPlanckOptions(fraction=0.0)
