"""Diffusion time as an input: what arXiv 2506.17139 gives its networks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.network import DenseOptions, NetworkInputs
from fokker.network.time import diffusion_time, time_embedding, time_embedding_size
from fokker.process import VariancePreservingOptions
from tests.helpers.tools import bead_features

PROCESS = VariancePreservingOptions().build()


def test_time_of_a_level_is_that_of_the_variance_preserving_process():
    t = jnp.asarray(np.concatenate([np.geomspace(1e-5, 1.0, 40), np.linspace(0.05, 1.0, 30)]))
    found = jax.vmap(lambda s: diffusion_time(PROCESS.level(s)))(t)
    np.testing.assert_allclose(found, t, rtol=1e-5)
    assert float(diffusion_time(PROCESS.level(jnp.asarray(0.0)))) == 0.0


@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.0, 0.1), (0.2, 0.7)])
def test_embedding_is_time_and_its_waves_and_those_of_an_inner_interval(interval):
    low, high = interval
    for t in (low, 0.3 * low + 0.7 * high, high, high + 0.1):
        inside = min(t, high)
        found = time_embedding(PROCESS.level(jnp.asarray(max(t, 1e-7))), interval)
        phases = [inside] if low == 0.0 else [inside, (inside - low) / (high - low)]
        expected = [inside - 0.5 * (high - low)]
        for phase in phases:
            expected += [np.cos(2 * np.pi * phase), np.sin(2 * np.pi * phase)]
            expected.append(-np.cos(4 * np.pi * phase))
        assert len(expected) == time_embedding_size(interval)
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("head", ["energy", "field"])
def test_a_dense_network_is_its_layers(head):
    frames = np.random.default_rng(0).normal(size=(10, 1, 2)).astype(np.float32)
    inputs = NetworkInputs(frames, (), 2, interval=(0.2, 0.7))
    network = DenseOptions(widths=(7, 5)).build(inputs, head, jax.random.key(0))
    network = jax.tree.map(lambda a: a + 0.1 if eqx.is_array(a) else a, network)
    level, x = PROCESS.level(jnp.asarray(0.4)), jnp.asarray(frames[0])
    h = np.concatenate([x.ravel(), time_embedding(level, (0.2, 0.7))])
    for place, layer in enumerate(network.layers):
        h = np.asarray(layer.weight) @ h + np.asarray(layer.bias)
        h = h / (1.0 + np.exp(-h)) if place < 2 else h
    found = network(x, level, bead_features(1))
    expected = h[0] if head == "energy" else h.reshape(1, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_dense_weights_start_with_variance_one_over_inputs():
    frames = np.zeros((10, 1, 2), np.float32)
    network = DenseOptions(widths=(400, 400)).build(
        NetworkInputs(frames, (), 2), "energy", jax.random.key(0)
    )
    weight = np.asarray(network.layers[1].weight)
    # of 160,000 draws the variance is known to 0.4 %
    np.testing.assert_allclose(weight.var() * 400, 1.0, atol=0.02)
    assert not np.any(np.asarray(network.layers[1].bias))
