"""Failed frames, limits and chirality."""

import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.metrics import GeometryLimits, chiral_centres, chirality, failed_frames, finite_frames
from fokker.metrics.geometry import labels
from fokker.system import Bead, System

DIMER = System(name="dimer", dim=3, kT=1.0, beads=(Bead(name="A"), Bead(name="B")), bonds=((0, 1),))
TOY = System(name="toy", dim=2, kT=1.0, beads=(Bead(name="X"),), centred=False)
STAR = System(
    name="star",
    dim=3,
    kT=1.0,
    beads=tuple(Bead(name=name) for name in ("CA", "N", "CB", "C")),
    bonds=((0, 1), (0, 2), (0, 3)),
)


def dimers(lengths):
    frames = np.zeros((len(lengths), 2, 3), np.float32)
    frames[:, 1, 2] = lengths
    return frames


def stars(height, n=400, noise=0.02):
    """A centre at the given height above the triangle of its three neighbours."""
    angles = 2 * np.pi / 3 * np.arange(3)
    ring = np.stack([np.cos(angles), np.sin(angles), np.zeros(3)], axis=1)
    frame = np.concatenate([[[0, 0, height]], ring])
    return frame + noise * np.random.default_rng(0).normal(size=(n, 4, 3))


def test_bond_limits_are_the_range_enlarged_by_itself():
    limits = GeometryLimits.from_frames(DIMER, dimers([1.0, 1.25, 1.5]))
    assert limits == GeometryLimits(bonds=((0.5, 2.0),))
    frames = dimers([0.4, 0.5, 1.3, 2.0, 2.1, np.nan, np.inf, 0.0])
    expected = [True, False, False, False, True, True, True, True]
    np.testing.assert_array_equal(failed_frames(DIMER, frames, limits), expected)
    np.testing.assert_array_equal(finite_frames(frames), [True] * 5 + [False] * 2 + [True])


def test_coinciding_beads_fail_even_if_a_bond_may_be_short():
    limits = GeometryLimits.from_frames(DIMER, dimers([0.5, 1.5]))
    assert limits.bonds[0][0] < 0
    np.testing.assert_array_equal(failed_frames(DIMER, dimers([0.0, 0.1]), limits), [True, False])


def test_without_bonds_the_box_counts():
    training = np.array([[[0.0, -1.0]], [[1.0, 3.0]]])
    limits = GeometryLimits.from_frames(TOY, training)
    assert limits == GeometryLimits(box=((-1.0, 2.0), (-5.0, 7.0)))
    frames = np.array([[[2.0, 7.0]], [[2.1, 0.0]], [[0.0, -5.1]], [[0.0, np.nan]], [[0.0, 0.0]]])
    expected = [False, True, True, True, False]
    np.testing.assert_array_equal(failed_frames(TOY, frames, limits), expected)


def test_limits_survive_json_and_ignore_broken_training_frames():
    limits = GeometryLimits.from_frames(DIMER, dimers([1.0, np.nan, 2.0]))
    assert GeometryLimits.model_validate_json(limits.model_dump_json()) == limits
    assert GeometryLimits.model_validate(limits.model_dump(mode="json")) == limits
    assert limits.bonds == ((0.0, 3.0),)
    with pytest.raises(FokkerError, match="none of the 2 training frames of 'dimer' is finite"):
        GeometryLimits.from_frames(DIMER, dimers([np.nan, np.inf]))


def test_chirality_of_mirrored_frames_is_zero():
    training = stars(0.4)
    mirrored = training * np.array([1, 1, -1])
    assert chirality(STAR, training, training) == {"MOL1-CA": 1.0}
    assert chirality(STAR, training, mirrored) == {"MOL1-CA": 0.0}
    assert chirality(STAR, mirrored, mirrored) == {"MOL1-CA": 1.0}
    half = np.concatenate([training, mirrored])
    assert chirality(STAR, training, half) == {"MOL1-CA": 0.5}
    half[len(training) :] = np.nan
    assert chirality(STAR, training, half) == {"MOL1-CA": 0.5}


def test_planar_centres_and_mixed_hands_do_not_qualify():
    # A small height keeps one hand but is planar in effect: 0.05 gives |triple product| 0.13.
    assert chiral_centres(STAR, stars(0.05, noise=0.001)) == {}
    mixed = np.concatenate([stars(0.4, n=95), stars(-0.4, n=5)])
    assert chiral_centres(STAR, mixed) == {}
    assert chiral_centres(TOY, np.zeros((3, 1, 2))) == {}


def test_labels_stay_unique():
    assert labels(STAR, [(0, 1)]) == ("MOL1-CA MOL1-N",)
    same = System(name="s", dim=3, kT=1.0, beads=(Bead(name="X"),) * 3, bonds=((0, 1), (1, 2)))
    assert labels(same, same.bonds) == ("MOL1-X MOL1-X (0-1)", "MOL1-X MOL1-X (1-2)")
