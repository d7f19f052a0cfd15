"""What every network must satisfy, with either head."""

from math import comb
from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.config import TrainingOptions
from fokker.model import EnergyModel, FieldModel, ScoreModel
from fokker.network import (
    DenseOptions,
    GraphOptions,
    GraphTransformerOptions,
    InvariantOptions,
    MLPOptions,
    NetworkInputs,
    NetworkOptions,
    noise_embedding,
)
from fokker.process import CosineOptions, VarianceExplodingOptions, VariancePreservingOptions
from fokker.training.expert import Stage
from fokker.types import NoiseLevel
from tests.helpers.tools import (
    BEADS,
    FEATURES,
    is_weight,
    molecule_inputs,
    random_rotation,
    randomise,
)

NETWORKS = {
    "mlp": MLPOptions(width=16, depth=2),
    "invariant": InvariantOptions(width=16, depth=2),
    "invariant, potentials": InvariantOptions(width=16, depth=2, springs="fitted", potentials=4),
    "graph": GraphOptions(width=16, message=8, vectors=4, layers=2),
    "graph-transformer": GraphTransformerOptions(width=16, layers=1, heads=2, head_width=8),
    "graph-transformer, time": GraphTransformerOptions(
        width=24, layers=1, heads=2, head_width=8, embedding="time"
    ),
    "dense": DenseOptions(widths=(16, 16)),
}
BLANK = ("dense", "graph-transformer, time")
"""Networks that know nothing of the energy beforehand, as the paper's."""
PROCESSES = [VariancePreservingOptions(), VarianceExplodingOptions(), CosineOptions()]
EACH = pytest.mark.parametrize("name", NETWORKS)
INVARIANT = pytest.mark.parametrize(
    "name", [n for n, o in NETWORKS.items() if o.rotation_invariant]
)
WITH_BASE = pytest.mark.parametrize("name", [n for n in NETWORKS if n not in BLANK])
HEADS = pytest.mark.parametrize("head", ["energy", "score", "field"])
KEY = jax.random.key(0)
LEVEL = NoiseLevel(jnp.asarray(0.9), jnp.asarray(0.4))


def build(name, head):
    network = NETWORKS[name].build(molecule_inputs(), head, jax.random.key(0))
    return randomise(network)


def frames(n=6) -> jnp.ndarray:
    return jnp.asarray(molecule_inputs().frames[:n])


@eqx.filter_jit
def evaluate(network, x, level=LEVEL):
    return jax.vmap(lambda y: network(y, level, FEATURES))(x)


def relative(a, b) -> float:
    return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))


def test_every_network_is_tested():
    known = set(get_args(get_args(NetworkOptions)[0]))
    assert known == {type(options) for options in NETWORKS.values()}


@EACH
@HEADS
def test_shape_follows_the_head(name, head):
    out = evaluate(build(name, head), frames())
    assert out.shape == ((6,) if head == "energy" else (6, BEADS, 3))
    assert float(jnp.std(out)) > 0


@EACH
@HEADS
def test_finite_at_every_time_in_float32(name, head):
    """Values and derivatives by positions, from t = 1e-5 to 1 of every process."""
    network = build(name, head)
    times = jnp.geomspace(1e-5, 1.0, 12)
    noise = jax.random.normal(jax.random.key(2), (12, BEADS, 3))
    noise = noise - noise.mean(axis=1, keepdims=True)

    @eqx.filter_jit
    def outputs(network, levels):
        x = levels.alpha[:, None, None] * frames(12) + levels.sigma[:, None, None] * noise
        value = jax.vmap(lambda y, level: network(y, level, FEATURES))(x, levels)
        slope = jax.vmap(jax.jacrev(lambda y, level: network(y, level, FEATURES)))(x, levels)
        return value, slope

    for options in PROCESSES:
        value, slope = outputs(network, jax.vmap(options.build().level)(times))
        assert value.dtype == jnp.float32
        assert np.isfinite(value).all(), options
        assert np.isfinite(slope).all(), options


