"""Weighted samples have the density of the energy, whatever led to them."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.metrics import Ancestry
from fokker.model import AbstractEnergy, Mixture, ScoreModel
from fokker.network import InvariantOptions
from fokker.process import CosineOptions, VarianceExplodingOptions, VariancePreservingOptions
from fokker.sampler import AnnealedOptions, EnergyPath, Island, ReverseProcess, generate_weighted
from fokker.sampler.particles import Particles, effective_share, resample
from tests.helpers.analytic import AnalyticMixture, molecule_mixture
from tests.helpers.tools import FEATURES, bead_features, molecule_inputs, randomise

VP = VariancePreservingOptions().build()
PROCESSES = {
    "vp": VP,
    "ve": VarianceExplodingOptions().build(),
    "cosine": CosineOptions().build(),
}
WATERSHED = -0.55
"""Between the wells, more than four standard deviations from each."""


def wells(process=VP, degrees: int = 2) -> AnalyticMixture:
    """Two wells along the first axis, weights 0.3 and 0.7, in so many dimensions."""
    means = np.zeros((2, 1, degrees))
    means[:, 0, 0] = -1.2, 0.9
    return AnalyticMixture.isotropic([0.3, 0.7], means, [0.15, 0.35], process)


WRONG = AnalyticMixture.isotropic([0.6, 0.4], [[[-1.0, 0.4]], [[1.0, -0.3]]], [0.2, 0.3], VP)


class Damaged(AbstractEnergy):
    """An energy with a network's worth of noise on top, and a constant of its own."""

    inner: AbstractEnergy
    noise: eqx.nn.MLP

    def energy(self, x, t, features):
        return self.inner.energy(x, t, features) + self.noise(x.ravel()) + 7.0

    def energy_and_score(self, x, t, features):
        value, gradient = jax.value_and_grad(self.energy)(x, t, features)
        return value, -gradient

    def score(self, x, t, features):
        return self.energy_and_score(x, t, features)[1]


def damaged(inner: AbstractEnergy) -> Damaged:
    return Damaged(inner, eqx.nn.MLP(2, "scalar", 16, 1, jnp.tanh, key=jax.random.key(4)))


def path_of(model, process=VP, features=None, *, centred: bool = False) -> EnergyPath:
    return EnergyPath.of(
        ReverseProcess(model, process, features or bead_features(1), centred), 1e-5
    )


def mean_of(island: Island, values) -> tuple[float, float]:
    """Mean over the frames of an island, and its error by ancestors."""
    even = np.zeros(len(island.frames))
    return Ancestry.of(even, island.ancestor).mean(np.asarray(values, float))


CASES = {
    "vp": (wells(), VP, 2),
    "ve": (wells(PROCESSES["ve"]), PROCESSES["ve"], 2),
    "cosine": (wells(PROCESSES["cosine"]), PROCESSES["cosine"], 2),
    "1 dimension": (wells(degrees=1), VP, 1),
    "30 dimensions": (wells(degrees=30), VP, 30),
    "wrong at large times": (Mixture((wells(), WRONG), (0.0, 0.1, 1.0)), VP, 2),
    "damaged at large times": (Mixture((wells(), damaged(wells())), (0.0, 0.1, 1.0)), VP, 2),
}


@cache
def islands(case: str, repeats: int, size: int) -> list[Island]:
    model, process, degrees = CASES[case]
    path, sampler = path_of(model, process), AnnealedOptions().build()
    schedule = sampler.plan(path, (1, degrees), jax.random.key(0))
    keys = [jax.random.key(1 + i) for i in range(repeats)]
    return [sampler.draw(path, schedule, (size, 1, degrees), key) for key in keys]


@pytest.mark.statistics
@pytest.mark.parametrize("case", CASES)
def test_weighted_means_and_normalisation_are_exact_and_their_errors_cover(case: str):
    repeats = 250
    found, left = [], []
    for island in islands(case, repeats, 256):
        found.append((island.log_normalisation, island.error))
        left.append(mean_of(island, island.frames[:, 0, 0] < WATERSHED))
    log_z, log_z_error = np.array(found).T
    # the density of the wells is normalised, so the mean weight of an island is 1 in the mean
    z = np.exp(log_z)
    assert abs(z.mean() - 1.0) < 4.5 * z.std() / np.sqrt(repeats)
    value, value_error = np.array(left).T
    # a ratio of means of 256 has a bias of a hundredth of its error's square, below what is seen
    assert abs(value.mean() - 0.3) < 4.5 * value.std() / np.sqrt(repeats) + 0.002
    for inside in (np.abs(log_z) < log_z_error, np.abs(value - 0.3) < value_error):
        # of 0.683; 4.5 standard errors of a share of 250, and 0.05 for tails that are no Gaussian's
        assert abs(inside.mean() - 0.683) < 4.5 * np.sqrt(0.22 / repeats) + 0.05


