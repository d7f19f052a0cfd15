"""Energies of neighbourhoods: which beads, which symmetries, and how they are trained."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.network import InvariantOptions, NetworkInputs, PerPlace
from fokker.network.neighbourhoods import Neighbourhoods, _places
from fokker.training.expert import _matrices
from fokker.types import NoiseLevel
from tests.helpers.tools import bead_features, is_weight, random_rotation, randomise

LEVEL = NoiseLevel(jnp.asarray(0.9), jnp.asarray(0.3))
OPTIONS = InvariantOptions(width=8, depth=1, tetrads=40, neighbourhoods=6)


def chain(n: int) -> NetworkInputs:
    random = np.random.default_rng(0)
    frames = np.cumsum(random.normal(size=(50, n, 3)), axis=1)
    frames = (frames - frames.mean(axis=1, keepdims=True)).astype(np.float32)
    return NetworkInputs(frames, tuple((i, i + 1) for i in range(n - 1)), 3 * (n - 1))


def test_places_are_each_bead_with_those_nearest_to_it():
    # beads one after another, a little further apart each time
    along = np.cumsum(1.0 + 0.01 * np.arange(14))
    places = _places(np.abs(along[:, None] - along))
    assert places[0] == tuple(range(8))
    assert places[5] == (2, 3, 4, 5, 6, 7, 8, 9) or places[5] == (1, 2, 3, 4, 5, 6, 7, 8)
    assert len(places) == 14
    # a hairpin: what lies opposite is near, whatever lies between
    folded = np.stack([np.r_[np.arange(7), np.arange(7)[::-1]], np.repeat([0.0, 0.5], 7)], axis=1)
    apart = np.linalg.norm(folded[:, None] - folded, axis=-1)
    assert {0, 1, 2, 3, 10, 11, 12, 13} in [set(place) for place in _places(apart)]


@pytest.mark.parametrize("beads", [5, 12])
def test_a_small_molecule_has_none(beads: int):
    network = OPTIONS.build(chain(beads), "energy", jax.random.key(0))
    assert network.neighbourhoods is None


def test_a_molecule_without_bonds_has_them_too():
    inputs = chain(14)._replace(bonds=())
    assert OPTIONS.build(inputs, "energy", jax.random.key(0)).neighbourhoods is not None


def test_shapes_do_not_depend_on_the_frames():
    inputs = chain(14)
    other = np.random.default_rng(1).normal(size=(4, 14, 3)).astype(np.float32)
    shapes = [
        [leaf.shape for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_array_like))]
        for network in (
            OPTIONS.build(each, "energy", jax.random.key(0))
            for each in (inputs, inputs._replace(frames=other))
        )
    ]
    assert shapes[0] == shapes[1]


def test_before_training_they_add_nothing_and_leave_the_rest_as_it_is():
    inputs, key, features = chain(14), jax.random.key(0), bead_features(14)
    network = OPTIONS.build(inputs, "energy", key)
    without = OPTIONS.model_copy(update={"neighbourhoods": 0}).build(inputs, "energy", key)
    for x in jnp.asarray(inputs.frames[:3]):
        assert network(x, LEVEL, features) == without(x, LEVEL, features)


def test_each_place_sees_its_own_beads_alone():
    inputs, features = chain(14), bead_features(14)
    network = randomise(OPTIONS.build(inputs, "energy", jax.random.key(0)))
    places = network.neighbourhoods
    assert isinstance(places, Neighbourhoods)
    touches = network.geometry.touches
    sets = _places(network.geometry.mean_distances)
    for row, seen, place in zip(places.coordinates, places.seen, sets, strict=True):
        inside = touches[row[seen > 0]]
        assert set(np.flatnonzero(inside.any(axis=0)).tolist()) == set(place)
        assert len(set(row[seen > 0].tolist())) == int(seen.sum())
        n = len(place)
        assert np.sum(inside.sum(axis=1) == 2) == n * (n - 1) // 2
    # what the last bead does changes the terms of its neighbourhoods, not those of the others
    moved = np.array(inputs.frames[0])
    moved[-1] += 0.3

    def terms(x: np.ndarray) -> jax.Array:
        def of_place(i: int) -> jax.Array:
            last = places.last * (jnp.arange(len(sets)) == i)[:, None, None]
            own = eqx.tree_at(lambda p: p.last, places, last)
            z = network.geometry.standardised(
                network.geometry(_differences(x), jnp.asarray(x), LEVEL)
            )
            return own(z, network._known(LEVEL, features))

        return jnp.stack([of_place(i) for i in range(len(sets))])

    change = np.abs(np.asarray(terms(moved) - terms(inputs.frames[0])))
    has_last = np.array([13 in place for place in sets])
    assert np.all(change[~has_last] == 0.0)
    assert np.all(change[has_last] > 1e-6)


def _differences(x: np.ndarray):
    from fokker.network.coordinates import differences

    return [differences(jnp.asarray(along)) for along in x.T]


def test_the_energy_turns_with_the_molecule_and_tells_its_mirror_image():
    inputs, features = chain(14), bead_features(14)
    network = randomise(OPTIONS.build(inputs, "energy", jax.random.key(0)))
    x = jnp.asarray(inputs.frames[0])
    energy = float(network(x, LEVEL, features))
    turned = x @ jnp.asarray(random_rotation(), jnp.float32).T + 0.7
    assert float(network(turned, LEVEL, features)) == pytest.approx(energy, abs=1e-3)
    mirrored = x * jnp.array([1.0, 1.0, -1.0])
    assert abs(float(network(mirrored, LEVEL, features)) - energy) > 1e-3


def test_muon_moves_their_matrices_one_by_one_and_no_other_array_of_three_axes():
    options = OPTIONS.model_copy(update={"potentials": 3})
    network = options.build(chain(14), "energy", jax.random.key(0))
    parameters, _ = eqx.partition(network, is_weight)
    chosen = _matrices(parameters)
    places = chosen.neighbourhoods
    assert (places.first.weight.reduction_axis, places.first.weight.output_axis) == (1, 2)
    assert places.first.bias is None
    assert places.last is None
    assert chosen.potentials.height is None
    assert chosen.trunk.first.weight.reduction_axis == 0
    assert chosen.trunk.first.bias is None
    assert isinstance(network.neighbourhoods.first, PerPlace)
