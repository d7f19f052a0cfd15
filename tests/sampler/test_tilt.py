"""Tilted densities: exact with weights, whatever the way they are annealed in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.metrics import Ancestry
from fokker.process import VariancePreservingOptions
from fokker.sampler import AnnealedOptions, EnergyPath, HarmonicBias, ReverseProcess, TiltedPath
from tests.helpers.analytic import AnalyticMixture
from tests.helpers.tools import bead_features

VP = VariancePreservingOptions().build()
STD, CENTRE, K = 0.4, 1.0, 3.0


def tilted(value, k: float = K, centre: float = CENTRE, period: float | None = None):
    model = AnalyticMixture.isotropic([1.0], [[[0.0, 0.0]]], [STD], VP)
    path = EnergyPath.of(ReverseProcess(model, VP, bead_features(1), False), 1e-5)
    bias = HarmonicBias(value, centre, k, period, 1.0, np.zeros((), np.float32))
    x = model.sample(jax.random.key(0), 100)
    return TiltedPath.of(path, bias, bias.stiffness(x)), bias


def test_a_biased_gaussian_is_the_gaussian_it_should_be():
    path, _ = tilted(lambda x: x[0, 0])
    sampler = AnnealedOptions().build()
    schedule = sampler.plan(path, (1, 2), jax.random.key(1))
    island = sampler.draw(path, schedule, (8192, 1, 2), jax.random.key(2))
    precision = 1.0 / STD**2 + K
    mean, variance = K * CENTRE / precision, 1.0 / precision
    even = Ancestry.of(np.zeros(8192), island.ancestor)
    for values, truth in (
        (island.frames[:, 0, 0], mean),
        ((island.frames[:, 0, 0] - mean) ** 2, variance),
        (island.frames[:, 0, 1] ** 2, STD**2),
    ):
        found, error = even.mean(values.astype(float))
        assert abs(found - truth) < 4.5 * error
    # the integral of exp(-bias) over the Gaussian
    log_z = -0.5 * np.log1p(K * STD**2) - 0.5 * K * CENTRE**2 / (1.0 + K * STD**2)
    assert abs(island.log_normalisation - log_z) < 4.5 * island.error
    # back to the Gaussian, by weights
    tilts = np.asarray(path.tilts(jnp.asarray(island.frames), jnp.asarray(1e-5)), float)
    back = Ancestry.of(tilts, island.ancestor)
    found, error = back.mean(island.frames[:, 0, 0].astype(float))
    assert abs(found) < 4.5 * error


def test_energy_and_score_are_those_of_the_sum():
    path, bias = tilted(lambda x: jnp.arctan2(x[0, 1], x[0, 0]), period=2 * np.pi, centre=3.0)
    x = jax.random.normal(jax.random.key(3), (5, 1, 2))
    t = jnp.asarray(1e-5)
    energy = path.energy_and_score(x, t)[0]
    plain = path.path.energy_and_score(x, t)[0]
    np.testing.assert_allclose(energy - plain, jax.vmap(bias)(x), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(energy - plain, path.tilts(x, t), rtol=1e-3, atol=1e-3)
    later = jnp.asarray(0.3)
    slope = jax.grad(lambda y: jnp.sum(path.energy_and_score(y, later)[0]))(x)
    np.testing.assert_allclose(path.energy_and_score(x, later)[1], -slope, rtol=1e-3, atol=1e-3)
    noisy = path.energy_and_score(x, jnp.asarray(1.0))[0]
    plain = path.path.energy_and_score(x, jnp.asarray(1.0))[0]
    assert np.abs(noisy - plain).max() < 0.05 * K * np.pi**2


@pytest.mark.parametrize("angle", [3.0, -3.0])
def test_a_periodic_bias_goes_the_shorter_way_round(angle: float):
    _, bias = tilted(lambda x: jnp.arctan2(x[0, 1], x[0, 0]), period=2 * np.pi, centre=np.pi)
    x = jnp.array([[np.cos(angle), np.sin(angle)]], jnp.float32)
    assert float(bias(x)) == pytest.approx(0.5 * K * (np.pi - 3.0) ** 2, rel=1e-4)