@EACH
@HEADS
def test_training_gradient_reaches_every_weight(name, head):
    network, x = build(name, head), frames()

    def loss(network):
        if head != "energy":
            return jnp.sum(evaluate(network, x) ** 2)
        score = jax.vmap(jax.grad(lambda y: network(y, LEVEL, FEATURES)))(x)
        return jnp.sum(score**2) + jnp.sum(evaluate(network, x) ** 2)

    weights, rest = eqx.partition(network, is_weight)
    gradient = jax.jit(jax.grad(lambda weights: loss(eqx.combine(weights, rest))))(weights)
    assert jax.tree.leaves(gradient)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert np.any(np.asarray(leaf) != 0)


@EACH
@HEADS
def test_frames_of_a_batch_do_not_see_each_other(name, head):
    network, x = build(name, head), frames()
    other = x.at[1:].set(x[1:] * 2.0)
    together, changed = evaluate(network, x), evaluate(network, other)
    assert relative(changed[0], together[0]) < 1e-6
    assert relative(network(x[0], LEVEL, FEATURES), together[0]) < 1e-5
    assert relative(changed[1], together[1]) > 1e-3


@EACH
def test_training_leaves_constants_alone(name):
    """What a network measures on the data is not for the optimiser: it would break invariances."""
    process = VariancePreservingOptions().build()
    model = EnergyModel(NETWORKS[name].build(molecule_inputs(), "energy", KEY), process)
    options = TrainingOptions(steps=10)
    _, state = Stage.create(model, process, FEATURES, (0.0, 0.1), options, centred=True, seed=0)
    trained = jax.tree.leaves(state.parameters)
    weights = [leaf for leaf in jax.tree.leaves(model) if is_weight(leaf)]
    assert [leaf.shape for leaf in trained] == [leaf.shape for leaf in weights]


@WITH_BASE
def test_energy_starts_as_a_base_without_weights(name):
    """Heads start at zero, so the initial energy does not depend on the weights before them."""
    first, second = (
        NETWORKS[name].build(molecule_inputs(), "energy", jax.random.key(seed)) for seed in (0, 1)
    )
    assert relative(evaluate(first, frames()), evaluate(second, frames())) < 1e-6


@WITH_BASE
def test_initial_energy_is_normalised_as_noise_takes_over(name):
    """With sigma >> alpha the base energy is the Gaussian's: `|x|^2 / 2 sigma^2 + D log sigma`.

    Up to a constant: the invariant base counts the bond noise 2 sigma^2 in its normaliser.
    """
    network = NETWORKS[name].build(molecule_inputs(), "energy", jax.random.key(0))
    x, degrees = frames(), 3 * (BEADS - 1)

    def excess(sigma):
        level = NoiseLevel(jnp.asarray(1e-3), jnp.asarray(sigma))
        y = sigma * x
        gaussian = 0.5 * jnp.sum(x**2, axis=(1, 2)) + degrees * jnp.log(sigma)
        return evaluate(network, y, level) - gaussian

    at_ten, at_forty = excess(10.0), excess(40.0)
    np.testing.assert_allclose(at_ten, at_ten[0], atol=1e-2)
    np.testing.assert_allclose(at_ten, at_forty, atol=1e-2)


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("mlp", "dense")])
@HEADS
def test_translation_invariance(name, head):
    network, x = build(name, head), frames()
    moved = x + jnp.array([3.0, -1.0, 2.0])
    # Rounding of coordinates of size 4 in float32, times the slope of the network.
    assert relative(evaluate(network, moved), evaluate(network, x)) < 2e-5


@INVARIANT
def test_invariant_energy_does_not_turn(name):
    network, x, rotation = build(name, "energy"), frames(), random_rotation()
    assert relative(evaluate(network, x @ rotation.T), evaluate(network, x)) < 2e-5


@INVARIANT
@pytest.mark.parametrize("head", ["score", "field"])
def test_invariant_score_head_turns_with_the_frame(name, head):
    network, x, rotation = build(name, head), frames(), random_rotation()
    out = evaluate(network, x)
    assert relative(evaluate(network, x @ rotation.T), out @ rotation.T) < 2e-5
    assert relative(out @ rotation.T, out) > 0.1


