"""Frames of a biased simulation, with their weights, teach what unbiased ones would.

The density is that of a double well in one dimension and of a Gaussian in the other. Frames are
drawn from another density, the well with a bias that fills one half of its barrier.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.dataset.emphasis import MOST
from fokker.dataset.frames import prepare
from fokker.dataset.source import drawn_by_weight
from fokker.errors import FokkerError
from fokker.metrics import effective_number
from fokker.training.schedule import with_emphasis
from fokker.trajectory import Trajectory

from .test_emphasis import plane_system

pytestmark = pytest.mark.statistics

N = 40_000
GRID = np.linspace(-2.5, 2.5, 4001)


def energy(x):
    """kT; the left well is deeper."""
    return 4.0 * (x**2 - 1.0) ** 2 + 0.5 * x


def bias(x):
    """kT; it pushes frames from the left well to the barrier and to the right."""
    return 2.5 * np.exp(-((x + 1.0) ** 2) / 0.3)


def drawn_from(energy_of, rng):
    p = np.exp(-energy_of(GRID))
    x = np.interp(rng.random(N), np.cumsum(p) / p.sum(), GRID)
    return np.stack([x, rng.normal(size=N)], axis=1)[:, None].astype(np.float32)


def exact(function):
    p = np.exp(-energy(GRID))
    return float(np.sum(function(GRID) * p) / p.sum())


@pytest.fixture(scope="module")
def biased():
    frames = drawn_from(lambda x: energy(x) + bias(x), np.random.default_rng(0))
    return frames, np.exp(bias(frames[:, 0, 0].astype(np.float64)))


MOMENTS = {
    "mean": lambda x: x,
    "square": lambda x: x**2,
    "left": lambda x: (x < 0).astype(float),
    "barrier": lambda x: (np.abs(x) < 0.3).astype(float),
}


def error_of(values, weights):
    """Standard error of a weighted mean of independent frames."""
    mean = np.average(values, weights=weights)
    return np.sqrt(np.sum((weights * (values - mean)) ** 2)) / weights.sum()


@pytest.mark.parametrize("rare", [0.0, 0.5])
def test_batches_have_the_moments_of_unbiased_frames(biased, rare):
    frames, weights = biased
    dataset = prepare(frames, plane_system(), validation_fraction=0.0, weights=weights)
    pool = dataset.pool
    if rare:
        pool = with_emphasis(pool, _expert(rare), plane_system(), dataset)
        assert not np.allclose(pool.emphasis.weight, 1.0, atol=0.5)
    x = dataset.scaling.invert(dataset.training)[:, 0, 0]
    keys = jax.random.split(jax.random.key(1), 400)
    rows = np.concatenate([np.asarray(pool.pick(key, 500)[0]) for key in keys])
    counted = np.asarray(pool.weights(jnp.asarray(rows)), np.float64)
    for name, moment in MOMENTS.items():
        values = moment(x)
        drawn = counted * values[rows]
        error = np.hypot(error_of(values, weights), drawn.std() / np.sqrt(len(rows)))
        assert abs(drawn.mean() - exact(moment)) < 4 * error, name
        # without the weights it would be something else
        assert abs(values.mean() - exact(moment)) > 8 * error, name


def _expert(rare):
    from fokker.config import ExpertOptions, TrainingOptions
    from fokker.network import MLPOptions

    return ExpertOptions(network=MLPOptions(), training=TrainingOptions(rare=rare))


def test_without_emphasis_frames_count_alike_and_are_drawn_by_weight(biased):
    """What is emphasised besides can be taken back, which a simulation does."""
    frames, weights = biased
    dataset = prepare(frames, plane_system(), validation_fraction=0.0, weights=weights)
    np.testing.assert_allclose(dataset.pool.emphasis.weight, 1.0, atol=1e-3)
    share = np.diff(np.asarray(dataset.pool.emphasis.edges)) / 2**30
    np.testing.assert_allclose(share, weights / weights.sum(), atol=2 / 2**30)
    pool = dataset.pool
    emphasised = with_emphasis(pool, _expert(0.5), plane_system(), dataset)
    assert emphasised.unemphasised.emphasis is pool.emphasis
    factor = np.diff(np.asarray(emphasised.emphasis.edges)) / 2**30 / share
    assert 1.5 < factor.max() < 2 * MOST


def test_scale_offset_and_held_out_frames_are_weighted(biased):
    frames, weights = biased
    dataset = prepare(frames, plane_system(), validation_fraction=0.25, weights=weights)
    x, y = frames[:, 0].T
    mean, square = exact(lambda x: x), exact(lambda x: x**2)
    trained = weights[dataset.training_index]
    error = error_of(x[dataset.training_index], trained)
    assert abs(dataset.scaling.offset[0] - mean) < 4 * error
    variance = 0.5 * (square - mean**2 + 1.0)
    own = 0.5 * ((x - mean) ** 2 + y**2)
    spread = error_of(own[dataset.training_index], trained)
    assert abs(dataset.scaling.scale**2 - variance) < 4 * spread
    held_out = dataset.scaling.invert(dataset.validation)[:, 0, 0]
    others = np.setdiff1d(np.arange(N), dataset.training_index)
    assert len(held_out) == len(others)
    for name, moment in MOMENTS.items():
        for values, index in (
            (held_out, others),
            (dataset.scaling.invert(dataset.alike)[:, 0, 0], dataset.training_index),
        ):
            error = error_of(moment(x[index]), weights[index])
            assert abs(moment(values).mean() - exact(moment)) < 5 * error, name
    assert np.isin(held_out.round(4), x[others].round(4)).mean() > 0.99


def test_frames_without_weight_are_left_out(biased):
    frames, weights = biased
    weights = np.where(np.arange(N) < 1000, 0.0, weights)
    dataset = prepare(frames, plane_system(), validation_fraction=0.1, weights=weights)
    assert dataset.training_index.min() >= 1000
    assert len(dataset.training_index) == pytest.approx(0.9 * (N - 1000), rel=0.01)
    assert len(dataset.weights) == len(dataset.training) == len(dataset.training_index)
    assert dataset.weights.min() > 0
    alone = np.where(np.isin(np.arange(N), dataset.training_index), weights, 0.0)
    with pytest.raises(FokkerError, match=r"all 4,000 held-out frames have the weight 0"):
        prepare(frames, plane_system(), validation_fraction=0.1, weights=alone)


def test_equal_weights_change_nothing(biased):
    frames, _ = biased
    plain = prepare(frames, plane_system())
    alike = prepare(frames, plane_system(), weights=np.full(N, 3.0))
    assert alike.scaling == plain.scaling
    np.testing.assert_array_equal(alike.alike, plain.training)
    np.testing.assert_array_equal(alike.validation, plain.validation)
    assert effective_number(alike.weights) == pytest.approx(len(plain.training))


def test_pieces_of_frames_drawn_by_weight_stay_those_of_their_files(biased):
    frames, weights = biased
    whole = Trajectory(frames, plane_system(), lengths=(1000, N - 1000), weights=weights)
    found = drawn_by_weight(whole)
    assert sum(found.lengths) == len(found.positions) == N
    share = weights[:1000].sum() / weights.sum()
    assert found.lengths[0] == pytest.approx(N * share, abs=1.5)
    assert drawn_by_weight(replace(whole, weights=None)).lengths == whole.lengths
