"""Every noise process against its own definition, finite differences and simulation."""

from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.process import (
    CosineOptions,
    ProcessOptions,
    VarianceExplodingOptions,
    VariancePreservingOptions,
)

PROCESSES = {
    "vp": VariancePreservingOptions(),
    "vp-other": VariancePreservingOptions(beta_min=0.5, beta_max=8.0),
    "ve": VarianceExplodingOptions(),
    "cosine": CosineOptions(),
}
OPTIONS = pytest.mark.parametrize("options", PROCESSES.values(), ids=PROCESSES)
TIMES = np.geomspace(1e-5, 1.0, 60)


def test_every_process_is_tested():
    known = set(get_args(get_args(ProcessOptions)[0]))
    assert known == {type(options) for options in PROCESSES.values()}


@OPTIONS
def test_signal_to_noise_falls(options):
    process = options.build()
    log_snr = jax.vmap(process.log_snr)(jnp.asarray(TIMES, jnp.float32))
    assert np.isfinite(log_snr).all()
    assert (np.diff(log_snr) < 0).all()
    alpha, sigma = jax.vmap(process.level)(jnp.asarray(TIMES, jnp.float32))
    assert (np.diff(alpha) <= 0).all()
    assert (np.diff(sigma) > 0).all()


@OPTIONS
def test_starts_at_the_data(options):
    process = options.build()
    assert process.alpha(jnp.asarray(0.0)) == 1.0
    assert process.sigma(jnp.asarray(0.0)) == 0.0


@OPTIONS
def test_drift_and_diffusion_are_derivatives_of_the_marginals(options):
    """`f = d log alpha / dt` and `d sigma^2 / dt = 2 f sigma^2 + g^2` by central differences."""
    process = options.build()
    with jax.enable_x64(True):
        t = jnp.asarray(TIMES)
        # Truncation below 1e-6 even beside the pole of the cosine drift; rounding of log alpha,
        # 1e-16 over a step of 1e-10, is the absolute tolerance.
        step = 1e-5 * t
        log_alpha, variance = jax.vmap(process.log_alpha), lambda s: jax.vmap(process.sigma)(s) ** 2
        f = (log_alpha(t + step) - log_alpha(t - step)) / (2 * step)
        rate = (variance(t + step) - variance(t - step)) / (2 * step)
        drift, g2 = jax.vmap(process.drift)(t), jax.vmap(process.diffusion_squared)(t)
        np.testing.assert_allclose(drift, f, rtol=2e-6, atol=2e-6)
        np.testing.assert_allclose(2 * drift * variance(t) + g2, rate, rtol=2e-6)
        assert (g2 > 0).all()


@OPTIONS
def test_float32_keeps_its_digits_near_zero(options):
    """sigma and g^2 at t = 1e-5, where dynamics run, to ten units in the last place."""
    process = options.build()
    with jax.enable_x64(True):
        exact = [float(f(jnp.asarray(1e-5))) for f in (process.sigma, process.diffusion_squared)]
    single = [
        float(f(jnp.asarray(1e-5, jnp.float32))) for f in (process.sigma, process.diffusion_squared)
    ]
    np.testing.assert_allclose(single, exact, rtol=10 * np.finfo(np.float32).eps)


@OPTIONS
def test_the_forward_equation_has_the_stated_marginals(options):
    """Euler-Maruyama to t = 0.4 from one point, coefficients at the middle of each step."""
    process, end, steps, n, start = options.build(), 0.4, 400, 20_000, 1.5
    dt = end / steps

    @eqx.filter_jit
    def simulate(process, key):
        def step(x, i):
            t = (i + 0.5) * dt
            noise = jax.random.normal(jax.random.fold_in(key, i), x.shape)
            g = jnp.sqrt(process.diffusion_squared(t))
            return x + process.drift(t) * x * dt + g * jnp.sqrt(dt) * noise, None

        return jax.lax.scan(step, jnp.full((n,), start), jnp.arange(steps))[0]

    x = np.asarray(simulate(process, jax.random.key(0)), np.float64)
    alpha, sigma = process.level(jnp.asarray(end))
    # Four standard errors, plus the first-order bias of the integrator: f^2 dt t / 2 < 1 %.
    assert abs(x.mean() - alpha * start) < 4 * sigma / np.sqrt(n) + 0.01 * alpha * start
    assert abs(x.var() / sigma**2 - 1) < 4 * np.sqrt(2 / n) + 0.01


def test_the_processes_are_those_of_their_sources():
    """Values at t = 0.3 and 1, worked out from the equations of the papers."""
    with jax.enable_x64(True):
        for beta_min, beta_max in ((0.1, 20.0), (0.5, 8.0)):
            vp = VariancePreservingOptions(beta_min=beta_min, beta_max=beta_max).build()
            for t in (0.3, 1.0):
                s = np.linspace(0.0, t, 10_001)
                integral = np.trapezoid(beta_min + s * (beta_max - beta_min), s)
                alpha, sigma = vp.level(jnp.asarray(t))
                np.testing.assert_allclose(alpha, np.exp(-0.5 * integral), rtol=1e-9)
                np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, rtol=1e-12)
        ve = VarianceExplodingOptions(sigma_min=0.02, sigma_max=10.0).build()
        for t in (0.3, 1.0):
            wanted = 0.02 * np.sqrt(500.0 ** (2 * t) - 1)
            np.testing.assert_allclose(ve.sigma(jnp.asarray(t)), wanted, rtol=1e-12)
        cosine = CosineOptions(final_log_snr=-7.0).build()
        np.testing.assert_allclose(cosine.log_snr(jnp.asarray(1.0)), -7.0, rtol=1e-9)
        alpha, sigma = cosine.level(jnp.asarray(0.3))
        np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, rtol=1e-12)
        np.testing.assert_allclose(jnp.arctan(sigma / alpha) / 0.3, cosine.theta, rtol=1e-12)
