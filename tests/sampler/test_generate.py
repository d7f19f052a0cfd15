"""The stream of batches, and what it guarantees whatever the sampler."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from fokker.errors import FokkerError
from fokker.model import AbstractScore, Mixture
from fokker.process import CosineOptions, VarianceExplodingOptions, VariancePreservingOptions
from fokker.sampler import (
    DPMSolverOptions,
    EulerMaruyamaOptions,
    ProbabilityFlowOptions,
    ReverseProcess,
    SamplerOptions,
    generate,
)
from fokker.types import Features, Positions, Time
from tests.helpers.analytic import TWO_WELLS, AnalyticMixture, molecule_mixture
from tests.helpers.tools import bead_features

VP = VariancePreservingOptions().build()
TWO_WELLS_VP = AnalyticMixture.isotropic(**TWO_WELLS, process=VP)
SAMPLERS = [
    DPMSolverOptions(),
    DPMSolverOptions(eta=1.0),
    EulerMaruyamaOptions(steps=100),
    ProbabilityFlowOptions(),
]


class Counting(AbstractScore):
    """Unit Gaussian that counts how often its score is traced."""

    scale: jax.Array
    traces: list = eqx.field(static=True)

    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        self.traces.append(1)
        return -self.scale * x


def stream(model=TWO_WELLS_VP, options=None, *, n=40, batch_size=16, shape=(1, 2), **rest):
    sampler = (options or DPMSolverOptions(steps=5, eta=1.0)).build()
    rest = {"centred": False, "key": jax.random.key(3), **rest}
    features = bead_features(shape[0])
    return generate(sampler, model, VP, features, n=n, shape=shape, batch_size=batch_size, **rest)


def draw(*arguments, **options):
    return np.concatenate(list(stream(*arguments, **options)))


def test_batches_have_the_advertised_form():
    batches = list(stream(n=40, batch_size=16))
    assert [batch.shape for batch in batches] == [(16, 1, 2), (16, 1, 2), (8, 1, 2)]
    assert all(batch.dtype == np.float32 for batch in batches)
    assert len(np.unique(np.concatenate(batches)[:, 0, 0])) == 40


def test_samples_do_not_depend_on_n_nor_on_where_the_run_started():
    whole = draw(n=40)
    np.testing.assert_array_equal(whole[:21], draw(n=21))
    np.testing.assert_array_equal(whole[32:], draw(n=40, first_batch=2))
    assert list(stream(n=40, first_batch=3)) == []


def test_one_compilation_for_all_batches_and_all_weights():
    traces = []
    list(stream(Counting(jnp.asarray(1.0), traces), n=16))
    first = len(traces)
    list(stream(Counting(jnp.asarray(0.9), traces), n=40))
    assert first > 0
    assert len(traces) == first


def test_batches_are_drawn_when_asked_for():
    progress = []
    batches = stream(n=40, on_batch=lambda done, n: progress.append((done, n)))
    assert progress == []
    next(batches)
    assert progress == [(16, 40)]
    list(batches)
    assert progress == [(16, 40), (32, 40), (40, 40)]


@pytest.mark.parametrize(("option", "value"), [("n", 0), ("batch_size", 0), ("first_batch", -1)])
def test_counts_out_of_range(option, value):
    with pytest.raises(FokkerError, match=rf"{option} is {value}"):
        stream(**{option: value})


@pytest.mark.parametrize("options", SAMPLERS)
def test_centred_systems_stay_centred(options):
    x = draw(molecule_mixture(VP), options, n=2048, batch_size=2048, shape=(5, 3), centred=True)
    # Round-off of positions of order 3 (24 at most at t = 1) over at most 100 steps.
    assert np.max(np.abs(x.mean(axis=1))) < 1e-4
    # The two conformations are mirror images; 4.5 standard errors and a bias of 0.02 in the weight.
    a, b, c = (x[:, i] - x[:, 0] for i in (1, 2, 3))
    mean = molecule_mixture(VP).means[0]
    orientation = np.linalg.det(mean[1:4] - mean[0])
    volume = np.sum(a * np.cross(b, c), axis=-1) * np.sign(orientation)
    exact = molecule_mixture(VP).sample(jax.random.key(0), 20_000)
    p, q, r = (np.asarray(exact[:, i] - exact[:, 0]) for i in (1, 2, 3))
    expected = np.mean(np.sum(p * np.cross(q, r), axis=-1) * np.sign(orientation) > 0)
    assert abs(np.mean(volume > 0) - expected) < 4.5 * np.sqrt(0.16 / 2048) + 0.02


@pytest.mark.parametrize("options", SAMPLERS)
def test_equal_experts_are_one_model(options):
    mixture = Mixture((TWO_WELLS_VP, TWO_WELLS_VP), (0.0, 0.3, 1.0))
    one = draw(options=options, n=256, batch_size=256)
    two = draw(mixture, options, n=256, batch_size=256)
    # Round-off is amplified where the flow parts, and an adaptive solver takes other steps.
    distance = np.max(np.abs(one - two), axis=(1, 2))
    assert np.quantile(distance, 0.98) < 1e-3


def test_experts_are_a_branch_not_a_selection():
    mixture = Mixture((TWO_WELLS_VP, TWO_WELLS_VP), (0.0, 0.3, 1.0))
    reverse = ReverseProcess(mixture, VP, bead_features(1), False)
    x, t = jnp.zeros((4, 1, 2)), jnp.asarray(0.5)
    assert "cond[" in str(jax.make_jaxpr(reverse.score)(x, t))
    batched = jax.vmap(lambda x, t: mixture.score(x, t, reverse.features))
    assert "cond[" not in str(jax.make_jaxpr(batched)(x, jnp.full(4, 0.5)))


def test_frames_that_fail_are_kept_and_not_finite():
    x = draw(options=ProbabilityFlowOptions(max_steps=2), n=40)
    assert x.shape == (40, 1, 2)
    assert np.all(np.isnan(x))


def test_prior_has_the_variance_of_noised_unit_data():
    process = VarianceExplodingOptions().build()
    reverse = ReverseProcess(TWO_WELLS_VP, process, bead_features(1), False)
    n = 50_000
    x = np.asarray(reverse.prior(jax.random.key(0), (n, 1, 2)))
    # 2 n values; the std of a variance of 401 is 401 sqrt(1 / n).
    assert abs(x.var() - 401.0) < 4.5 * 401.0 / np.sqrt(n)


@pytest.mark.parametrize(
    "process", [VP, VarianceExplodingOptions().build(), CosineOptions().build()]
)
def test_grids(process):
    times = DPMSolverOptions(steps=30).build().times(process)
    assert times.dtype == np.float64
    assert times[0] == 1.0
    assert times[-1] == 1e-5
    with jax.enable_x64(True):
        log_snr = np.asarray(jax.vmap(process.log_snr)(times))
    np.testing.assert_allclose(np.diff(log_snr), (log_snr[-1] - log_snr[0]) / 30, rtol=1e-9)
    uniform = EulerMaruyamaOptions(steps=30, grid="time").build().times(process)
    np.testing.assert_allclose(np.diff(uniform), (1e-5 - 1.0) / 30, rtol=1e-12)


def test_adaptive_grid_is_made_of_the_edges():
    times = ProbabilityFlowOptions().build().times(VP, (0.0, 0.1, 0.6, 1.0))
    np.testing.assert_array_equal(times, [1.0, 0.6, 0.1, 1e-5])


def test_options():
    adapter = TypeAdapter(SamplerOptions)
    sampler = adapter.validate_python({"name": "dpm-solver", "steps": 25}).build()
    assert sampler.evaluations == 25
    assert adapter.validate_python({"name": "euler-maruyama"}).build().evaluations == 1000
    assert adapter.validate_python({"name": "probability-flow"}).build().evaluations is None
    for wrong in ({"steps": 0}, {"t_min": 1.0}, {"eta": 1.5}, {"stepps": 3}):
        with pytest.raises(ValidationError):
            adapter.validate_python({"name": "dpm-solver", **wrong})