@EACH
def test_energy_tells_a_molecule_from_its_mirror_image(name):
    network, x = build(name, "energy"), frames()
    energy = evaluate(network, x)
    mirrored = evaluate(network, x * jnp.array([1.0, 1.0, -1.0]))
    # A reflection is not made up for by a rotation: compare with the best of none.
    assert float(jnp.min(jnp.abs(mirrored - energy))) > 1e-3


def test_invariant_energy_without_volumes_is_blind_to_reflection():
    """Chirality comes from the signed volumes and nothing else."""
    network, x = build("invariant", "energy"), frames()
    n_pairs, n_tetrads = network.geometry.shape
    first = network.trunk.first.weight.at[:, n_pairs : n_pairs + n_tetrads].set(0.0)
    blind = eqx.tree_at(lambda n: n.trunk.first.weight, network, first)
    mirrored = evaluate(blind, x * jnp.array([1.0, 1.0, -1.0]))
    assert relative(mirrored, evaluate(blind, x)) < 2e-5


def test_noise_below_the_finest_scale_is_not_told_apart():
    """Where the embedding levels off, a network cannot be another function at t = 0."""
    levels = [NoiseLevel(jnp.asarray(1.0), jnp.asarray(s)) for s in (1e-3, 1e-4, 0.1)]
    least, less, more = (np.asarray(noise_embedding(level, 0.02)) for level in levels)
    np.testing.assert_allclose(least, less, atol=0.01)
    assert np.abs(least - more).max() > 0.3
    free = [np.asarray(noise_embedding(level)) for level in levels]
    assert np.abs(free[0] - free[1]).max() > 0.3
    np.testing.assert_allclose(noise_embedding(LEVEL)[0] * 10, 2 * np.log(0.9 / 0.4), rtol=1e-5)


def test_finest_scale_of_a_molecule_is_half_its_stiffest_distance():
    geometry = NETWORKS["invariant"].build(molecule_inputs(), "energy", KEY).geometry
    x = molecule_inputs().frames.astype(np.float64)
    distances = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)[:, *np.triu_indices(BEADS, 1)]
    np.testing.assert_allclose(geometry.finest, 0.5 * distances.std(0).min(), rtol=1e-4)


@pytest.mark.parametrize("beads", [5, 10, 28])
def test_volumes_are_of_all_tetrads_or_of_the_bonded_ones_and_of_modes(beads):
    bonds = tuple((i, i + 1) for i in range(beads - 1))
    frames = np.random.default_rng(0).normal(size=(20, beads, 3)).astype(np.float32)
    inputs = NetworkInputs(frames, bonds, 3 * (beads - 1))
    for most in (0, 30, 210):
        every = comb(beads, 4) <= most
        bonded = beads - 3
        of_modes = 0 if every else min(max(0, most - bonded), comb(min(beads - 1, 24), 3))
        tetrads = comb(beads, 4) if every else bonded
        geometry = InvariantOptions(width=4, tetrads=most).build(inputs, "energy", KEY).geometry
        assert geometry.shape[1] == tetrads + of_modes
        corners = np.abs(geometry.edges).sum(axis=0)
        touched = np.count_nonzero(corners, axis=1)
        assert (touched[:tetrads] == 4).all()
        assert (touched[tetrads:] > 4).all()
        assert len(np.unique(corners[:tetrads] > 0, axis=0)) == tetrads
        rows = {tuple(np.flatnonzero(row)) for row in corners[:tetrads]}
        assert {(i, i + 1, i + 2, i + 3) for i in range(beads - 3)} <= rows
        # all as long as an edge and free of the centre; modes do not overlap
        squares = np.sum(geometry.edges**2, axis=2)
        np.testing.assert_allclose(squares, 2.0, rtol=1e-5)
        np.testing.assert_allclose(geometry.edges.sum(axis=2), 0.0, atol=1e-5)
        a, b, c = geometry.edges[:, tetrads:]
        for one, other in ((a, b), (b, c), (c, a)):
            np.testing.assert_allclose(np.sum(one * other, axis=1), 0.0, atol=1e-5)


