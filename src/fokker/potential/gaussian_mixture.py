"""Gaussian mixture target and the two bimodal demonstrations."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import random
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from ..types import Key, Positions, Scalar
from .base import AbstractAnalyticTarget


class GaussianMixture(AbstractAnalyticTarget):
    """`p(x_0) = sum_k w_k N(x_0; mu_k, s_k^2 I)`.

    The noised marginal is a mixture with the same weights, means `alpha mu_k` and variances
    `alpha^2 s_k^2 + sigma^2`.

    Parameters
    ----------
    weights : shape (k,), positive, summing to one
    means : shape (k, beads, dim)
    standard_deviations : shape (k,)
    """

    weights: Float[Array, " k"] = eqx.field(converter=jnp.asarray)
    means: Float[Array, "k beads dim"] = eqx.field(converter=jnp.asarray)
    standard_deviations: Float[Array, " k"] = eqx.field(converter=jnp.asarray)

    def log_density(self, x: Positions, alpha: Scalar, sigma: Scalar) -> Scalar:
        """Normalised log density of x_t."""
        scale = jnp.sqrt((alpha * self.standard_deviations) ** 2 + sigma**2)
        log_component = jax.vmap(lambda mean, s: norm.logpdf(x, alpha * mean, s).sum())
        return logsumexp(jnp.log(self.weights) + log_component(self.means, scale))

    def sample(self, key: Key, n: int) -> Float[Array, "n beads dim"]:
        """Return n independent frames."""
        key_component, key_noise = random.split(key)
        component = random.categorical(key_component, jnp.log(self.weights), shape=(n,))
        noise = random.normal(key_noise, (n, *self.means.shape[1:]))
        scale = self.standard_deviations[component][:, None, None]
        return self.means[component] + scale * noise


def bimodal_1d() -> GaussianMixture:
    """Modes at -1 (weight 1/3) and +1 (weight 2/3), standard deviation 0.35, one coordinate.

    The modes are 5.7 standard deviations apart and of unequal weight, so that a spurious mode
    between them and a wrong balance between them can both be seen.
    """
    return GaussianMixture([1 / 3, 2 / 3], [[[-1.0]], [[1.0]]], [0.35, 0.35])


def bimodal_2d() -> GaussianMixture:
    """Modes at -(0.75, 0.75) (weight 1/3) and +(0.75, 0.75) (weight 2/3), deviation 0.35."""
    return GaussianMixture([1 / 3, 2 / 3], [[[-0.75, -0.75]], [[0.75, 0.75]]], [0.35, 0.35])
