"""Denoising score matching against its closed-form minimum."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.objective import DenoisingOptions, Evaluation, Noised
from tests.helpers.analytic import AnalyticMixture, molecule_gaussian
from tests.helpers.tools import bead_features
from tests.objective.test_residual import EACH_PROCESS, PROCESSES, Wrong

N = 20_000
DSM = DenoisingOptions().build()


def plane(process):
    """Variances 0.04 and 0.9; D = 2."""
    return AnalyticMixture.anisotropic([1.0], [[[0.5, -0.2]]], [[0.04, 0.9]], process)


GAUSSIANS = {"plane": (plane, False), "molecule": (molecule_gaussian, True)}
EACH_GAUSSIAN = pytest.mark.parametrize(("make", "centred"), GAUSSIANS.values(), ids=GAUSSIANS)


@eqx.filter_jit
def losses(model, process, clean, times, key, *, centred, antithetic=False):
    """The term for every clean frame, all noised at the same times."""

    def one(x, k):
        features = bead_features(x.shape[0])
        noised = Noised.draw(x, times, process, features, k, centred=centred, antithetic=antithetic)
        return DSM(Evaluation(model, process, noised), key)

    return jax.vmap(one)(clean, jax.random.split(key, clean.shape[0]))


def noise_left(gaussian, t) -> float:
    """`tr Cov[eps | x_t] / D`, the loss of the true score: `alpha^2 S / (alpha^2 S + sigma^2)`."""
    alpha, sigma = (float(level) for level in gaussian.process.level(jnp.asarray(t)))
    spread = alpha**2 * gaussian.variances[0]
    return float(np.mean(spread / (spread + sigma**2)))


@EACH_PROCESS
@EACH_GAUSSIAN
def test_loss_of_the_true_score_is_the_noise_that_no_score_can_tell(make, centred, process):
    gaussian = make(process)
    clean = gaussian.sample(jax.random.key(0), N)
    for t in (1e-3, 0.05, 0.3, 0.9):
        sample = losses(
            gaussian, process, clean, jnp.array([t]), jax.random.key(1), centred=centred
        )
        error = np.std(sample) / np.sqrt(N)
        # Rounding: 1 - 1e-6 at small t has an error of its own.
        assert abs(np.mean(sample) - noise_left(gaussian, t)) < 4.0 * error + 1e-6, t


@pytest.mark.parametrize("a", [0.8, 1.0, 1.2])
def test_gradient_leads_to_the_true_score(a):
    """For `a score`, d loss / da = 2 (a - 1) sigma^2 E|score|^2 / D, with E|score|^2 = sum 1/v."""
    process, t = PROCESSES["vp"], 0.05
    gaussian = molecule_gaussian(process)
    clean = gaussian.sample(jax.random.key(0), N)

    def slope(a):
        wrong = Wrong(gaussian, a=a)
        return losses(wrong, process, clean, jnp.array([t]), jax.random.key(1), centred=True)

    _, slopes = jax.jvp(slope, (jnp.asarray(a),), (jnp.asarray(1.0),))
    alpha, sigma = (float(level) for level in process.level(jnp.asarray(t)))
    variance = alpha**2 * gaussian.variances[0] + sigma**2
    expected = 2.0 * (a - 1.0) * sigma**2 * np.mean(1.0 / variance)
    error = np.std(slopes) / np.sqrt(N)
    assert abs(np.mean(slopes) - expected) < 4.0 * error
    assert error < 0.1 * 0.2 * 2.0 * sigma**2 * np.mean(1.0 / variance)


def test_several_times_are_averaged():
    process, times = PROCESSES["vp"], jnp.array([0.05, 0.3])
    gaussian = plane(process)
    clean, key = gaussian.sample(jax.random.key(0), 100), jax.random.key(1)
    both = losses(gaussian, process, clean, times, key, centred=False)
    each = [losses(gaussian, process, clean, t[None], key, centred=False) for t in times]
    np.testing.assert_allclose(both, (each[0] + each[1]) / 2.0, rtol=1e-5)


def draw(process, times, **options):
    """One centred molecule, noised."""
    x = molecule_gaussian(process).sample(jax.random.key(0), 1)[0]
    key, features = jax.random.key(2), bead_features(5)
    return Noised.draw(x, times, process, features, key, centred=True, **options)


@pytest.mark.parametrize("antithetic", [False, True])
def test_frames_are_what_the_process_says(antithetic):
    process, times = PROCESSES["vp"], jnp.array([0.05, 0.3])
    noised = draw(process, times, antithetic=antithetic)
    assert noised.degrees_of_freedom == 12
    np.testing.assert_allclose(jnp.mean(noised.noise, axis=1), 0.0, atol=1e-6)
    np.testing.assert_array_equal(noised.times, np.tile(times, 1 + antithetic))
    for t, noise, frame in zip(noised.times, noised.noise, noised.frames, strict=True):
        alpha, sigma = process.level(t)
        expected = alpha * noised.clean + sigma * noise
        np.testing.assert_allclose(frame, expected, rtol=1e-5, atol=1e-6)


def test_antithetic_noise_is_the_same_draw_with_both_signs():
    process, times = PROCESSES["vp"], jnp.array([0.05, 0.3])
    plain, pairs = draw(process, times), draw(process, times, antithetic=True)
    np.testing.assert_array_equal(pairs.noise[:2], plain.noise)
    np.testing.assert_array_equal(pairs.noise[2:], -plain.noise)


def test_antithetic_noise_leaves_the_mean_and_takes_away_variance():
    """At small sigma. The clean frames are the same: the two means differ by noise alone."""
    process, times = PROCESSES["vp"], jnp.array([1e-3])
    gaussian = molecule_gaussian(process)
    model = Wrong(gaussian, a=1.2)
    clean, key = gaussian.sample(jax.random.key(0), N), jax.random.key(1)
    # The constant |eps|^2 is common to every score: compare what depends on the score.
    noise = losses(Wrong(gaussian, a=0.0), process, clean, times, key, centred=True)
    plain, paired = (
        np.asarray(
            losses(model, process, clean, times, key, centred=True, antithetic=antithetic) - noise
        )
        for antithetic in (False, True)
    )
    error = np.std(plain - paired) / np.sqrt(N)
    assert abs(np.mean(plain) - np.mean(paired)) < 4.0 * error
    assert np.std(paired) < 0.2 * np.std(plain)
