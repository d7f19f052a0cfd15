"""The loop: restart, divergence, one compilation, memory, errors."""

from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from fokker.dynamics import IntegratorOptions, LangevinOptions, simulate
from fokker.dynamics.simulate import BLOCK_BYTES, MAX_STEPS, START, block_length
from fokker.errors import FokkerError
from fokker.potential import Harmonic

KT = 2.5
MASSES = (1.0, 12.0, 16.0)


class Springs(eqx.Module):
    """Springs to the centroid, as a force with a parameter; counts how often it is traced."""

    stiffness: jnp.ndarray
    traces: list = eqx.field(static=True, default_factory=lambda: TRACES)

    def __call__(self, x):
        self.traces.append(1)
        return -self.stiffness * (x - x.mean(axis=0))


class Traces(list):
    """A list that can be a static field."""

    def __hash__(self):
        return 0

    def __eq__(self, other):
        return isinstance(other, Traces)


TRACES = Traces()


def springs():
    return Springs(jnp.asarray(40.0))


def starts(chains=6):
    return np.random.default_rng(0).normal(0, 0.2, (chains, 3, 3)).astype(np.float32)


def run(integrator, force, x0, **options):
    blocks = []
    options = {"n_steps": 60, "stride": 5, "centred": True, "frames_per_block": 3, **options}
    final = simulate(integrator, force, x0, random.key(7), on_block=blocks.append, **options)
    return blocks, final


def frames_of(blocks):
    return np.concatenate([block.frames for block in blocks])


@pytest.fixture(params=get_args(get_args(IntegratorOptions)[0]), ids=lambda o: o.__name__)
def integrator(request):
    return request.param().build(MASSES, KT)


def test_blocks_have_the_stated_shapes_and_steps(integrator):
    blocks, final = run(integrator, springs(), starts(), frames_per_block=5)
    assert [block.frames.shape for block in blocks] == [(5, 6, 3, 3), (5, 6, 3, 3), (2, 6, 3, 3)]
    assert [block.kinetic_energy.shape for block in blocks] == [(5, 6), (5, 6), (2, 6)]
    assert [block.step for block in blocks] == [25, 50, 60]
    assert all(block.frames.dtype == np.float32 for block in blocks)
    np.testing.assert_array_equal(blocks[-1].frames[-1], final.chains.x)
    assert int(final.step) == 60
    assert (np.asarray(final.stopped_at) == -1).all()


def test_a_restart_equals_an_uninterrupted_run_bit_for_bit(integrator):
    whole, _ = run(integrator, springs(), starts())
    first, stored = run(integrator, springs(), starts(), n_steps=30)
    stored = jax.tree.map(np.array, stored)  # as it comes from a file
    second, _ = run(integrator, springs(), starts(), state=stored)
    assert [block.step for block in second] == [45, 60]
    np.testing.assert_array_equal(frames_of(whole), frames_of(first + second))
    np.testing.assert_array_equal(
        np.concatenate([b.kinetic_energy for b in whole]),
        np.concatenate([b.kinetic_energy for b in first + second]),
    )


def test_the_size_of_a_block_does_not_change_the_frames(integrator):
    by_three, _ = run(integrator, springs(), starts())
    by_seven, _ = run(integrator, springs(), starts(), frames_per_block=7)
    np.testing.assert_array_equal(frames_of(by_three), frames_of(by_seven))


def test_chains_are_different_and_keys_matter(integrator):
    x0 = np.repeat(starts(1), 4, axis=0)
    blocks, _ = run(integrator, springs(), x0)
    frames = frames_of(blocks)
    assert not np.isclose(frames[-1, 0], frames[-1, 1]).any()
    other = []
    options = {"n_steps": 60, "stride": 5, "centred": True, "frames_per_block": 3}
    simulate(integrator, springs(), x0, random.key(8), on_block=other.append, **options)
    assert not np.isclose(frames[-1], frames_of(other)[-1]).all()


def test_no_step_has_the_noise_of_the_first_velocities():
    counters = np.array([0, MAX_STEPS - 1, START], np.int64).astype(np.uint32)
    assert counters[0] <= counters[1] < counters[2]


def test_the_loop_is_compiled_once(integrator):
    """Five blocks with an incomplete last one trace the force as often as one block does.

    So does a second run with other parameters, another key and another length: the parameters of
    the force are arguments, not constants.
    """
    TRACES.clear()
    run(integrator, springs(), starts(5), n_steps=15)
    one_block = len(TRACES)
    assert one_block > 0
    run(integrator, springs(), starts(5), n_steps=70)
    run(integrator, Springs(jnp.asarray(10.0)), starts(5), n_steps=25)
    assert len(TRACES) == one_block


def test_parameters_of_the_force_are_read_at_every_run():
    integrator = LangevinOptions(dt=0.01).build(MASSES, KT)
    stiff, _ = run(integrator, Springs(jnp.asarray(1000.0)), starts(), n_steps=500)
    soft, _ = run(integrator, Springs(jnp.asarray(1.0)), starts(), n_steps=500)
    assert frames_of(soft).std() > 3 * frames_of(stiff).std()


def force_that_explodes_beyond(limit):
    return lambda x: jnp.where(jnp.abs(x).max() > limit, jnp.nan, -x)


