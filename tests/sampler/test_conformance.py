"""Every sampler recovers every analytic density under every process."""

from typing import Any, get_args

import jax
import numpy as np
import pytest
from jaxtyping import Float

from fokker.process import CosineOptions, VarianceExplodingOptions, VariancePreservingOptions
from fokker.sampler import (
    Annealed,
    AnnealedOptions,
    DPMSolverOptions,
    EnergyPath,
    EulerMaruyamaOptions,
    ProbabilityFlowOptions,
    ReverseProcess,
    SamplerOptions,
    generate,
    generate_weighted,
)
from tests.helpers.analytic import TWO_WELLS, AnalyticMixture
from tests.helpers.tools import bead_features

pytestmark = pytest.mark.statistics

N = 8192

PROCESSES = {
    "vp": VariancePreservingOptions().build(),
    "ve": VarianceExplodingOptions().build(),
    "cosine": CosineOptions().build(),
}

# Sampler and the relative bias that its default number of steps leaves in a standard deviation: at
# most 0.0095, 0.024 and 1e-4 for the first, second and last by the closed forms that
# test_sampler_order.py measures; for Euler-Maruyama, the step of log(alpha / sigma) within 0.016.
SAMPLERS = {
    "dpm-solver": (DPMSolverOptions(), 0.010),
    "dpm_solver, stochastic": (DPMSolverOptions(eta=1.0), 0.025),
    "euler-maruyama": (EulerMaruyamaOptions(), 0.016),
    "annealed": (AnnealedOptions(), 0.0),
    "probability-flow": (ProbabilityFlowOptions(), 1e-4),
}

# All have two components in two dimensions, so that each sampler is compiled once a process.
DENSITIES = {
    "gaussian": {
        "weights": [0.5, 0.5],
        "means": [[[0.5, -0.3]]] * 2,
        "variances": [[0.49, 0.49]] * 2,
    },
    "anisotropic": {
        "weights": [0.5, 0.5],
        "means": [[[0.0, 0.0]]] * 2,
        "variances": [[0.01, 1.0]] * 2,
    },
    "two wells": {
        "weights": TWO_WELLS["weights"],
        "means": TWO_WELLS["means"],
        "variances": [[std**2] * 2 for std in TWO_WELLS["stds"]],
    },
}

# Between the wells, 4.3 standard deviations from the narrow one and 4.1 from the wide one.
WATERSHED = -0.55


def test_no_sampler_is_left_out():
    names = {
        member.model_fields["name"].default for member in get_args(get_args(SamplerOptions)[0])
    }
    assert {options.name for options, _ in SAMPLERS.values()} == names


def draw(sampler: str, process: str, density: str) -> tuple[Float[np.ndarray, "frames 2"], float]:
    """Samples, and how many independent ones they are worth."""
    model = AnalyticMixture.anisotropic(**DENSITIES[density], process=PROCESSES[process])
    chosen, features = SAMPLERS[sampler][0].build(), bead_features(1)
    how: dict[str, Any] = {"n": N, "shape": (1, 2), "key": jax.random.key(7), "batch_size": N}
    if isinstance(chosen, Annealed):
        path = EnergyPath.of(ReverseProcess(model, PROCESSES[process], features, False), 1e-5)
        island = next(generate_weighted(chosen, path, **how))
        # drawn evenly from weighted ones, which costs up to as much again
        return island.frames[:, 0].astype(np.float64), 0.5 * island.effective
    batches = generate(chosen, model, PROCESSES[process], features, centred=False, **how)
    return next(batches)[:, 0].astype(np.float64), N


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_moments_and_mode_weights(sampler: str, process: str):
    bias = SAMPLERS[sampler][1]
    alpha, sigma = (float(scale) for scale in PROCESSES[process].level(jax.numpy.asarray(1.0)))
    for density in DENSITIES:
        model = AnalyticMixture.anisotropic(**DENSITIES[density], process=PROCESSES[process])
        x, n = draw(sampler, process, density)
        assert np.all(np.isfinite(x))
        std = np.sqrt(np.diag(model.covariance))
        # The prior has mean 0, not alpha(1) mu; a Gaussian's flow shrinks that with its width.
        shift = alpha * np.abs(model.mean[0]) * std / np.hypot(alpha, sigma)
        # 4.5 standard errors of a mean, here and below: 1 in 10^5 a comparison.
        mean_error = np.abs(x.mean(0) - model.mean[0])
        assert np.all(mean_error < 4.5 * std / np.sqrt(n) + shift + bias * std), density
        products = (x - model.mean[0])[:, :, None] * (x - model.mean[0])[:, None, :]
        covariance_error = np.abs(products.mean(0) - model.covariance)
        standard_error = products.std(0) / np.sqrt(n)
        # The prior's variance is that of unit data: off by at most alpha^2 / (alpha^2 + sigma^2).
        relative = 2.0 * bias + alpha**2 / (alpha**2 + sigma**2)
        allowed = 4.5 * standard_error + relative * np.outer(std, std) + shift[:, None] * std
        assert np.all(covariance_error < allowed), density
        if density == "two wells":
            weight = np.mean(x[:, 0] < WATERSHED)
            # Prior mean 0 instead of alpha(1) mu moves the watershed's quantile by the shift times
            # the height 0.4 of a unit normal.
            moved = 0.4 * alpha * abs(model.mean[0, 0]) / np.hypot(alpha, sigma)
            assert abs(weight - 0.3) < 4.5 * np.sqrt(0.21 / n) + moved + 0.5 * bias
