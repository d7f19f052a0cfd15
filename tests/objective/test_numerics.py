"""Single against double precision at every diffusion time, and the same numbers for a seed.

Worst cases over the three networks with random weights, t from 1e-5 to 1, in units of what the
quantity is made of: energies of their spread over frames, forces of their root mean square,
residuals of the sum of the sizes of the terms that cancel in them.
`python -m tests.objective.test_numerics` prints the table of `docs/results/reliability.md`.
"""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.model import EnergyModel
from fokker.process import VariancePreservingOptions
from tests.helpers.analytic import molecule_mixture
from tests.helpers.tools import FEATURES, molecule_inputs, randomise, to_double
from tests.network.test_conformance import NETWORKS
from tests.objective.test_residual import noised_frames, residual_and_terms

TIMES = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0)
PROCESS = VariancePreservingOptions().build()
BOUNDS = {"energy": 5e-6, "force": 2e-5, "residual": 2e-4}


@eqx.filter_jit
def energies_and_scores(model, x, t):
    return jax.vmap(lambda y: model.energy_and_score(y, t, FEATURES))(x)


def evaluate(model, x, t):
    """Energies, scores, residuals, and the size of the terms of the residuals."""
    found = (
        *energies_and_scores(model, x, t),
        *residual_and_terms(model, PROCESS, x, t, centred=True),
    )
    return [np.asarray(value, np.float64) for value in found]


def errors(name, t):
    """Largest error of single precision, by quantity."""
    network = randomise(NETWORKS[name].build(molecule_inputs(), "energy", jax.random.key(0)))
    frames = noised_frames(molecule_mixture(PROCESS), t, n=16)
    frames = (frames - frames.mean(axis=1, keepdims=True)).astype(np.float32)
    model = EnergyModel(network, PROCESS)
    single = evaluate(model, jnp.asarray(frames), jnp.asarray(t, jnp.float32))
    with jax.enable_x64(True):
        # the same single-precision time, so that rounding of the input is not counted
        exact = evaluate(
            to_double(model), jnp.asarray(frames, jnp.float64), jnp.asarray(t, jnp.float64)
        )
    (e, f, r, _), (e0, f0, r0, terms) = single, exact
    return {
        "energy": np.abs((e - e.mean()) - (e0 - e0.mean())).max() / e0.std(),
        "force": np.abs(f - f0).max() / np.sqrt(np.mean(f0**2)),
        "residual": np.max(np.abs(r - r0) / terms),
    }


@pytest.mark.parametrize("name", ["mlp", "invariant"])
def test_single_precision_agrees_with_double(name):
    for t in (1e-5, 1e-3, 0.1, 1.0):
        found = errors(name, t)
        assert all(found[key] < BOUNDS[key] for key in BOUNDS), (t, found)
        # and it is single precision that was measured
        assert max(found.values()) > 1e-9


@pytest.mark.slow
def test_single_precision_agrees_with_double_for_the_graph_transformer():
    for t in TIMES:
        found = errors("graph-transformer", t)
        assert all(found[key] < BOUNDS[key] for key in BOUNDS), (t, found)


if __name__ == "__main__":
    table = {
        name: {f"{t:g}": {k: float(f"{v:.2g}") for k, v in errors(name, t).items()} for t in TIMES}
        for name in NETWORKS
    }
    print(json.dumps(table, indent=1))
