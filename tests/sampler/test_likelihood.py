"""The probability flow's log density is that of densities known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.model import Mixture
from fokker.process import CosineOptions, VarianceExplodingOptions, VariancePreservingOptions
from fokker.sampler import ReverseProcess
from fokker.sampler.likelihood import flow_log_density
from tests.helpers.analytic import TWO_WELLS, AnalyticMixture, molecule_gaussian
from tests.helpers.tools import FEATURES, bead_features

PROCESSES = {
    "vp": VariancePreservingOptions().build(),
    "ve": VarianceExplodingOptions().build(),
    "cosine": CosineOptions().build(),
}
T = 1e-4


@pytest.mark.parametrize("process", PROCESSES)
def test_of_two_wells(process: str):
    own = PROCESSES[process]
    model = AnalyticMixture.isotropic(**TWO_WELLS, process=own)
    x = model.sample(jax.random.key(0), 16, T)
    reverse = ReverseProcess(model, own, bead_features(1), False)
    found = flow_log_density(reverse, x, T)
    truth = -jax.vmap(lambda frame: model.energy(frame, jnp.asarray(T)))(x)
    # the prior has mean 0, not alpha(1) mu, which is at most 0.013 standard deviations
    np.testing.assert_allclose(found, np.asarray(truth), atol=0.06)


def test_of_a_molecule_in_the_space_without_its_centre_and_over_a_border():
    own = PROCESSES["vp"]
    model = molecule_gaussian(own)
    x = model.sample(jax.random.key(1), 4, T)
    mixture = Mixture((model, model), (0.0, 0.1, 1.0))
    found = flow_log_density(ReverseProcess(mixture, own, FEATURES, True), x, T)
    truth = -jax.vmap(lambda frame: model.energy(frame, jnp.asarray(T)))(x)
    np.testing.assert_allclose(found, truth, atol=0.1)
