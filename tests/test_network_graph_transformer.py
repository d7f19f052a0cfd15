"""The low-rank edge attention against the dense formula, and the transformer's symmetries."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_attention import densify
from tools import to_double

from fokker.errors import FokkerError
from fokker.network import GraphTransformerOptions, NetworkInputs
from fokker.types import NoiseLevel

OPTIONS = GraphTransformerOptions(width=24, layers=2, heads=3, head_width=8)


def inputs(beads: int, dim: int = 3) -> NetworkInputs:
    frames = np.random.default_rng(beads).normal(size=(4, beads, dim))
    frames = frames - frames.mean(axis=1, keepdims=True)
    return NetworkInputs(frames.astype(np.float32), (), dim * (beads - 1))


def build(beads: int, head="energy", dim: int = 3):
    """As initialised, but for the last map, which starts at zero."""
    network = OPTIONS.build(inputs(beads, dim), head, jax.random.key(1))
    last = jax.random.normal(jax.random.key(2), network.last.shape)
    return eqx.tree_at(lambda n: n.last, network, last)


def level(dtype=jnp.float32) -> NoiseLevel:
    return NoiseLevel(jnp.asarray(0.8, dtype), jnp.asarray(0.3, dtype))


def evaluations(network, x):
    """Energies, scores and the gradient by weights of a sum of squares of both."""

    def loss(weights, rest):
        network = eqx.combine(weights, rest)

        def energy(y):
            return network(y, level(x.dtype), jnp.arange(x.shape[1]))

        energies, gradients = jax.vmap(jax.value_and_grad(energy))(x)
        return jnp.sum(energies**2) + jnp.sum(gradients**2), (energies, -gradients)

    weights, rest = eqx.partition(network, eqx.is_inexact_array)
    gradient, (energies, scores) = jax.jit(
        lambda weights: jax.grad(loss, has_aux=True)(weights, rest)
    )(weights)
    return [energies, scores, *jax.tree.leaves(gradient)]


def worst(found, expected) -> float:
    """Largest error of any array, relative to the largest number in it."""
    pairs = zip(found, expected, strict=True)
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs)


@pytest.mark.parametrize("beads", [2, 5, 12])
def test_equals_the_dense_formula_in_float32(beads):
    network, x = build(beads), jnp.asarray(inputs(beads).frames)
    assert worst(evaluations(network, x), evaluations(densify(network), x)) < 1e-5


@pytest.mark.parametrize("dim", [2, 3])
def test_equals_the_dense_formula_in_float64(dim):
    with jax.enable_x64(True):
        network = to_double(build(6, dim=dim))
        x = jnp.asarray(inputs(6, dim).frames, jnp.float64)
        assert worst(evaluations(network, x), evaluations(densify(network), x)) < 1e-12


def test_score_head_equals_the_dense_formula():
    network, x = build(5, "score"), jnp.asarray(inputs(5).frames)
    found, expected = (
        jax.vmap(lambda y, n=n: n(y, level(), jnp.arange(5)))(x)
        for n in (network, densify(network))
    )
    assert worst([found], [expected]) < 1e-5


def test_as_accurate_as_the_dense_formula_far_from_the_origin():
    """Squared norms must not cancel: a long chain, both float32 forms against float64."""
    beads = 28
    network = build(beads)
    x = np.cumsum(np.random.default_rng(0).normal(size=(2, beads, 3)), axis=1)
    x = x - x.mean(axis=1, keepdims=True)
    x = (x / x.std()).astype(np.float32) + np.float32(20.0)
    with jax.enable_x64(True):
        exact = np.asarray(evaluations(to_double(network), jnp.asarray(x, jnp.float64))[1])
    low_rank, dense = (
        worst([evaluations(n, jnp.asarray(x))[1]], [exact]) for n in (network, densify(network))
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
    weights, rest = eqx.partition(network, eqx.is_inexact_array)

    def loss(weights, x):
        network = eqx.combine(weights, rest)
        return jnp.sum(jax.grad(lambda y: network(y, level(), jnp.arange(beads)))(x) ** 2)

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


def test_energy_does_not_depend_on_the_order_of_beads():
    network, x = build(6), jnp.asarray(inputs(6).frames[0])
    order = jnp.array([3, 0, 5, 1, 4, 2])
    energy = network(x, level(), jnp.arange(6))
    assert jnp.allclose(network(x[order], level(), order), energy, rtol=1e-5)
    assert not jnp.allclose(network(x[order], level(), jnp.arange(6)), energy, rtol=1e-3)


def test_score_head_is_permuted_with_the_beads():
    network, x = build(6, "score"), jnp.asarray(inputs(6).frames[0])
    order = jnp.array([3, 0, 5, 1, 4, 2])
    out = network(x, level(), jnp.arange(6))
    assert jnp.allclose(network(x[order], level(), order), out[order], atol=1e-5)


def test_forces_sum_to_zero():
    network, x = build(6), jnp.asarray(inputs(6).frames[0])
    force = -jax.grad(lambda y: network(y, level(), jnp.arange(6)))(x)
    assert float(jnp.max(jnp.abs(jnp.sum(force, axis=0)))) < 1e-5 * float(jnp.abs(force).max()) * 6


def test_starts_as_the_normalised_gaussian():
    network = OPTIONS.build(inputs(5), "energy", jax.random.key(0))
    x, variance = jnp.asarray(inputs(5).frames[0]), 0.8**2 + 0.3**2
    expected = 0.5 * jnp.sum(x**2) / variance + 6.0 * jnp.log(variance)
    assert jnp.allclose(network(x, level(), jnp.arange(5)), expected, rtol=1e-5)


def test_one_bead_is_refused():
    with pytest.raises(FokkerError, match="use network 'mlp'"):
        OPTIONS.build(inputs(1), "energy", jax.random.key(0))