@pytest.mark.statistics
def test_a_damaged_expert_costs_effective_samples_alone():
    def effective(case: str) -> float:
        return float(np.mean([island.effective for island in islands(case, 250, 256)]))

    assert effective("wrong at large times") < 0.8 * effective("vp")
    assert effective("damaged at large times") < 0.8 * effective("vp")


def test_the_constants_of_experts_do_not_matter_but_the_last_ones():
    class Raised(AbstractEnergy):
        inner: AbstractEnergy
        by: float

        def energy(self, x, t, features):
            return self.inner.energy(x, t, features) + self.by

        def energy_and_score(self, x, t, features):
            value, score = self.inner.energy_and_score(x, t, features)
            return value + self.by, score

        def score(self, x, t, features):
            return self.inner.score(x, t, features)

    plain = Mixture((wells(), wells()), (0.0, 0.1, 1.0))
    raised = Mixture((Raised(wells(), 3.0), Raised(wells(), -20.0)), (0.0, 0.1, 1.0))
    sampler, key = AnnealedOptions(resample=0.0).build(), jax.random.key(2)
    schedule = sampler.plan(path_of(plain), (1, 2), key)
    one, other = (
        sampler.draw(path_of(model), schedule, (512, 1, 2), key) for model in (plain, raised)
    )
    # single precision of numbers near 20
    assert one.log_normalisation - 3.0 == pytest.approx(other.log_normalisation, abs=1e-3)
    assert one.error == pytest.approx(other.error, rel=1e-2)
    # as many copies of a particle, but where a rounded weight falls to the other side
    same = np.all(np.abs(one.frames - other.frames) < 1e-4, axis=(1, 2))
    assert same.mean() > 0.98


