"""Splitting, centring, scaling and rotating frames."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fokker.dataset.frames import Scaling, centre, prepare, random_rotation, split_blocks
from fokker.errors import FokkerError
from fokker.system import Bead, System


def system(centred=True, beads=3, dim=3):
    return System(
        name="test", dim=dim, beads=tuple(Bead(name="X") for _ in range(beads)), kT=1.0,
        centred=centred,
    )  # fmt: skip


@given(n=st.integers(2, 5000), fraction=st.floats(0.0, 0.5))
def test_split_is_a_partition_in_blocks(n, fraction):
    training, validation = split_blocks(n, fraction)
    assert sorted([*training, *validation]) == list(range(n))
    if fraction > 0:
        assert abs(len(validation) - n * fraction) <= max(1, 0.5 * 20)
    # Few blocks: a random split would have about n * fraction of them.
    jumps = np.sum(np.diff(validation) > 1)
    assert jumps <= 19


def test_split_refuses_too_large_a_fraction():
    with pytest.raises(FokkerError, match="between 0 and"):
        split_blocks(100, 0.7)


def test_prepared_frames_have_unit_variance_and_scale_back():
    rng = np.random.default_rng(0)
    positions = rng.normal(3.0, 0.2, (500, 3, 3)).astype(np.float32)
    dataset = prepare(positions, system())
    assert np.allclose(dataset.training.mean(axis=1), 0.0, atol=1e-5)
    assert np.isclose(dataset.training.std(), 1.0, rtol=1e-5)
    assert len(dataset.training) + len(dataset.validation) == 500
    back = dataset.scaling.invert(dataset.training)
    assert np.allclose(back, centre(positions)[dataset.training_index], atol=1e-6)


def test_uncentred_systems_are_shifted_instead():
    positions = np.random.default_rng(0).normal([5.0, -2.0], [1.0, 2.0], (4000, 1, 2))
    dataset = prepare(positions.astype(np.float32), system(False, 1, 2))
    assert np.allclose(dataset.training.mean(axis=(0, 1)), 0.0, atol=1e-5)
    assert np.allclose(
        dataset.scaling.invert(dataset.training), positions[dataset.training_index], atol=1e-5
    )


def test_frames_without_motion_are_refused():
    with pytest.raises(FokkerError, match="coincide"):
        prepare(np.zeros((10, 3, 3), np.float32), system())


def test_scaling_is_strict():
    with pytest.raises(ValueError, match="greater than 0"):
        Scaling(scale=0.0, offset=(0.0,))


def test_random_rotations_are_proper_and_uniform():
    keys = jax.random.split(jax.random.key(0), 4000)
    turns = np.asarray(jax.vmap(random_rotation)(keys))
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(turns), 1.0, atol=1e-5)
    # Entries of a Haar rotation have mean 0 and variance 1/3; 5 standard errors of 4000 draws.
    assert np.abs(turns.mean(axis=0)).max() < 5 * np.sqrt(1 / 3 / 4000)
    assert np.abs(turns.var(axis=0) - 1 / 3).max() < 5 * np.sqrt(4 / 45 / 4000)
