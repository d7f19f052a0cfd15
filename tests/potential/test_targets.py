"""Potentials: energies and forces. Distributions: samples. Analytic targets: noised marginals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import integrate, stats

from fokker import potential
from fokker.potential import (
    AbstractAnalyticTarget,
    AbstractDistribution,
    AbstractPotential,
    Checkerboard,
    DoubleWell,
    Gaussian,
    GaussianMixture,
    Harmonic,
    MuellerBrown,
    bimodal_1d,
    bimodal_2d,
)

TARGETS = {
    "gaussian": Gaussian(
        jnp.array([[0.5, -1.0, 2.0], [0.0, 1.0, -0.5]]),
        jnp.array([[0.3, 1.0, 2.0], [0.7, 0.1, 1.5]]),
    ),
    "mixture": GaussianMixture(
        [0.2, 0.5, 0.3],
        np.random.default_rng(0).normal(size=(3, 2, 3)),
        [0.3, 0.5, 0.8],
    ),
    "bimodal_1d": bimodal_1d(),
    "bimodal_2d": bimodal_2d(),
    "checkerboard": Checkerboard(),
    "mueller_brown": MuellerBrown(),
    "harmonic": Harmonic(jnp.array([[1.0, 4.0], [9.0, 100.0]]), 2.5),
    "double_well": DoubleWell(barrier=3.0, width=0.7, kT=1.2),
}


def of_kind(kind):
    return [name for name, target in TARGETS.items() if isinstance(target, kind)]


def test_every_exported_target_is_in_the_table():
    classes = [value for value in vars(potential).values() if isinstance(value, type)]
    exported = {cls for cls in classes if not cls.__name__.startswith("Abstract")}
    assert exported == {type(target) for target in TARGETS.values()}


@pytest.mark.parametrize("name", of_kind(AbstractDistribution))
def test_samples_are_reproducible_and_finite(name):
    target = TARGETS[name]
    x = np.asarray(target.sample(random.key(1), 64))
    assert x.ndim == 3
    assert x.shape[0] == 64
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    np.testing.assert_array_equal(x, target.sample(random.key(1), 64))
    assert not np.isclose(x, target.sample(random.key(2), 64)).all()


@pytest.mark.parametrize("name", of_kind(AbstractPotential))
def test_force_is_minus_the_gradient(name):
    """Central differences in double precision."""
    target = TARGETS[name]
    frames = np.asarray(target.sample(random.key(3), 3), np.float64)
    with jax.enable_x64(True):
        target = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float64) if eqx.is_array(leaf) else leaf, target
        )
        energy, force_of = eqx.filter_jit(target.energy), eqx.filter_jit(target.force)
        for x in frames:
            force = np.asarray(force_of(jnp.asarray(x)))
            for index in np.ndindex(x.shape):
                step = np.zeros_like(x)
                step[index] = 1e-5
                slope = (energy(jnp.asarray(x + step)) - energy(jnp.asarray(x - step))) / 2e-5
                # Truncation h^2 E'''/6 and rounding 1e-16 E / h are both far below 1e-6 E''.
                np.testing.assert_allclose(
                    force[index], -slope, rtol=1e-5, atol=1e-5 * np.abs(force).max()
                )


# ---------------------------------------------------------------- noised marginals

LEVELS = [(1.0, 0.0), (0.8, 0.6), (0.05, 1.0)]


@pytest.mark.parametrize("alpha", [1.0, 0.7, 0.1])
@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0])
def test_mixture_marginal_is_the_convolution(alpha, sigma):
    """`p_t(x) = int p_0(x_0) N(x; alpha x_0, sigma^2) dx_0`, by the trapezoidal rule.

    The integrand is smooth and decays, so the rule converges faster than any power of the spacing.
    """
    target = bimodal_1d()
    x0 = np.linspace(-5, 5, 20_001)
    p0 = (stats.norm.pdf(x0, -1, 0.35) + 2 * stats.norm.pdf(x0, 1, 0.35)) / 3
    # Within two widths of the marginal, where x_0 in [-5, 5] holds all of the integrand.
    for x in np.array([-2.0, -0.7, 0.0, 0.3, 1.5]) * (alpha + sigma):
        expected = integrate.trapezoid(p0 * stats.norm.pdf(x, alpha * x0, sigma), x0)
        level = jnp.asarray(alpha), jnp.asarray(sigma)
        measured = target.log_density(jnp.full((1, 1), x, jnp.float32), *level)
        # float32 log densities of order ten.
        np.testing.assert_allclose(measured, np.log(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", of_kind(AbstractAnalyticTarget))
@pytest.mark.parametrize(("alpha", "sigma"), LEVELS)
def test_marginal_is_the_law_of_noised_samples(name, alpha, sigma):
    """Stein's identity: `E score = 0` and `E <x, score> = -D` for a density and its own samples."""
    target = TARGETS[name]
    n = 20_000
    x0 = target.sample(random.key(4), n)
    x = alpha * x0 + sigma * random.normal(random.key(5), x0.shape)
    level = jnp.asarray(alpha), jnp.asarray(sigma)
    score = jax.jit(jax.vmap(lambda x: target.score(x, *level)))(x)
    score, x = np.asarray(score, np.float64), np.asarray(x, np.float64)
    # Five standard errors, from the spread of the independent samples.
    assert (np.abs(score.mean(axis=0)) < 5 * score.std(axis=0) / n**0.5).all()
    virial = (x * score).sum(axis=(1, 2))
    assert abs(virial.mean() + x[0].size) < 5 * virial.std() / n**0.5


