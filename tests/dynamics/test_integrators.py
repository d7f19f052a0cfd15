"""Every integrator keeps the contract; each scheme has the stationary law that theory gives it."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from pydantic import TypeAdapter, ValidationError

from fokker.dynamics import (
    IntegratorOptions,
    LangevinOptions,
    OverdampedOptions,
    State,
    simulate,
)
from fokker.potential import DoubleWell, Harmonic

pytestmark = pytest.mark.statistics

ALL_OPTIONS = get_args(get_args(IntegratorOptions)[0])
KT = 2.5


def run(integrator, force, x0, seed=0, *, n_steps, stride, centred=False):
    """All frames and kinetic energies of a run, discarding none."""
    blocks = []
    simulate(
        integrator,
        force,
        x0,
        random.key(seed),
        n_steps=n_steps,
        stride=stride,
        centred=centred,
        on_block=blocks.append,
    )
    return (
        np.concatenate([b.frames for b in blocks]).astype(np.float64),
        np.concatenate([b.kinetic_energy for b in blocks]).astype(np.float64),
    )


def assert_mean(values, expected, sigmas=5.0):
    """The mean of (frames, chains, ...) equals expected within its standard error.

    Frames of a chain are correlated, chains are independent: each chain counts as one observation
    (its mean), whatever the correlation time.
    """
    per_chain = values.mean(axis=0).reshape(values.shape[1], -1).mean(axis=1)
    error = per_chain.std() / len(per_chain) ** 0.5
    assert abs(per_chain.mean() - expected) < sigmas * error, (per_chain.mean(), expected, error)
    return error


# ---------------------------------------------------------------- every integrator


@pytest.fixture(params=ALL_OPTIONS, ids=lambda options: options.model_fields["name"].default)
def options(request):
    return request.param


def test_every_integrator_is_in_the_table():
    assert {o.model_fields["name"].default for o in ALL_OPTIONS} == {"langevin", "overdamped"}


def test_options_round_trip_through_json(options):
    adapter = TypeAdapter(IntegratorOptions)
    assert adapter.validate_json(adapter.dump_json(options())) == options()


@pytest.mark.parametrize("bad", [{"dt": 0.0}, {"dt": -1.0}, {"friction": -1.0}, {"timestep": 1.0}])
def test_options_refuse_nonsense(options, bad):
    with pytest.raises(ValidationError):
        options(**bad)


def test_every_option_has_a_description(options):
    assert all(f.description for name, f in options.model_fields.items() if name != "name")


def test_init_draws_maxwell_boltzmann_velocities(options):
    masses = np.array([1.0, 16.0])
    integrator = options().build(tuple(masses), KT)
    n = 20_000
    x0 = jnp.ones((n, 2, 3))
    state = jax.vmap(integrator.init)(x0, random.split(random.key(0), n))
    np.testing.assert_array_equal(state.x, x0)
    variance = np.asarray(state.v, np.float64).var(axis=(0, 2))
    # Relative standard error of a variance from 3 n numbers is sqrt(2 / (3 n)); five of them.
    np.testing.assert_allclose(variance, KT / masses, rtol=5 * (2 / (3 * n)) ** 0.5)


def test_step_keeps_shape_and_dtype_under_jit_and_vmap(options):
    potential = Harmonic(jnp.full((3, 2), 10.0), KT)
    integrator = options().build((1.0, 2.0, 3.0), KT)
    keys = random.split(random.key(0), 4)
    states = jax.vmap(integrator.init)(jnp.ones((4, 3, 2)), keys)
    step = jax.jit(jax.vmap(lambda s, k: integrator.step(s, potential.force, k)))
    after = step(states, keys)
    assert isinstance(after, State)
    assert after.x.shape == after.v.shape == (4, 3, 2)
    assert after.x.dtype == after.v.dtype == jnp.float32
    np.testing.assert_array_equal(after.x, step(states, keys).x)
    assert not np.isclose(after.x[0], after.x[1]).any()


def test_one_force_evaluation_a_step(options):
    calls = []

    def force(x):
        calls.append(1)
        return -x

    integrator = options().build((1.0,), KT)
    state = integrator.init(jnp.ones((1, 1)), random.key(0))
    integrator.step(state, force, random.key(1))
    assert len(calls) == 1


def test_harmonic_variance_at_a_small_step(options):
    # omega^2 = k / m = 4 and 1; both frictions relax within a time unit.
    masses, stiffness = (1.0, 4.0), jnp.full((2, 1), 4.0)
    potential = Harmonic(stiffness, KT)
    integrator = options(dt=0.01, friction=2.0).build(masses, KT)
    x0 = potential.sample(random.key(5), 4000)
    frames, _ = run(integrator, potential.force, x0, n_steps=500, stride=50)
    for bead in range(2):
        assert_mean(frames[1:, :, bead] ** 2, KT / 4.0)


def test_force_free_diffusion_constant(options):
    """`<x^2> = 2 (kT / m gamma) t` for times long against 1 / gamma."""
    gamma, mass = 50.0, 2.0
    integrator = options(dt=0.01, friction=gamma).build((mass,), KT)
    x0 = jnp.zeros((4000, 1, 2))
    frames, _ = run(
        integrator, Harmonic(jnp.zeros((1, 2)), KT).force, x0, n_steps=2000, stride=1000
    )
    t = 10.0
    # Slope between two times, so that the ballistic beginning cancels; increments of independent
    # chains give its standard error.
    slope = ((frames[1] - frames[0]) ** 2).mean(axis=(1, 2))
    error = slope.std() / len(slope) ** 0.5
    exact = 2 * KT / (mass * gamma) * t
    assert abs(slope.mean() - exact) < 5 * error
    assert error < 0.03 * exact


# ---------------------------------------------------------------- BAOAB


@pytest.mark.parametrize("omega_dt", [0.1, 1.0, 1.7])
def test_baoab_is_exact_in_a_harmonic_well_at_every_stable_step(omega_dt):
    """Configurational variance and kinetic energy, up to omega dt = 1.7 (the limit is 2)."""
    mass, stiffness = 3.0, 12.0
    dt = omega_dt / (stiffness / mass) ** 0.5
    potential = Harmonic(jnp.full((1, 3), stiffness), KT)
    integrator = LangevinOptions(dt=dt, friction=1.0).build((mass,), KT)
    x0 = potential.sample(random.key(1), 4000)
    frames, kinetic = run(integrator, potential.force, x0, n_steps=1000, stride=20)
    error = assert_mean(frames[25:] ** 2, KT / stiffness)
    # Five errors resolve two percent; velocities at whole steps would be (omega dt)^2 / 4 off.
    assert 5 * error < 0.02 * KT / stiffness
    assert_mean(kinetic[25:], 1.5 * KT)


def test_baoab_equals_the_textbook_splitting():
    """B A O A B with velocities at whole steps visits the same positions."""
    potential = DoubleWell(barrier=2.0, width=1.0, kT=1.0)
    mass, dt, gamma = 1.5, 0.1, 0.7
    integrator = LangevinOptions(dt=dt, friction=gamma).build((mass,), 1.0)
    decay = np.exp(-gamma * dt)
    x, v = jnp.array([[0.9]]), jnp.array([[0.3]])
    state = State(x, v - 0.5 * dt * potential.force(x) / mass)
    for i in range(20):
        noise = random.normal(random.key(i), (1, 1))
        v = v + 0.5 * dt * potential.force(x) / mass
        x = x + 0.5 * dt * v
        v = decay * v + np.sqrt((1 - decay**2) / mass) * noise
        x = x + 0.5 * dt * v
        v = v + 0.5 * dt * potential.force(x) / mass
        state = integrator.advance(state, potential.force, noise)
        np.testing.assert_allclose(state.x, x, rtol=1e-4, atol=1e-5)


def test_baoab_without_friction_conserves_the_energy():
    """Leapfrog on a harmonic well: the energy oscillates by order (omega dt)^2, without drift."""
    potential = Harmonic(jnp.ones((1, 1)), 1.0)
    integrator = LangevinOptions(dt=0.05, friction=0.0).build((1.0,), 1.0)
    frames, kinetic = run(
        integrator, potential.force, jnp.ones((8, 1, 1)), n_steps=20_000, stride=100
    )
    energy = kinetic + 0.5 * frames[:, :, 0, 0] ** 2
    # A half-step velocity is dt/2 F/m off: the energy errs by at most omega dt / 2 of itself.
    assert (np.abs(energy / energy[0] - 1) < 0.06).all()
    half = len(energy) // 2
    np.testing.assert_allclose(energy[:half].mean(axis=0), energy[half:].mean(axis=0), rtol=0.01)


def test_centred_kinetic_energy_leaves_out_the_centre_of_mass():
    """Mean `dim (N - 1) kT / 2`, and positions that stay centred."""
    springs = Harmonic(jnp.full((4, 3), 50.0), KT)

    def force(x):
        return springs.force(x - x.mean(axis=0))

    integrator = LangevinOptions(dt=0.02, friction=1.0).build((1.0, 2.0, 5.0, 12.0), KT)
    x0 = springs.sample(random.key(2), 2000) + 100.0
    frames, kinetic = run(integrator, force, x0, n_steps=1000, stride=50, centred=True)
    assert_mean(kinetic, 3 * 3 * KT / 2)
    # Recentred at each frame: float32 rounding of positions below one.
    assert np.abs(frames.mean(axis=2)).max() < 1e-6


# ---------------------------------------------------------------- overdamped


@pytest.mark.parametrize("scheme", ["euler-maruyama", "leimkuhler-matthews"])
@pytest.mark.parametrize("a", [0.2, 1.0])
def test_overdamped_variance_in_a_harmonic_well(scheme, a):
    """With a = k mu dt: `kT / (k (1 - a/2))` for Euler-Maruyama, `kT / k` for the averaged noise.

    Euler-Maruyama: `V = (1 - a)^2 V + 2 kT mu dt`.
    """
    mass, friction, stiffness = 2.0, 4.0, 6.0
    dt = a * mass * friction / stiffness
    potential = Harmonic(jnp.full((1, 2), stiffness), KT)
    integrator = OverdampedOptions(dt=dt, friction=friction, scheme=scheme).build((mass,), KT)
    x0 = potential.sample(random.key(3), 4000)
    frames, kinetic = run(integrator, potential.force, x0, n_steps=1000, stride=20)
    bias = 1 / (1 - a / 2) if scheme == "euler-maruyama" else 1.0
    error = assert_mean(frames[10:] ** 2, KT / stiffness * bias)
    assert 5 * error < 0.05 * KT / stiffness
    assert np.isnan(kinetic).all()
