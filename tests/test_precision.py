"""Products of float32 are as precise as float32 on every device, by the lowered programs."""

import functools
import os
import re
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.adapters.evaluator import Potential
from fokker.config import TrainingOptions
from fokker.dataset.pool import Pool
from fokker.dynamics import LangevinOptions, OverdampedOptions, State
from fokker.model import EnergyModel, ScoreModel
from fokker.model.force import Force
from fokker.objective import Molecule
from fokker.process import VariancePreservingOptions
from fokker.sampler import (
    DPMSolverOptions,
    EulerMaruyamaOptions,
    ProbabilityFlowOptions,
    ReverseProcess,
    solve,
)
from fokker.training.expert import Stage
from fokker.types import ForceLabels
from tests.helpers.tools import BEADS, BONDS, FEATURES, molecule_inputs
from tests.network.test_conformance import NETWORKS

PROCESS = VariancePreservingOptions().build()
FRAMES = jnp.asarray(molecule_inputs().frames)
X, T = FRAMES[0], jnp.asarray(1e-5)
MASSES = (12.0,) * BEADS
EACH = pytest.mark.parametrize("name", NETWORKS)


def products(function, *arguments):
    """Count the products of a program, and see that each states the highest precision."""
    text = eqx.filter_jit(function).lower(*arguments).as_text()
    found = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    for line in found:
        assert "precision = [HIGHEST, HIGHEST]" in line, line
    assert not re.search(r"stablehlo\.(convolution|dot )", text)
    return len(found)


@functools.cache
def energy_model(name):
    network = NETWORKS[name].build(molecule_inputs(), "energy", jax.random.key(0))
    return EnergyModel(network, PROCESS)


def score_model(name):
    network = NETWORKS[name].build(molecule_inputs(), "score", jax.random.key(0))
    return ScoreModel(network, PROCESS, True)


@EACH
def test_energies_and_scores(name):
    energy, score = energy_model(name), score_model(name)
    assert products(lambda x, t: energy.energy(x, t, FEATURES), X, T)
    assert products(lambda x, t: energy.score(x, t, FEATURES), X, T)
    assert products(lambda x, t: score.score(x, t, FEATURES), X, T)


@EACH
@pytest.mark.parametrize("integrator", [LangevinOptions(), OverdampedOptions()])
def test_a_step_of_dynamics_and_what_engines_call(name, integrator):
    model = energy_model(name)
    force = Force(model, FEATURES, 0.1, np.zeros(3, np.float32), 2.5, T)
    step = integrator.build(MASSES, 2.5).step
    assert products(lambda x, v, key: step(State(x, v), force, key), X, X, jax.random.key(0))
    potential = Potential(model, FEATURES, 0.1, np.zeros(3, np.float32), 2.5, 1e-5, True)
    assert products(potential, X)


@EACH
@pytest.mark.parametrize(
    "sampler", [DPMSolverOptions(), EulerMaruyamaOptions(), ProbabilityFlowOptions()]
)
def test_a_step_of_a_sampler(name, sampler):
    model = energy_model(name)
    reverse = ReverseProcess(model, PROCESS, FEATURES, True)
    times = np.array([0.5, 0.4, 1e-5])
    draw = lambda x, key: solve(sampler.build(), reverse, x, times, key)  # noqa: E731
    assert products(draw, FRAMES[:2], jax.random.key(0))


OBJECTIVES = {
    "dsm": {},
    "diffclf": {"fraction": 0.5},
    "fokker-planck": {"form": "strong"},
    "rne": {},
    "ctsm": {},
    "fitted": {},
    "torsion": {},
    "force-matching": {},
}


@pytest.mark.parametrize(
    ("name", "optimiser", "terms"),
    [
        ("mlp", "adamw", OBJECTIVES | {"fokker-planck": {"form": "weak"}}),
        ("mlp", "muon", OBJECTIVES),
        *((name, "adamw", {"dsm": {}}) for name in NETWORKS),
    ],
)
def test_a_step_of_training(name, optimiser, terms):
    """Every objective, its rotations and projections, and the optimiser's own products."""
    options = TrainingOptions(
        batch_size=4, optimiser=optimiser, antithetic=True, rotate=True, objectives=terms
    )
    labelled = np.asarray(FRAMES), np.asarray(FRAMES)
    stage, state = Stage.create(
        energy_model(name), PROCESS, FEATURES, (0.0, 1e-3), options,
        centred=True, seed=0, molecules=[Molecule(BEADS, BONDS)], labelled=labelled,
    )  # fmt: skip
    labels = ForceLabels(FRAMES, jnp.ones(len(FRAMES), bool))
    assert products(stage.update, state, Pool(FRAMES, labels=labels))


@pytest.mark.parametrize("first", ["fokker", "jax"])
@pytest.mark.parametrize("chosen", [None, "tensorfloat32"])
def test_the_precision_is_stated_on_import_and_a_choice_is_kept(first, chosen):
    code = (
        f"import {first}; import jax, fokker; "
        "print(jax.config.jax_default_matmul_precision); "
        "print(jax.jit(lambda a: a @ a).lower(jax.numpy.eye(2)).as_text())"
    )
    environment = {k: v for k, v in os.environ.items() if k != "JAX_DEFAULT_MATMUL_PRECISION"}
    environment |= {} if chosen is None else {"JAX_DEFAULT_MATMUL_PRECISION": chosen}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    said, *program = done.stdout.splitlines()
    assert said == (chosen or "highest"), done.stderr
    assert ("HIGHEST" in "".join(program)) == (chosen is None)
