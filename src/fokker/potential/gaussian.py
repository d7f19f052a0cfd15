"""Gaussian target."""

import jax.numpy as jnp
from jax import random
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from ..types import Key, Positions, Scalar
from .base import AbstractAnalyticTarget


class Gaussian(AbstractAnalyticTarget):
    """Independent coordinates, `x_0 ~ N(mean, diag(standard_deviation^2))`.

    The noised marginal is `N(alpha mean, alpha^2 standard_deviation^2 + sigma^2)`.
    """

    mean: Positions
    standard_deviation: Positions

    def log_density(self, x: Positions, alpha: Scalar, sigma: Scalar) -> Scalar:
        """Normalised log density of x_t."""
        scale = jnp.sqrt((alpha * self.standard_deviation) ** 2 + sigma**2)
        return norm.logpdf(x, alpha * self.mean, scale).sum()

    def sample(self, key: Key, n: int) -> Float[Array, "n beads dim"]:
        """Return n independent frames."""
        noise = random.normal(key, (n, *self.mean.shape))
        return self.mean + self.standard_deviation * noise
