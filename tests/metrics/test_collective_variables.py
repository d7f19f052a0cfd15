"""Collective variables: closed forms, symmetries, failures, blocks."""

import math

import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.metrics import angle, compute, compute_all, dihedral, distance
from fokker.system import Bead, CollectiveVariable, System
from fokker.variables import geometry

QUAD = (0, 1, 2, 3)


@pytest.fixture
def frames():
    return np.random.default_rng(0).normal(size=(500, 4, 3)).astype(np.float32)


def rotation(seed):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def circular_difference(a, b):
    return np.abs(np.angle(np.exp(1j * (a - b))))


@pytest.mark.parametrize("phi", [-3.0, -math.pi / 3, 0.0, 0.5, math.pi / 2, 3.0])
def test_dihedral_of_a_constructed_chain(phi):
    # Looking along z from bead 1 to bead 2, a clockwise turn is a turn from x towards y.
    frame = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1], [math.cos(phi), math.sin(phi), 1]])
    np.testing.assert_allclose(dihedral(frame[None], QUAD), [phi], atol=1e-14)


def test_dihedral_is_invariant_under_rotation_and_translation(frames):
    moved = frames.astype(np.float64) @ rotation(1).T + np.array([3.0, -2.0, 1.0])
    assert circular_difference(dihedral(moved, QUAD), dihedral(frames, QUAD)).max() < 1e-9


def test_dihedral_changes_sign_under_reflection(frames):
    mirrored = frames * np.array([1, 1, -1], np.float32)
    np.testing.assert_allclose(dihedral(mirrored, QUAD), -dihedral(frames, QUAD), rtol=1e-12)


@pytest.mark.parametrize("theta", [0.0, 1e-6, 0.3, math.pi / 2, 3.0, math.pi - 1e-6, math.pi])
def test_angle_keeps_its_digits_everywhere(theta):
    frame = np.array([[2.0, 0, 0], [0, 0, 0], [3 * math.cos(theta), 3 * math.sin(theta), 0]])
    np.testing.assert_allclose(angle(frame[None], (0, 1, 2)), [theta], rtol=1e-9, atol=1e-15)


def test_distance_and_coordinate():
    frames = np.array([[[0.0, 0.0], [3.0, 4.0]], [[1.0, 2.0], [1.0, 2.0]]])
    np.testing.assert_array_equal(distance(frames, (0, 1)), [5.0, 0.0])
    y = CollectiveVariable(name="y", kind="coordinate", indices=(1,), limits=(0, 1))
    np.testing.assert_array_equal(compute(y, frames), [0.0, 2.0])


def test_compute_all_follows_the_system(frames):
    system = System(
        name="four",
        dim=3,
        beads=(Bead(name="A"),) * 4,
        kT=1.0,
        collective_variables=(
            CollectiveVariable(name="phi", kind="dihedral", indices=QUAD, limits=(-4, 4)),
            CollectiveVariable(name="r", kind="distance", indices=(0, 3), limits=(0, 4)),
        ),
    )
    values = compute_all(system, frames)
    assert list(values) == ["phi", "r"]
    np.testing.assert_array_equal(values["phi"], dihedral(frames, QUAD))
    np.testing.assert_array_equal(values["r"], distance(frames, (0, 3)))


def test_blocks_change_nothing(frames, monkeypatch):
    whole = dihedral(frames, QUAD)
    monkeypatch.setattr(geometry, "FRAMES_PER_BLOCK", 7)
    np.testing.assert_array_equal(dihedral(frames, QUAD), whole)
    assert dihedral(frames[:0], QUAD).shape == (0,)


def test_diverged_frames_give_non_finite_values_without_warnings(frames):
    frames[3, 1, 0] = np.nan
    frames[4, 2] = np.inf
    frames[5] *= 1e30
    finite = np.isfinite(dihedral(frames, QUAD))
    assert not finite[3:5].any()
    assert finite.sum() == 498


def test_a_dihedral_of_flat_frames_is_a_user_error():
    phi = CollectiveVariable(name="phi", kind="dihedral", indices=QUAD, limits=(-4, 4))
    with pytest.raises(FokkerError, match="'phi' is a dihedral but the frames have 2 dim"):
        compute(phi, np.zeros((1, 4, 2)))
