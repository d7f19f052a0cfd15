"""Order of convergence of each scheme's stationary law, without statistical error.

One step is a Markov operator on functions of (x, v). Projected on Hermite polynomials orthonormal
under a Gaussian reference measure, with the noise integrated by Gauss-Hermite quadrature, it is a
matrix M, and the stationary moments m solve m = M m with m_00 = 1. The matrix is made from the
integrator's own `advance`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss

from fokker.dynamics import LangevinOptions, OverdampedOptions, State
from fokker.potential import AbstractPotential

pytestmark = pytest.mark.statistics

N_X, N_V = 40, 16
SCALE = 1.2  # of the reference measure in x, a little wider than the double well


class SoftDoubleWell(AbstractPotential):
    """`x^2 / 2 + 3/2 exp(-x^2 / 2)`: two wells at +-0.9, and a curvature that stays bounded."""

    def energy(self, x):
        return jnp.sum(0.5 * x**2 + 1.5 * jnp.exp(-0.5 * x**2))


def hermite(x, n):
    """The first n Hermite polynomials, orthonormal under N(0, 1): shape (n, ...)."""
    h = np.empty((n, *x.shape))
    h[0], h[1] = 1.0, x
    for k in range(2, n):
        h[k] = (x * h[k - 1] - np.sqrt(k - 1) * h[k - 2]) / np.sqrt(k)
    return h


def quadrature(n):
    nodes, weights = hermegauss(n)
    return nodes, weights / weights.sum()


def stationary_moments(integrator, force):
    """Stationary `<x^2>` and `<v^2>` of one coordinate of mass 1 at kT = 1."""
    (x, w_x), (v, w_v), (noise, w_noise) = quadrature(80), quadrature(32), quadrature(12)
    grid = np.meshgrid(x * SCALE, v, noise, indexing="ij")
    points = [jnp.asarray(a.reshape(-1, 1, 1), jnp.float32) for a in grid]
    after = jax.vmap(lambda x, v, z: integrator.advance(State(x, v), force, z))(*points)
    h_x = hermite(np.asarray(after.x, np.float64).reshape(grid[0].shape) / SCALE, N_X)
    h_v = hermite(np.asarray(after.v, np.float64).reshape(grid[0].shape), N_V)
    image = np.einsum("aijn,bijn,n->abij", h_x, h_v, w_noise, optimize=True)
    operator = np.einsum(
        "abij,ci,dj->abcd", image, hermite(x, N_X) * w_x, hermite(v, N_V) * w_v, optimize=True
    ).reshape(N_X * N_V, -1)
    defect = operator - np.eye(len(operator))
    m = np.linalg.solve(defect[1:, 1:], -defect[1:, 0])
    m = np.concatenate([[1.0], m]).reshape(N_X, N_V)
    return SCALE**2 * (1 + np.sqrt(2) * m[2, 0]), 1 + np.sqrt(2) * m[0, 2]


def exact_variance(potential):
    x = np.linspace(-10, 10, 20_001)
    energy = np.asarray(jax.vmap(potential.energy)(jnp.asarray(x, jnp.float32)[:, None, None]))
    p = np.exp(-energy.astype(np.float64))
    return (x**2 * p).sum() / p.sum()


def variance_errors(options, steps, **fields):
    potential = SoftDoubleWell()
    moments = [
        stationary_moments(
            options(dt=dt, friction=1.0, **fields).build((1.0,), 1.0), potential.force
        )
        for dt in steps
    ]
    exact = exact_variance(potential)
    return np.array([x2 - exact for x2, _ in moments]), np.array([v2 - 1.0 for _, v2 in moments])


@pytest.mark.parametrize(
    ("order", "options", "fields", "steps"),
    [
        (2, LangevinOptions, {}, (0.4, 0.2, 0.1)),
        (2, OverdampedOptions, {"scheme": "leimkuhler-matthews"}, (0.1, 0.05)),
        (1, OverdampedOptions, {"scheme": "euler-maruyama"}, (0.1, 0.05, 0.025)),
    ],
    ids=["baoab", "leimkuhler-matthews", "euler-maruyama"],
)
def test_order_of_the_configurational_error(order, options, fields, steps):
    error, _ = variance_errors(options, steps, **fields)
    # Halving the step once more halves the distance to the integer order; 0.15 is what the next
    # order leaves at these steps, and the projection's own error of 1e-5 adds to it.
    measured = np.log2(error[:-1] / error[1:])
    np.testing.assert_allclose(measured, order, atol=0.15)
    assert np.abs(error[-1]) > 5e-5


def test_baoab_kinetic_energy_is_right_to_higher_order():
    """Between the half kicks the error is under a thousandth where the positions err by 2e-3."""
    _, error = variance_errors(LangevinOptions, (0.4, 0.2))
    assert np.abs(error[0]) < 1e-4
    assert np.abs(error[1]) < 1e-5
