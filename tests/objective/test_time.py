"""The objectives on the energy's change in time are least at the truth: ctsm, rne, fitted."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from fokker.model import AbstractEnergy
from fokker.objective import (
    Evaluation,
    FittedOptions,
    Noised,
    RadonNikodymOptions,
    TimeScoreOptions,
)
from fokker.types import Features, Positions, Scalar, Time
from tests.helpers.analytic import AnalyticMixture, molecule_mixture
from tests.helpers.tools import bead_features
from tests.objective.test_diffclf import PERTURBATIONS
from tests.objective.test_residual import PROCESSES, two_wells

pytestmark = pytest.mark.statistics

N = 6000
OPTIONS = {
    "ctsm": TimeScoreOptions(control_variate=False),
    "ctsm-controlled": TimeScoreOptions(),
    "fitted": FittedOptions(),
    "rne": RadonNikodymOptions(),
}
SYSTEMS = {"plane": (two_wells, False), "molecule": (molecule_mixture, True)}
EACH_SYSTEM = pytest.mark.parametrize(("make", "centred"), SYSTEMS.values(), ids=SYSTEMS)


def change(x, t):
    """Each perturbation times its own amount, which `a` holds: one program for all of them."""
    return jnp.stack([h(x, t) for h in PERTURBATIONS.values()])


class Changed(AbstractEnergy):
    """`energy + a . (the perturbations)`."""

    base: AnalyticMixture
    a: Float[Array, " changes"]

    def energy(self, x: Positions, t: Time, features: Features) -> Scalar:
        return self.base.energy(x, t) + self.a @ change(x, t)

    def energy_and_score(self, x: Positions, t: Time, features: Features):
        energy, slope = jax.value_and_grad(lambda y: self.energy(y, t, features))(x)
        return energy, -slope

    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        return self.energy_and_score(x, t, features)[1]


AMOUNTS = np.eye(len(PERTURBATIONS), dtype=np.float32)
EACH_CHANGE = pytest.mark.parametrize("h", AMOUNTS, ids=PERTURBATIONS)
TIME, SCALE, _ = AMOUNTS


@eqx.filter_jit
def losses_and_slopes(objective, base, clean, times, key, a, h, centred, antithetic=False):
    """The term of every frame at a times the change h, and its derivative by a."""

    def one(x, t, k, a):
        noise, probe = jax.random.split(k)
        features, process = bead_features(x.shape[0]), base.process
        noised = Noised.draw(
            x, t[None], process, features, noise, centred=centred, antithetic=antithetic
        )
        return objective(Evaluation(Changed(base, a * h), process, noised), probe)

    def all_frames(a):
        keys = jax.random.split(key, clean.shape[0])
        return jax.vmap(lambda x, t, k: one(x, t, k, a))(clean, times, keys)

    return jax.jvp(all_frames, (a,), (jnp.ones_like(a),))


def draw(options, make, h, centred, a, process="vp", **more):
    base, h = make(PROCESSES[process]), jnp.asarray(h)
    clean = base.sample(jax.random.key(0), N)
    times = jax.random.uniform(jax.random.key(1), (N,), minval=0.01, maxval=0.3)
    found = losses_and_slopes(
        options.build(),
        base,
        clean,
        times,
        jax.random.key(2),
        jnp.asarray(a),
        jnp.asarray(h),
        centred,
        **more,
    )
    return [np.asarray(f, np.float64) for f in found]


def mean_and_error(sample):
    return sample.mean(), sample.std() / np.sqrt(len(sample))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@EACH_CHANGE
@EACH_SYSTEM
def test_stationary_at_the_true_energies(options, h, make, centred):
    _, slopes = draw(options, make, h, centred, 0.0)
    mean, error = mean_and_error(slopes)
    assert abs(mean) < 4.0 * error


@pytest.mark.parametrize("process", sorted(set(PROCESSES) - {"vp"}))
def test_the_target_is_the_time_derivative_in_every_process(process):
    """A change of the time dependence alone is seen with its sign, whatever alpha and sigma are."""
    for options in (OPTIONS["ctsm"], OPTIONS["rne"]):
        _, slopes = draw(options, two_wells, TIME, False, 0.0, process)
        mean, error = mean_and_error(slopes)
        assert abs(mean) < 4.0 * error
        _, slopes = draw(options, two_wells, TIME, False, 1.0, process)
        mean, error = mean_and_error(slopes)
        assert mean > 4.0 * error


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@EACH_SYSTEM
def test_a_wrong_change_in_time_is_driven_back(options, make, centred):
    for a in (-1.0, 1.0):
        _, slopes = draw(options, make, TIME, centred, a)
        mean, error = mean_and_error(a * slopes)
        assert mean > 4.0 * error


@pytest.mark.parametrize("name", ["ctsm", "ctsm-controlled"])
@EACH_CHANGE
def test_any_change_raises_a_regression(name, h):
    """Same frames and noise, so the difference is known far better than either loss."""
    truth, _ = draw(OPTIONS[name], two_wells, h, False, 0.0)
    for a in (-3.0, 3.0):
        mean, error = mean_and_error(draw(OPTIONS[name], two_wells, h, False, a)[0] - truth)
        assert mean > 4.0 * error


def test_control_variate_takes_noise_out_of_the_target():
    raw, controlled = (
        draw(options, molecule_mixture, TIME, True, 0.0)[0].mean()
        for options in (OPTIONS["ctsm"], OPTIONS["ctsm-controlled"])
    )
    assert controlled < 0.8 * raw
    # Noise alone: the weight makes it of order one.
    assert 0.2 < raw < 1.5


@pytest.mark.parametrize(
    ("process", "antithetic", "centred"),
    [("vp", False, False), ("ve", False, True), ("cosine", True, True)],
)
def test_rne_vanishes_pair_by_pair_for_data_of_unit_variance(process, antithetic, centred):
    """There the Gaussian backward kernel is exact, however far apart the times are."""
    base = AnalyticMixture.isotropic(
        [1.0], np.zeros((1, 3, 2)), [1.0], PROCESSES[process], centred=centred
    )
    objective = RadonNikodymOptions(gap=0.7).build()
    with jax.enable_x64(True):
        clean = base.sample(jax.random.key(0), 64)
        times = jnp.linspace(1e-4, 0.9, 64)
        losses, _ = losses_and_slopes(
            objective, base, clean, times, jax.random.key(2), jnp.asarray(0.0),
            jnp.asarray(TIME), centred, antithetic,
        )  # fmt: skip
    np.testing.assert_allclose(losses, 0.0, atol=1e-16)


@EACH_SYSTEM
def test_rne_is_unbiased_where_its_kernel_is_not_right(make, centred):
    """The identity that the loss rests on holds at wide gaps as well, up to the linear part."""
    for h in AMOUNTS:
        _, slopes = draw(RadonNikodymOptions(gap=0.2), make, h, centred, 0.0)
        mean, error = mean_and_error(slopes)
        assert abs(mean) < 4.0 * error


class Recorded(AbstractEnergy):
    """A harmonic energy that tells the frames and times it is asked for."""

    tell: Callable = eqx.field(static=True)

    def energy(self, x: Positions, t: Time, features: Features) -> Scalar:
        jax.debug.callback(self.tell, x, t)
        return 0.5 * jnp.sum(x**2)

    def energy_and_score(self, x: Positions, t: Time, features: Features):
        return 0.5 * jnp.sum(x**2), -x

    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        return -x


@pytest.mark.parametrize("process", PROCESSES)
def test_rne_compares_a_frame_with_one_of_an_earlier_time(process):
    """The two are marginals of one path; with antithetic noise the whole path is turned."""
    process, options, t = PROCESSES[process], RadonNikodymOptions(), 0.3
    told = []

    def record(x, time):
        told.append((float(time), *np.asarray(x).ravel()))

    def one(key):
        noise, bridge = jax.random.split(key)
        noised = Noised.draw(
            jnp.zeros((1, 1)), jnp.asarray([t]), process, bead_features(1), noise, centred=False,
            antithetic=True,
        )  # fmt: skip
        return options.build()(Evaluation(Recorded(record), process, noised), bridge)

    n = 1000
    jax.block_until_ready(jax.lax.map(one, jax.random.split(jax.random.key(0), n)))
    jax.effects_barrier()
    s, x = np.array(told, np.float64).reshape(n, 4, 2).transpose(2, 0, 1)
    early = (1.0 - options.gap) * t
    np.testing.assert_allclose(s, early, rtol=1e-6)
    frames = np.sort(x, axis=1)  # x_s and x_t, each with either sign
    np.testing.assert_allclose(frames, -frames[:, ::-1], atol=1e-5)
    alpha, sigma = (
        np.array([float(scale(jnp.asarray(u))) for u in (early, t)])
        for scale in (process.alpha, process.sigma)
    )
    a = alpha[1] / alpha[0]
    # A bivariate normal; sums and products do not ask which of the two is x_s.
    found = np.stack([(frames[:, 2:] ** 2).sum(axis=1), np.prod(frames[:, 2:] ** 2, axis=1)])
    cross = a * sigma[0] ** 2
    expected = [(sigma**2).sum(), np.prod(sigma**2) + 2.0 * cross**2]
    error = found.std(axis=1) / np.sqrt(n)
    assert np.all(np.abs(found.mean(axis=1) - expected) < 4.5 * error)
