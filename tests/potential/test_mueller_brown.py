"""Müller-Brown: literature values, exact sampler, agreement with dynamics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import integrate, optimize

from fokker.dynamics import LangevinOptions, simulate
from fokker.potential import MuellerBrown

pytestmark = pytest.mark.statistics

POTENTIAL = MuellerBrown()
KT = 23.0


energy_of = jax.jit(lambda x: POTENTIAL.energy(x[None]))
force_of = jax.jit(lambda x: POTENTIAL.force(x[None])[0])


def energy(point):
    return float(energy_of(jnp.asarray(point, jnp.float32)))


def force(point):
    return np.asarray(force_of(jnp.asarray(point, jnp.float32)), np.float64)


@pytest.mark.parametrize(
    ("position", "expected"),
    [((-0.558, 1.442), -146.70), ((0.623, 0.028), -108.17), ((-0.050, 0.467), -80.77)],
)
def test_minima(position, expected):
    result = optimize.minimize(energy, position, jac=lambda x: -force(x), method="BFGS")
    np.testing.assert_allclose(result.x, position, atol=1e-3)
    assert abs(result.fun - expected) < 0.01
    assert np.linalg.norm(force(result.x)) < 1.0


@pytest.mark.parametrize(
    ("position", "expected"), [((-0.822, 0.624), -40.66), ((0.212, 0.293), -72.25)]
)
def test_saddle_points(position, expected):
    result = optimize.root(force, position, tol=1e-3)
    np.testing.assert_allclose(result.x, position, atol=2e-3)
    assert abs(energy(result.x) - expected) < 0.01
    hessian = jax.jit(jax.hessian(energy_of))(jnp.asarray(result.x, jnp.float32))
    curvatures = np.linalg.eigvalsh(np.asarray(hessian))
    assert curvatures[0] < 0 < curvatures[1]


def test_exact_samples_have_the_boltzmann_averages():
    """Mean energy and the population of the basins, against quadrature on another grid."""
    x, y = np.linspace(-3.0, 1.5, 901), np.linspace(-1.1, 3.0, 821)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    u = np.asarray(jax.vmap(POTENTIAL.energy)(jnp.asarray(grid, jnp.float32)), np.float64)
    u = u.reshape(len(x), len(y))
    p = np.exp(-(u - u.min()) / KT)

    def average(values):
        return integrate.simpson(integrate.simpson(values * p, x=y), x=x) / integrate.simpson(
            integrate.simpson(p, x=y), x=x
        )

    n = 100_000
    samples = POTENTIAL.sample(random.key(0), n)
    u_samples = np.asarray(jax.vmap(POTENTIAL.energy)(samples), np.float64)
    assert abs(u_samples.mean() - average(u)) < 5 * u_samples.std() / n**0.5

    position = np.asarray(samples, np.float64)[:, 0]
    for value, on_grid in [
        (position[:, 0], x[:, None] + 0 * y),
        (position[:, 1], y + 0 * x[:, None]),
        (position[:, 0] ** 2, x[:, None] ** 2 + 0 * y),
        (position[:, 1] ** 2, y**2 + 0 * x[:, None]),
    ]:
        assert abs(value.mean() - average(on_grid)) < 5 * value.std() / n**0.5


def jensen_shannon(p, q):
    """Divergence of two histograms of counts, natural log."""
    p, q = p / p.sum(), q / q.sum()
    m = 0.5 * (p + q)

    def relative_entropy(a):
        return np.sum(a[a > 0] * np.log(a[a > 0] / m[a > 0]))

    return 0.5 * (relative_entropy(p) + relative_entropy(q))


def test_dynamics_keep_the_distribution_of_the_exact_samples():
    """The JS of 20,000 chains after 400 steps and 20,000 exact samples is at its floor.

    The chains are independent and only their last frames count, so the floor is that of two draws
    from the pooled histogram.
    """
    n, limits = 20_000, [[-1.8, 1.1], [-0.5, 2.0]]
    integrator = LangevinOptions(dt=5e-3, friction=1.0).build((0.5,), KT)
    final = simulate(
        integrator,
        POTENTIAL.force,
        POTENTIAL.sample(random.key(1), n),
        random.key(2),
        n_steps=400,
        stride=400,
        centred=False,
        on_block=lambda block: None,
    )
    assert (np.asarray(final.stopped_at) == -1).all()

    def histogram(frames):
        x, y = np.asarray(frames, np.float64)[:, 0].T
        return np.histogram2d(x, y, bins=20, range=limits)[0].ravel()

    simulated, exact = histogram(final.chains.x), histogram(POTENTIAL.sample(random.key(3), n))
    rng = np.random.default_rng(0)
    pooled = (simulated + exact) / (simulated + exact).sum()
    floor = [jensen_shannon(*rng.multinomial(n, pooled, size=2)) for _ in range(300)]
    threshold = np.mean(floor) + 5 * np.std(floor)
    assert jensen_shannon(simulated, exact) < threshold
    # The threshold is tight enough to see the right-hand basins half as populated again.
    wrong = pooled * np.repeat(np.where(np.arange(20) > 10, 1.5, 1.0), 20)
    assert jensen_shannon(rng.multinomial(n, wrong / wrong.sum()), exact) > threshold
