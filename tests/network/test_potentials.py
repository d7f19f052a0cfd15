"""Learned potentials of internal coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.network import InvariantOptions
from fokker.network.base import level_weights
from fokker.network.coordinates import Coordinates
from fokker.network.potentials import HIGHEST, N_LEVELS, Potentials
from fokker.types import NoiseLevel
from tests.helpers.tools import FEATURES, molecule_inputs

FINEST = 0.01


def level(rho):
    alpha = 1.0 / np.sqrt(1.0 + rho**2)
    return NoiseLevel(jnp.asarray(alpha), jnp.asarray(rho * alpha))


def of_distance(r, at):
    one = jnp.ones_like(jnp.asarray(r, float))
    return Coordinates(jnp.asarray(r), at.alpha * one, 2.0 * at.sigma**2 * one)


def gaussians(potentials, r):
    """What each Gaussian adds at no noise, shape (values, gaussians)."""
    flat = level(1e-6)

    def energy(height, value):
        with_height = Potentials(
            potentials.centre,
            potentials.width,
            potentials.finest,
            jnp.broadcast_to(height[:, None], potentials.height.shape),
        )
        return with_height(of_distance(value[None], flat), flat)

    zero = jnp.zeros(len(potentials.centre))
    return jax.vmap(jax.grad(energy), in_axes=(None, 0))(zero, jnp.asarray(r))


def contact_that_breaks(n=4000):
    """A distance that is 0.6 +- 0.05 nm half of the time, and 2.5 +- 0.6 nm the other half."""
    random = np.random.default_rng(0)
    near = random.normal(0.6, 0.05, n // 2)
    return np.concatenate([near, random.normal(2.5, 0.6, n - n // 2)])


def test_eight_gaussians_are_a_well_a_hundredth_as_wide_as_the_distance_goes():
    """Least squares of the free energy where frames are: the well to a few hundredths of kT."""
    values = contact_that_breaks()
    potentials = Potentials.on(values[:, None], 8, FINEST)
    r = np.linspace(0.48, 0.72, 40)  # within 2.4 standard deviations
    true = 0.5 * ((r - 0.6) / 0.05) ** 2
    of = np.asarray(gaussians(potentials, r.astype(np.float32)))
    columns = np.column_stack([of, np.ones(len(r))])
    heights = np.linalg.lstsq(columns, true, rcond=None)[0]
    assert np.abs(columns @ heights - true).max() < 0.1


@pytest.mark.parametrize("n", [2, 8])
def test_equal_values_and_short_potentials_stay_finite(n):
    potentials = Potentials.on(np.full((50, 1), 0.3), n, FINEST)
    found = gaussians(potentials, np.float32([0.0, 0.3, 10.0]))
    assert np.isfinite(np.asarray(found)).all()
    assert np.all(np.asarray(found)[1] > 0.99)


def test_noise_widens_as_it_widens_the_density():
    """Of one Gaussian: variance d^2 + 2 rho^2 in units of the clean data, whatever the schedule."""
    potentials = Potentials.on(np.linspace(0.0, 1.0, 100)[:, None], 2, FINEST)
    one = Potentials(
        potentials.centre, potentials.width, potentials.finest, potentials.height.at[:, 0].set(1.0)
    )
    at = level(0.5)
    m, d = float(potentials.centre[0, 0]), float(potentials.width[0, 0])
    r = np.float32(m + 0.8)
    expected = np.exp(-0.5 * 0.8**2 / (d**2 + 2 * 0.5**2))
    assert float(one(of_distance(at.alpha * r[None], at), at)) == pytest.approx(expected, rel=1e-5)


def test_levels_go_over_smoothly_and_level_off():
    def weights(rho):
        return level_weights(level(rho), FINEST, HIGHEST, N_LEVELS)

    shares = np.stack([weights(rho) for rho in np.geomspace(1e-5, 1e3, 200)])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-5)
    assert np.abs(np.diff(shares, axis=0)).max() < 0.2
    assert shares[0].argmax() == 0
    assert shares[-1].argmax() == len(shares[0]) - 1
    # far below the finest level and far above the highest nothing changes
    np.testing.assert_allclose(shares[0], weights(1e-4), rtol=1e-3)
    np.testing.assert_allclose(shares[-1][-1], 1.0, atol=1e-3)
    assert weights(HIGHEST).argmax() == len(shares[0]) - 1


def test_potentials_are_nothing_before_training():
    x = jnp.asarray(molecule_inputs().frames[0])
    with_them, without = (
        InvariantOptions(width=8, depth=1, potentials=n).build(
            molecule_inputs(), "energy", jax.random.key(0)
        )
        for n in (6, 0)
    )
    at = level(0.1)
    assert without.potentials is None
    np.testing.assert_array_equal(with_them(x, at, FEATURES), without(x, at, FEATURES))


def test_one_gaussian_is_refused():
    with pytest.raises(ValueError, match="2 and more"):
        InvariantOptions(potentials=1)


def test_a_score_head_has_none():
    options = InvariantOptions(width=8, depth=1, potentials=6)
    assert options.build(molecule_inputs(), "score", jax.random.key(0)).potentials is None


def test_fitted_springs_do_not_change_in_time_where_there_is_no_noise():
    """Their derivative in time is part of Fokker-Planck residuals."""
    options = InvariantOptions(width=8, depth=1, springs="fitted", potentials=4)
    springs = options.build(molecule_inputs(), "energy", jax.random.key(0)).springs
    slope = jax.jacfwd(lambda rho: springs(NoiseLevel(jnp.ones(()), rho)))
    assert float(jnp.abs(slope(jnp.asarray(1e-6))).max()) < 0.1