def test_modes_come_by_their_amplitude():
    random = np.random.default_rng(0)
    basis = np.linalg.qr(np.c_[np.ones(12), random.normal(size=(12, 11))])[0][:, 1:]
    sizes = 2.0 ** -np.arange(11)
    frames = np.einsum("ba,fad->fbd", basis * sizes, random.normal(size=(4000, 11, 3)))
    inputs = NetworkInputs(frames.astype(np.float32), (), 33)
    geometry = InvariantOptions(width=4, tetrads=13).build(inputs, "energy", KEY).geometry
    # after nine tetrads of a chain
    first, second = geometry.edges[:, 9], geometry.edges[:, 10]
    np.testing.assert_allclose(np.abs(first @ basis[:, :3]), np.sqrt(2) * np.eye(3), atol=0.1)
    np.testing.assert_allclose(
        np.abs(second @ basis[:, [0, 1, 3]]), np.sqrt(2) * np.eye(3), atol=0.1
    )


def test_modes_tell_a_noisy_chain_from_its_mirror_image():
    """A helix under noise as large as itself: what tetrads do not see, the modes do."""
    turns = np.arange(25)
    helix = np.stack([np.cos(1.7 * turns), np.sin(1.7 * turns), 0.15 * turns], axis=1)
    random = np.random.default_rng(0)
    frames = helix + 0.1 * random.normal(size=(2000, 25, 3))
    frames = (frames - frames.mean(axis=1, keepdims=True)).astype(np.float32)
    bonds = tuple((i, i + 1) for i in range(24))
    inputs = NetworkInputs(frames, bonds, 72)
    geometry = InvariantOptions(width=4).build(inputs, "energy", KEY).geometry
    bonded = len(bonds) - 2

    def certainty(values: np.ndarray) -> float:
        """Mean over standard deviation of the best linear combination of volumes."""
        return float(np.sqrt(values.mean(0) @ np.linalg.solve(np.cov(values.T), values.mean(0))))

    noise = random.normal(size=frames.shape)
    noised = frames + (noise - noise.mean(axis=1, keepdims=True))
    volumes = geometry.values(noised)[:, geometry.shape[0] :]
    assert certainty(volumes[:, bonded:]) > 3.0 * certainty(volumes[:, :bonded])


def learned(kind, head, name, t):
    """Size of what random weights add to the score that all models start from, at one time."""
    process, x = VariancePreservingOptions().build(), frames()
    start = NETWORKS[name].build(molecule_inputs(), head, KEY)
    rest = () if kind is EnergyModel else (True,)

    def scores(network):
        model = kind(network, process, *rest)
        return jax.vmap(lambda y: model.score(y, jnp.asarray(t), FEATURES))(x)

    zero = jax.tree.map(lambda leaf: 0.0 * leaf if is_weight(leaf) else leaf, start)
    return float(jnp.std(scores(randomise(start)) - scores(zero)))


@EACH
def test_a_field_starts_from_the_score_of_the_energy(name):
    """All that the data say before training is in both, so they differ in the curl alone."""
    process, x = VariancePreservingOptions().build(), frames()
    energy, field = (
        jax.tree.map(
            lambda leaf: 0.0 * leaf if is_weight(leaf) else leaf,
            NETWORKS[name].build(molecule_inputs(), head, KEY),
        )
        for head in ("energy", "field")
    )
    models = EnergyModel(energy, process), FieldModel(field, process, True)
    for t in jnp.asarray([1e-5, 0.03, 0.9]):
        expected, found = (
            jax.vmap(model.score, in_axes=(0, None, None))(x, t, FEATURES) for model in models
        )
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())


@EACH
def test_errors_of_a_field_do_not_grow_towards_small_times(name):
    """What weights do to the score at t = 1e-5 over that at 0.03, where sigma is 110 times it."""
    energy, field, denoiser = (
        learned(kind, head, name, 1e-5) / learned(kind, head, name, 0.03)
        for kind, head in ((EnergyModel, "energy"), (FieldModel, "field"), (ScoreModel, "score"))
    )
    assert 0.2 < field / energy < 5.0
    assert denoiser / field > 10.0
