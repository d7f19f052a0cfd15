"""Discretisation errors against closed forms.

For Gaussian data of standard deviation s the probability flow is the linear map `x_t = std(t) c`,
`std^2 = alpha^2 s^2 + sigma^2`, and the mean of the reverse diffusion is proportional to
`std^2 / alpha`. Both can be read off without any sampling noise.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.model import Mixture
from fokker.process import (
    AbstractProcess,
    CosineOptions,
    VarianceExplodingOptions,
    VariancePreservingOptions,
)
from fokker.sampler import (
    AbstractSampler,
    DPMSolverOptions,
    EulerMaruyamaOptions,
    ProbabilityFlowOptions,
    ReverseProcess,
    solve,
)
from tests.helpers.analytic import AnalyticMixture
from tests.helpers.tools import bead_features

pytestmark = pytest.mark.statistics

PROCESSES = [
    VariancePreservingOptions().build(),
    VarianceExplodingOptions().build(),
    CosineOptions().build(),
]
BOND = 0.018

compiled_solve = eqx.filter_jit(solve)


def gaussian(std: float, process: AbstractProcess) -> AnalyticMixture:
    return AnalyticMixture.isotropic([1.0], [[[0.0]]], [std], process)


def noised_std(std: float, process: AbstractProcess, t: float) -> float:
    alpha, sigma = process.level(jnp.asarray(t))
    return float(jnp.hypot(alpha * std, sigma))


def slope(sampler: AbstractSampler, model, process: AbstractProcess) -> float:
    """Derivative of the final with respect to the initial frame, with the noise held fixed."""
    reverse = ReverseProcess(model, process, bead_features(1), False)
    x = 100.0 * jnp.arange(2.0)[:, None, None]
    times = sampler.times(process, reverse.edges)
    key = jax.random.key(0)
    low, high = (compiled_solve(sampler, reverse, start[None], times, key)[0, 0, 0] for start in x)
    return float(high - low) / 100.0


def flow_error(sampler: AbstractSampler, std: float, process: AbstractProcess) -> float:
    """Relative error of the standard deviation of deterministic samples."""
    exact = noised_std(std, process, 1e-5) / noised_std(std, process, 1.0)
    return slope(sampler, gaussian(std, process), process) / exact - 1.0


def sampled_std(sampler: AbstractSampler, std: float, process: AbstractProcess, n: int) -> float:
    reverse = ReverseProcess(gaussian(std, process), process, bead_features(1), False)
    x = noised_std(std, process, 1.0) * jax.random.normal(jax.random.key(1), (n, 1, 1))
    times = sampler.times(process)
    return float(jnp.std(compiled_solve(sampler, reverse, x, times, jax.random.key(2))))


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("std", [BOND, 1.0])
def test_probability_flow_is_the_closed_form_map(process, std):
    assert abs(flow_error(ProbabilityFlowOptions().build(), std, process)) < 1e-4


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("std", [0.1, 1.0])
def test_dpm_solver_is_of_second_order(process, std):
    errors = [
        abs(flow_error(DPMSolverOptions(steps=steps).build(), std, process))
        for steps in (30, 60, 120)
    ]
    orders = -np.diff(np.log2(errors))
    assert np.all((orders > 1.7) & (orders < 2.5)), orders


@pytest.mark.parametrize("process", PROCESSES)
def test_narrow_direction_in_few_steps(process):
    """A bond: 1.9, 0.9, 0.5, 0.4 %; for the cosine process, with the longest range, 3.0 to 0.6."""
    bounds = {20: 0.032, 30: 0.017, 40: 0.010, 50: 0.007}
    for steps, bound in bounds.items():
        assert abs(flow_error(DPMSolverOptions(steps=steps).build(), BOND, process)) < bound


@pytest.mark.parametrize("process", PROCESSES)
def test_narrow_direction_in_few_stochastic_steps(process):
    n = 100_000
    # Bias by the exact recursion of the variance (second order), and 4.5 standard errors of a std.
    for steps, bias in {40: 0.024, 160: 0.002}.items():
        std = sampled_std(DPMSolverOptions(steps=steps, eta=1.0).build(), BOND, process, n)
        assert abs(std / BOND - 1.0) < bias + 4.5 / np.sqrt(2 * n)


@pytest.mark.parametrize(
    ("process", "grid"), [(PROCESSES[0], "time"), *((process, "log_snr") for process in PROCESSES)]
)
def test_euler_maruyama_is_of_weak_order_one_in_the_mean(process, grid):
    def relative_response(t):
        return noised_std(1.0, process, t) ** 2 / float(process.alpha(jnp.asarray(t)))

    exact = relative_response(1e-5) / relative_response(1.0)
    errors = []
    for steps in (200, 400, 800):
        sampler = EulerMaruyamaOptions(steps=steps, grid=grid).build()
        errors.append(abs(slope(sampler, gaussian(1.0, process), process) / exact - 1.0))
    orders = -np.diff(np.log2(errors))
    assert np.all((orders > 0.8) & (orders < 1.3)), orders


def test_euler_maruyama_is_of_weak_order_one_in_the_variance():
    process, n = PROCESSES[0], 40_000
    errors = [
        sampled_std(EulerMaruyamaOptions(steps=steps).build(), 1.0, process, n) ** 2 - 1.0
        for steps in (50, 100, 200)
    ]
    # The standard error of a variance is 0.7 % at this n, the last bias about 6 %.
    orders = -np.diff(np.log2(errors))
    assert np.all((orders > 0.6) & (orders < 1.5)), (errors, orders)


def jumping(process: AbstractProcess) -> tuple[Mixture, float]:
    """Experts that disagree by several per cent, and the exact map of their probability flow."""
    edges, stds = (0.0, 0.1, 0.6, 1.0), (0.30, 0.32, 0.29)
    mixture = Mixture(tuple(gaussian(std, process) for std in stds), edges)
    exact = 1.0
    for std, low, high in zip(stds, (1e-5, 0.1, 0.6), edges[1:], strict=True):
        exact *= noised_std(std, process, low) / noised_std(std, process, high)
    return mixture, exact


def test_probability_flow_follows_each_expert_in_its_own_interval():
    process = PROCESSES[0]
    mixture, exact = jumping(process)
    map_slope = slope(ProbabilityFlowOptions().build(), mixture, process)
    assert abs(map_slope / exact - 1.0) < 1e-4


@pytest.mark.parametrize("process", PROCESSES)
def test_dpm_solver_needs_no_restart_at_a_jump_of_experts(process):
    """Its error stays what it is for one expert, 1 %, and a jump adds at most h/2 of itself."""
    mixture, exact = jumping(process)
    sampler = DPMSolverOptions().build()
    h = 0.5 * np.ptp(np.asarray(jax.vmap(process.log_snr)(jnp.array([1e-5, 1.0])))) / sampler.steps
    allowed = 0.010 + 0.5 * h * 0.03
    assert abs(slope(sampler, mixture, process) / exact - 1.0) < allowed