@pytest.mark.parametrize("t", [1e-5, 0.09, 0.1, 0.12])
def test_at_the_smallest_time_the_energy_is_that_of_one_expert(t: float):
    model = Mixture((wells(), WRONG), (0.0, 0.1, 1.0))
    path = EnergyPath.of(ReverseProcess(model, VP, bead_features(1), False), t)
    x, time = wells().sample(jax.random.key(0), 5), jnp.asarray(t)
    own = model.expert_at(float(time))
    expected = jax.vmap(lambda frame: own.energy(frame, time, None))(x)
    np.testing.assert_allclose(path.energy_and_score(x, time)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_molecule_keeps_its_centre_and_its_chirality():
    model = molecule_mixture(VP)
    path = path_of(model, features=FEATURES, centred=True)
    sampler, key = AnnealedOptions().build(), jax.random.key(3)
    schedule = sampler.plan(path, (5, 3), key)
    island = sampler.draw(path, schedule, (4096, 5, 3), key)
    assert np.abs(island.frames.mean(axis=1)).max() < 1e-4
    distance = [np.sum((island.frames - mean) ** 2, axis=(1, 2)) for mean in model.means]
    truth = np.asarray(model.sample(key, 200_000))
    share = np.mean(
        np.sum((truth - model.means[0]) ** 2, axis=(1, 2))
        < np.sum((truth - model.means[1]) ** 2, axis=(1, 2))
    )
    value, error = mean_of(island, distance[0] < distance[1])
    assert abs(value - share) < 4.5 * error
    assert error < 0.02


def test_steps_are_as_many_as_the_variance_asks_for_and_never_more_than_allowed():
    path, key = path_of(wells(degrees=30)), jax.random.key(0)
    few = AnnealedOptions(variance=0.02).build().plan(path, (1, 30), key)
    many = AnnealedOptions(variance=0.005).build().plan(path, (1, 30), key)
    # half the length, but where the longest step allowed is shorter
    assert 1.5 < len(many.curvature) / len(few.curvature) <= 2.1
    cut = AnnealedOptions(variance=1e-4, most_steps=50).build().plan(path, (1, 30), key)
    assert len(cut.curvature) == 50
    for schedule in (few, many, cut):
        assert schedule.times[0] == 1.0
        assert schedule.times[-1] == 1e-5
        assert np.all(np.diff(schedule.times) < 0)


def test_resampling_is_systematic_and_remembers_ancestors():
    weight = np.array([0.05, 0.45, 0.1, 0.4])
    zeros = jnp.zeros((4, 1, 1))
    before = Particles(
        jnp.arange(4.0)[:, None, None],
        jnp.zeros(4),
        zeros,
        jnp.log(jnp.asarray(3.0 * weight, jnp.float32)),
        jnp.array([7, 8, 9, 9]),
        jnp.asarray(0.5),
    )
    drawn = jax.jit(lambda particles, key: resample(particles, 1.0, key))
    counts = np.zeros(4)
    for seed in range(200):
        after = drawn(before, jax.random.key(seed))
        own = np.bincount(np.asarray(after.x[:, 0, 0], int), minlength=4)
        assert np.all(own >= np.floor(4 * weight))
        assert np.all(own <= np.ceil(4 * weight))
        counts += own
        assert np.array_equal(
            np.asarray(after.ancestor), np.array([7, 8, 9, 9])[np.asarray(after.x[:, 0, 0], int)]
        )
        assert float(after.log_normalisation) == pytest.approx(0.5 + np.log(3.0 / 4.0), abs=1e-6)
        assert float(effective_share(after)) == pytest.approx(1.0)
    np.testing.assert_allclose(counts / 800, weight, atol=4.5 * np.sqrt(0.25 / 800))
    untouched = resample(before, 0.1, jax.random.key(0))
    assert all(np.array_equal(a, b) for a, b in zip(untouched, before, strict=True))


def test_islands_do_not_depend_on_where_a_run_started_or_on_how_many_are_asked_for():
    def draw(n: int, first: int) -> list[Island]:
        stream = generate_weighted(
            AnnealedOptions(variance=0.05).build(),
            path_of(wells()),
            n=n,
            shape=(1, 2),
            key=jax.random.key(5),
            batch_size=64,
            first_batch=first,
        )
        return list(stream)

    whole, later = draw(192, 0), draw(150, 2)
    assert [len(island.frames) for island in whole] == [64, 64, 64]
    assert [len(island.frames) for island in later] == [22]
    assert np.array_equal(whole[2].frames[:22], later[0].frames)
    # a cut island is worth as much less
    assert later[0].effective == pytest.approx(whole[2].effective * 22 / 64)
    assert whole[2].log_normalisation == later[0].log_normalisation
    assert np.all(np.diff(whole[0].ancestor) >= 0)


def test_an_expert_without_an_energy_is_refused():
    network = InvariantOptions(width=8, depth=1).build(
        molecule_inputs(), "score", jax.random.key(0)
    )
    model = Mixture(
        (molecule_mixture(VP), randomise(ScoreModel(network, VP, True))), (0.0, 0.5, 1.0)
    )
    with pytest.raises(FokkerError, match=r"expert 2 of 2 has none; use .*dpm-solver"):
        path_of(model, features=FEATURES, centred=True)


def test_an_energy_that_is_never_finite_is_said_to_be_so():
    class Broken(Damaged):
        def energy(self, x, t, features):
            return jnp.where(t < 0.3, jnp.nan, 1.0) * self.inner.energy(x, t, features)

    path = path_of(Broken(wells(), damaged(wells()).noise))
    with pytest.raises(FokkerError, match=r"came through t = 0\.[23]"):
        AnnealedOptions().build().plan(path, (1, 2), jax.random.key(0))


def test_resampling_takes_over_where_one_particle_in_thousands_is_right():
    # the large times know one well alone; 1 in 2,000 particles begins its way in the other
    wrong = AnalyticMixture.isotropic(
        [0.0005, 0.9995], [[[-1.2, 0.0]], [[0.9, 0.0]]], [0.15, 0.35], VP
    )
    path = path_of(Mixture((wells(), wrong), (0.0, 0.001, 1.0)))
    sampler, key = AnnealedOptions().build(), jax.random.key(6)
    schedule = sampler.plan(path, (1, 2), key)
    island = sampler.draw(path, schedule, (16_384, 1, 2), key)
    value, error = mean_of(island, island.frames[:, 0, 0] < WATERSHED)
    assert abs(value - 0.3) < 4.5 * error
    # some ten of them carry a third of the weight, and the count says so
    assert island.effective < 16_384 / 30
    assert error > 0.05