@pytest.mark.parametrize("name", of_kind(AbstractAnalyticTarget))
def test_energy_is_minus_log_density_of_the_data(name):
    target = TARGETS[name]
    x = target.sample(random.key(6), 1)[0]

    @eqx.filter_jit
    def values(x):
        clean = jnp.ones(()), jnp.zeros(())
        return (
            *(target.energy(x), target.force(x)),
            *(target.log_density(x, *clean), target.score(x, *clean)),
        )

    energy, force, log_density, score = values(x)
    np.testing.assert_allclose(energy, -log_density, rtol=1e-6)
    np.testing.assert_allclose(force, score, rtol=1e-5, atol=1e-5)


def test_gaussian_log_density_against_scipy():
    target = TARGETS["gaussian"]
    x = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    scale = np.hypot(0.6 * np.asarray(target.standard_deviation), 0.8)
    expected = stats.norm.logpdf(x, 0.6 * np.asarray(target.mean), scale).sum()
    measured = target.log_density(jnp.asarray(x), jnp.asarray(0.6), jnp.asarray(0.8))
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


def test_log_density_far_from_every_mode_is_finite():
    x = jnp.full((1, 1), 300.0)
    score = bimodal_1d().score(x, jnp.ones(()), jnp.asarray(1e-3))
    np.testing.assert_allclose(score, -(300.0 - 1.0) / (0.35**2 + 1e-6), rtol=1e-4)


# ---------------------------------------------------------------- samplers


def test_mixture_samples_have_the_stated_weights_and_widths():
    n = 50_000
    x = np.asarray(bimodal_1d().sample(random.key(7), n), np.float64).ravel()
    cdf = lambda y: (stats.norm.cdf(y, -1, 0.35) + 2 * stats.norm.cdf(y, 1, 0.35)) / 3  # noqa: E731
    assert stats.kstest(x, cdf).pvalue > 1e-3


def test_checkerboard_covers_the_dark_squares_evenly():
    n = 40_000
    x = np.asarray(Checkerboard().sample(random.key(8), n), np.float64)[:, 0]
    square = np.floor(x + 2).astype(int)
    assert ((square >= 0) & (square < 4)).all()
    assert (square.sum(axis=1) % 2 == 0).all()
    counts = np.bincount(4 * square[:, 1] + square[:, 0], minlength=16)
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-3
    assert (counts > 0).sum() == 8
    inside = x + 2 - square
    assert stats.kstest(inside[:, 0], "uniform").pvalue > 1e-3
    assert stats.kstest(inside[:, 1], "uniform").pvalue > 1e-3


def test_double_well_samples_follow_the_boltzmann_distribution():
    target = TARGETS["double_well"]
    x = np.asarray(target.sample(random.key(9), 50_000), np.float64).ravel()
    grid = np.linspace(-3, 3, 60_001)
    cumulative = integrate.cumulative_trapezoid(
        np.exp(-3.0 * ((grid / 0.7) ** 2 - 1) ** 2 / 1.2), grid, initial=0.0
    )
    cdf = lambda y: np.interp(y, grid, cumulative / cumulative[-1])  # noqa: E731
    assert stats.kstest(x, cdf).pvalue > 1e-3


def test_harmonic_samples_have_the_boltzmann_variance():
    target = TARGETS["harmonic"]
    n = 50_000
    x = np.asarray(target.sample(random.key(10), n), np.float64)
    expected = 2.5 / np.asarray(target.stiffness)
    np.testing.assert_allclose(x.var(axis=0), expected, rtol=5 * (2 / n) ** 0.5)
