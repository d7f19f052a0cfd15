r"""Noise processes.

A process is the linear stochastic differential equation `dx = f(t) x dt + g(t) dW` whose marginals
are `x_t = alpha(t) x_0 + sigma(t) eps`. It only states `log_alpha(t)` and `sigma(t)`; then

    f   = d log alpha / dt
    g^2 = d sigma^2 / dt - 2 f sigma^2

(Song et al., arXiv 2011.13456; Kingma et al., arXiv 2107.00630).
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from ..types import NoiseLevel, Scalar, Time


class AbstractProcess(eqx.Module):
    """A linear-drift diffusion on t in (0, 1]."""

    @abstractmethod
    def log_alpha(self, t: Time) -> Scalar:
        """Logarithm of the signal scale alpha(t)."""

    @abstractmethod
    def sigma(self, t: Time) -> Scalar:
        """Noise scale sigma(t)."""

    def alpha(self, t: Time) -> Scalar:
        """Signal scale alpha(t)."""
        return jnp.exp(self.log_alpha(t))

    def drift(self, t: Time) -> Scalar:
        """Coefficient f(t) of the linear drift f(t) x."""
        return jax.grad(self.log_alpha)(t)

    def diffusion_squared(self, t: Time) -> Scalar:
        """Squared diffusion coefficient g(t)^2."""
        sigma, sigma_dot = jax.value_and_grad(self.sigma)(t)
        return 2.0 * sigma * (sigma_dot - self.drift(t) * sigma)

    def level(self, t: Time) -> NoiseLevel:
        """Signal and noise scale at t."""
        return NoiseLevel(self.alpha(t), self.sigma(t))

    def log_snr(self, t: Time) -> Scalar:
        """Log signal-to-noise ratio, log(alpha^2 / sigma^2)."""
        return 2.0 * (self.log_alpha(t) - jnp.log(self.sigma(t)))
