"""The low-rank edge attention against the dense formula, and the transformer's symmetries."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.network import GraphTransformerOptions, NetworkInputs
from fokker.types import NoiseLevel
from tests.helpers.dense_attention import densify
from tests.helpers.tools import bead_features, is_weight, to_double

OPTIONS = GraphTransformerOptions(width=24, layers=2, heads=3, head_width=8)


def inputs(beads: int, dim: int = 3) -> NetworkInputs:
    frames = np.random.default_rng(beads).normal(size=(4, beads, dim))
    frames = frames - frames.mean(axis=1, keepdims=True)
    return NetworkInputs(frames.astype(np.float32), (), dim * (beads - 1))


def build(beads: int, head="energy", dim: int = 3, layers: int = 2):
    """As initialised, but for the last map, which starts at zero."""
    options = OPTIONS.model_copy(update={"layers": layers})
    network = options.build(inputs(beads, dim), head, jax.random.key(1))
    last = jax.random.normal(jax.random.key(2), network.last.shape)
    return eqx.tree_at(lambda n: n.last, network, last)


def level(dtype=jnp.float32) -> NoiseLevel:
    return NoiseLevel(jnp.asarray(0.8, dtype), jnp.asarray(0.3, dtype))


@eqx.filter_jit
def outputs(network, x, features):
    """Of every frame, without derivatives."""
    return jax.vmap(lambda y: network(y, level(x.dtype), features))(x)


@eqx.filter_jit
def energies_and_scores(network, x):
    """Of every frame, in the precision of x."""

    def energy(y):
        return network(y, level(x.dtype), bead_features(x.shape[1]))

    energies, gradients = jax.vmap(jax.value_and_grad(energy))(x)
    return energies, -gradients


def weight_gradient(network, x):
    """Gradient by the weights of a sum of squares of energies and scores."""
    weights, rest = eqx.partition(network, is_weight)

    def loss(weights):
        energies, scores = energies_and_scores(eqx.combine(weights, rest), x)
        return jnp.sum(energies**2) + jnp.sum(scores**2)

    return jax.tree.leaves(jax.jit(jax.grad(loss))(weights))


def worst(found, expected) -> float:
    """Largest error of any array, relative to the largest number in it."""
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64))
        for a, b in zip(found, expected, strict=True)
    ]
    return max(np.max(np.abs(a - b)) / np.max(np.abs(b)) for a, b in pairs)


def test_weight_gradients_equal_the_dense_formula():
    """In float64 to rounding, and in float32 to 1e-5 of the float64 truth."""
    network, x = build(5, layers=1), inputs(5).frames
    with jax.enable_x64(True):
        double, y = to_double(network), jnp.asarray(x, jnp.float64)
        exact = weight_gradient(densify(double), y)
        assert worst(weight_gradient(double, y), exact) < 1e-11
    assert worst(weight_gradient(network, jnp.asarray(x)), exact) < 1e-5


@pytest.mark.parametrize(("beads", "dim"), [(2, 3), (6, 2)])
def test_energies_and_scores_equal_the_dense_formula(beads, dim):
    network = build(beads, dim=dim)
    with jax.enable_x64(True):
        double, y = to_double(network), jnp.asarray(inputs(beads, dim).frames, jnp.float64)
        found, expected = (energies_and_scores(n, y) for n in (double, densify(double)))
        assert worst(found, expected) < 1e-12


def test_score_head_equals_the_dense_formula():
    network, x = build(5, "score"), jnp.asarray(inputs(5).frames)
    found, expected = (outputs(n, x, bead_features(5)) for n in (network, densify(network)))
    assert worst([found], [expected]) < 1e-5


def test_as_accurate_as_the_dense_formula_far_from_the_origin():
    """Squared norms must not cancel: a long chain, both float32 forms against float64."""
    beads = 28
    network = build(beads)
    x = np.cumsum(np.random.default_rng(0).normal(size=(2, beads, 3)), axis=1)
    x = x - x.mean(axis=1, keepdims=True)
    x = (x / x.std()).astype(np.float32) + np.float32(20.0)
    with jax.enable_x64(True):
        exact = energies_and_scores(to_double(network), jnp.asarray(x, jnp.float64))
    low_rank, dense = (
        worst(energies_and_scores(n, jnp.asarray(x)), exact) for n in (network, densify(network))
    )
    assert low_rank < max(2.0 * dense, 1e-5)


def test_no_intermediate_of_edges_by_width():
    """No array of the gradient of a score loss is as large as one head's dense edge keys."""
    beads = 28
    options = GraphTransformerOptions(width=32, layers=2, heads=4, head_width=64)
    network = options.build(inputs(beads), "energy", jax.random.key(0))
    bound = beads * beads * options.head_width
    assert largest_array(network, beads) < bound
    assert largest_array(densify(network), beads) >= bound


def largest_array(network, beads: int) -> int:
    weights, rest = eqx.partition(network, is_weight)

    def loss(weights, x):
        network = eqx.combine(weights, rest)
        return jnp.sum(jax.grad(lambda y: network(y, level(), bead_features(beads)))(x) ** 2)

    x = jnp.asarray(inputs(beads).frames[0])
    pending, largest = [jax.make_jaxpr(jax.grad(loss))(weights, x).jaxpr], 0
    while pending:
        jaxpr = pending.pop()
        for equation in jaxpr.eqns:
            largest = max(largest, *(v.aval.size for v in equation.outvars), 0)
            inner = (p for p in equation.params.values())
            pending += [getattr(p, "jaxpr", p) for p in inner if hasattr(p, "jaxpr")]
            pending += [p for p in equation.params.values() if hasattr(p, "eqns")]
    return largest


ORDER = jnp.array([3, 0, 5, 1, 4, 2])
ORDERED = bead_features(6)._replace(kind=ORDER)


def test_energy_does_not_depend_on_the_order_of_beads():
    network, x = build(6), jnp.asarray(inputs(6).frames)
    energy = outputs(network, x, bead_features(6))
    assert worst([outputs(network, x[:, ORDER], ORDERED)], [energy]) < 1e-5
    assert worst([outputs(network, x[:, ORDER], bead_features(6))], [energy]) > 1e-3


def test_score_head_is_permuted_with_the_beads():
    network, x = build(6, "score"), jnp.asarray(inputs(6).frames)
    out = outputs(network, x, bead_features(6))
    assert worst([outputs(network, x[:, ORDER], ORDERED)], [out[:, ORDER]]) < 1e-5


def test_forces_sum_to_zero():
    _, force = energies_and_scores(build(6), jnp.asarray(inputs(6).frames))
    # Six terms cancel, each rounded to 1e-7 of the largest.
    assert float(jnp.abs(force.sum(axis=1)).max()) < 6e-6 * float(jnp.abs(force).max())


def test_starts_as_the_normalised_gaussian():
    network = OPTIONS.build(inputs(5), "energy", jax.random.key(0))
    x, variance = jnp.asarray(inputs(5).frames[0]), 0.8**2 + 0.3**2
    expected = 0.5 * jnp.sum(x**2) / variance + 6.0 * jnp.log(variance)
    assert jnp.allclose(network(x, level(), bead_features(5)), expected, rtol=1e-5)


def test_one_bead_is_refused():
    with pytest.raises(FokkerError, match="use network 'mlp'"):
        OPTIONS.build(inputs(1), "energy", jax.random.key(0))
