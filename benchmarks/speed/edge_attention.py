"""Time of the graph transformer's low-rank edge attention against the dense formula.

The part `attention` of `speed.py`: the time of one batch of 64 scores and of one training gradient
of denoising score matching. The predecessor's widths are used: 96 numbers a bead, 2
layers, 8 heads of 64. Times are processor time, the smallest of several runs in turn, so that other
work on the machine spoils neither side.
"""

import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.helpers.dense_attention import densify

from fokker.model import EnergyModel
from fokker.network import GraphTransformerOptions, NetworkInputs
from fokker.process import VariancePreservingOptions
from fokker.types import Features

BATCH = 64
REPEATS = 3
OPTIONS = GraphTransformerOptions(width=96, layers=2, heads=8, head_width=64)


def identities(beads: int) -> Features:
    """Every bead its own kind."""
    return Features(jnp.arange(beads), None, jnp.zeros((beads, beads), int))


def best_times(functions: dict[str, tuple], *arguments) -> dict[str, float]:
    """Smallest processor time of one call of each function in ms, compilation left out."""
    best = dict.fromkeys(functions, float("inf"))
    for repeat in range(REPEATS + 1):
        for name, (function, model) in functions.items():
            start = time.process_time()
            jax.block_until_ready(function(model, *arguments))
            if repeat > 0:
                best[name] = min(best[name], 1e3 * (time.process_time() - start))
    return best


def measure(beads: int) -> dict[str, dict[str, float]]:
    """Score and gradient time of both forms."""
    frames = np.random.default_rng(beads).normal(size=(BATCH, beads, 3)).astype(np.float32)
    frames -= frames.mean(axis=1, keepdims=True)
    inputs = NetworkInputs(frames, (), 3 * (beads - 1))
    network = OPTIONS.build(inputs, "energy", jax.random.key(0))
    process, features = VariancePreservingOptions().build(), identities(beads)
    x, t = jnp.asarray(frames), jnp.linspace(0.01, 0.9, BATCH, dtype=jnp.float32)

    def scores(model, x, t):
        return jax.vmap(lambda x, t: model.score(x, t, features))(x, t)

    def loss(model, x, t):
        sigma = jax.vmap(process.sigma)(t)[:, None, None]
        return jnp.mean((sigma * scores(model, x, t) + x) ** 2)

    forms = {"low-rank": network, "dense": densify(network)}
    models = {name: EnergyModel(form, process) for name, form in forms.items()}
    tasks = {"score": eqx.filter_jit(scores), "gradient": eqx.filter_jit(eqx.filter_grad(loss))}
    return {
        task: best_times({name: (function, m) for name, m in models.items()}, x, t)
        for task, function in tasks.items()
    }
