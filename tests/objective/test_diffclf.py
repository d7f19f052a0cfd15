"""Diffusive classification is least at the true energies, normalisation included."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.model import AbstractEnergy
from fokker.objective import ClassificationOptions, Evaluation, Noised
from fokker.types import Features, Positions, Scalar, Time
from tests.helpers.analytic import AnalyticMixture, molecule_gaussian
from tests.helpers.tools import bead_features
from tests.objective.test_residual import PROCESSES, two_wells

N = 20_000
OBJECTIVE = ClassificationOptions().build()


class Perturbed(AbstractEnergy):
    """`energy + a h(x, t)`."""

    base: AnalyticMixture
    a: Scalar
    h: Callable = eqx.field(static=True)

    def energy(self, x: Positions, t: Time, features: Features) -> Scalar:
        return self.base.energy(x, t) + self.a * self.h(x, t)

    def energy_and_score(self, x: Positions, t: Time, features: Features):
        energy, slope = jax.value_and_grad(lambda y: self.energy(y, t, features))(x)
        return energy, -slope

    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        return self.energy_and_score(x, t, features)[1]


PERTURBATIONS = {
    "time": lambda x, t: jnp.log(t),
    "scale": lambda x, t: t * jnp.sum(x**2),
    "tilt": lambda x, t: jnp.exp(-t) * x[0, 0],
}
EACH = pytest.mark.parametrize("h", PERTURBATIONS.values(), ids=PERTURBATIONS)
SYSTEMS = {"plane": (two_wells, False), "molecule": (molecule_gaussian, True)}
EACH_SYSTEM = pytest.mark.parametrize(("make", "centred"), SYSTEMS.values(), ids=SYSTEMS)


@eqx.filter_jit
def losses_and_slopes(base, clean, times, key, a, h, centred):
    """The term of every frame at a, and its derivative by a."""

    def one(x, s, k, a):
        features, process = bead_features(x.shape[0]), base.process
        noised = Noised.draw(x, s, process, features, k, centred=centred)
        return OBJECTIVE(Evaluation(Perturbed(base, a, h), process, noised), key)

    def all_frames(a):
        keys = jax.random.split(key, clean.shape[0])
        return jax.vmap(lambda x, s, k: one(x, s, k, a))(clean, times, keys)

    return jax.jvp(all_frames, (a,), (jnp.ones_like(a),))


def draw(make, h, centred, a):
    base = make(PROCESSES["vp"])
    clean = base.sample(jax.random.key(0), N)
    times = jax.random.uniform(jax.random.key(1), (N, 2), minval=0.01, maxval=0.3)
    found = losses_and_slopes(
        base, clean, times, jax.random.key(2), jnp.asarray(a, jnp.float32), h, centred
    )
    return [np.asarray(f, np.float64) for f in found]


def mean_and_error(sample):
    return sample.mean(), sample.std() / np.sqrt(N)


@EACH
@EACH_SYSTEM
def test_stationary_at_the_true_energies(h, make, centred):
    """The derivative is zero in the mean, and known to 1 part in 10 of its size frame by frame."""
    _, slopes = draw(make, h, centred, 0.0)
    mean, error = mean_and_error(slopes)
    assert abs(mean) < 4.0 * error
    assert error < 0.1 * np.abs(slopes).mean()


@EACH
@EACH_SYSTEM
def test_any_change_raises_the_loss(h, make, centred):
    """Same frames and noise, so the difference is known far better than either loss."""
    truth, _ = draw(make, h, centred, 0.0)
    for a in (-1.0, 1.0):
        mean, error = mean_and_error(draw(make, h, centred, a)[0] - truth)
        assert mean > 4.0 * error


def test_loss_is_log_four_where_times_cannot_be_told_apart():
    base = two_wells(PROCESSES["vp"])
    clean = base.sample(jax.random.key(0), 4)
    times = jnp.full((4, 2), 0.1)
    losses, _ = losses_and_slopes(
        base, clean, times, jax.random.key(2), jnp.asarray(0.0), PERTURBATIONS["time"], False
    )
    np.testing.assert_allclose(losses, np.log(4.0), rtol=1e-5)