def test_a_diverged_chain_stops_alone(integrator):
    x0 = starts()
    x0[2] += np.float32([[9.0], [-9.0], [0.0]])
    blocks, final = run(integrator, force_that_explodes_beyond(5.0), x0)
    frames = frames_of(blocks)
    assert np.isnan(frames[:, 2]).all()
    np.testing.assert_array_equal(np.asarray(final.stopped_at), [-1, -1, 5, -1, -1, -1])
    # It is kept as it was at its last good frame, here the start (centred).
    np.testing.assert_allclose(final.chains.x[2], x0[2] - x0[2].mean(axis=0), atol=1e-6)
    assert np.isnan(np.concatenate([b.kinetic_energy for b in blocks])[:, 2]).all()

    healthy = x0.copy()
    healthy[2] = 0.0
    expected, _ = run(integrator, force_that_explodes_beyond(5.0), healthy)
    others = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(frames[:, others], frames_of(expected)[:, others])


def test_a_broken_chain_stops_at_the_frame_it_breaks():
    """A chain under a constant force leaves the allowed range at a known step, others stay."""
    integrator = LangevinOptions(dt=1.0, friction=0.0).build((1.0,), 1e-12)
    x0 = np.float32([[[0.0]], [[1.0]]])
    blocks, final = run(
        integrator,
        lambda x: jnp.where(x > 0.5, 0.01, 0.0),
        x0,
        centred=False,
        is_broken=lambda x: x.max() > 2.0,
    )
    frames = frames_of(blocks)[:, :, 0, 0]
    # Leapfrog from rest, kicked before drifting: x_n = 1 + a n (n + 1) / 2 with a = 0.01, beyond 2
    # from step 14, so found at the frame of step 15; the frame of step 10 is good.
    np.testing.assert_allclose(frames[:2, 1], [1.15, 1.55], atol=1e-3)
    assert np.isnan(frames[2:, 1]).all()
    assert np.isfinite(frames[:, 0]).all()
    assert list(np.asarray(final.stopped_at)) == [-1, 15]
    np.testing.assert_allclose(final.chains.x[1], 1.55, atol=1e-3)


def test_a_chain_that_starts_broken_stops_at_step_zero():
    integrator = LangevinOptions().build(MASSES, KT)
    x0 = starts()
    x0[4, 0, 0] = np.nan
    blocks, final = run(integrator, springs(), x0)
    assert list(np.asarray(final.stopped_at)) == [-1, -1, -1, -1, 0, -1]
    assert np.isnan(frames_of(blocks)[:, 4]).all()


def test_a_restart_remembers_what_stopped():
    integrator = LangevinOptions().build(MASSES, KT)
    x0 = starts()
    x0[2] += np.float32([[9.0], [-9.0], [0.0]])
    force = force_that_explodes_beyond(5.0)
    _, stored = run(integrator, force, x0, n_steps=30)
    blocks, final = run(integrator, force, x0, state=stored)
    assert int(final.stopped_at[2]) == 5
    assert np.isnan(frames_of(blocks)[:, 2]).all()


def test_a_run_whose_chains_have_all_stopped_ends_with_nan_frames():
    integrator = LangevinOptions().build(MASSES, KT)
    blocks, final = run(integrator, lambda x: x * jnp.nan, starts())
    assert frames_of(blocks).shape == (12, 6, 3, 3)
    assert np.isnan(frames_of(blocks)).all()
    assert int(final.step) == 60
    assert (np.asarray(final.stopped_at) == 5).all()


def test_blocks_stay_within_bounded_memory():
    frame = 1000 * 5 * 3 * 4
    assert (
        block_length(10**6, frame) * frame <= BLOCK_BYTES < (block_length(10**6, frame) + 1) * frame
    )
    # Short runs report at least twenty times, a frame of any size is stored.
    assert block_length(200, frame) == 10
    assert block_length(5, frame) == 1
    assert block_length(10, 2 * BLOCK_BYTES) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": 0}, "takes 1 to 2147483647 steps .*n_steps=0"),
        ({"n_steps": 2**31}, "n_steps=2147483648"),
        ({"stride": 0}, "stride=0"),
        ({"n_steps": 61}, "use 60 steps"),
        ({"n_steps": 3}, "use 5 steps"),
        ({"frames_per_block": 0}, "frames_per_block"),
    ],
)
def test_bad_lengths_are_told(options, message):
    integrator = LangevinOptions().build(MASSES, KT)
    with pytest.raises(FokkerError, match=message):
        run(integrator, springs(), starts(), **options)


def test_a_state_of_another_run_is_refused():
    integrator = LangevinOptions().build(MASSES, KT)
    _, stored = run(integrator, springs(), starts(), n_steps=30)
    with pytest.raises(FokkerError, match="number of chains"):
        run(integrator, springs(), starts(4), state=stored)
    with pytest.raises(FokkerError, match="stride=4"):
        run(integrator, springs(), starts(), state=stored, stride=4)


def test_frames_are_not_centred_unless_asked():
    integrator = LangevinOptions(dt=0.001).build((1.0,), KT)
    potential = Harmonic(jnp.zeros((1, 2)), KT)
    blocks, _ = run(integrator, potential.force, np.full((3, 1, 2), 50, np.float32), centred=False)
    assert np.abs(frames_of(blocks) - 50).max() < 1.0
