r"""What a sampler integrates: a score model over a noise process, for a batch of frames.

Time reversal of `dx = f x dt + g dW` (Song et al., arXiv 2011.13456, equations 6 and 13):

    dx = (f x - g^2 score) dt + g dW        stochastic, dt < 0
    dx = (f x - g^2 score / 2) dt           probability flow, same marginals
"""

from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..model import AbstractScore, Mixture
from ..network.padding import centre, count, keep
from ..process import AbstractProcess
from ..types import Features, Key, Time

Frames: TypeAlias = Float[Array, "frames beads dim"]


class ReverseProcess(eqx.Module):
    """A score model over a noise process, batched over frames at one common time.

    The time is never batched, so the branch of a mixture of experts stays a branch.

    Attributes
    ----------
    model, process
        Score of the noised density, and the process that noised it.
    features
        What the beads are; padding gets no noise.
    centred
        Whether the density lives in the centre-of-mass-free space; the noise is projected then.
    """

    model: AbstractScore
    process: AbstractProcess
    features: Features
    centred: bool = eqx.field(static=True)

    @property
    def experts(self) -> tuple[AbstractScore, ...]:
        """Experts over time, smallest times first; the model itself if it is no mixture."""
        return self.model.experts if isinstance(self.model, Mixture) else (self.model,)

    @property
    def edges(self) -> tuple[float, ...]:
        """Times between which one expert serves; the score may jump at the inner ones."""
        return self.model.edges if isinstance(self.model, Mixture) else (0.0, 1.0)

    def score(self, x: Frames, t: Time) -> Frames:
        """Score of every frame at one time."""
        return jax.vmap(self.model.score, in_axes=(0, None, None))(x, t, self.features)

    def denoised(self, x: Frames, t: Time) -> Frames:
        """`E[x_0 | x_t] = (x + sigma^2 score) / alpha` (Tweedie's formula)."""
        alpha, sigma = self.process.level(t)
        return (x + sigma**2 * self.score(x, t)) / alpha

    def degrees_of_freedom(self, x: Frames) -> Int[Array, ""] | int:
        """Dimension of the space that the density lives in."""
        beads = count(self.features.present, x.shape[1])
        return (beads - 1 if self.centred else beads) * x.shape[2]

    def noise(self, key: Key, shape: tuple[int, ...]) -> Frames:
        """Standard normal noise in the space that the density lives in."""
        noise = jax.random.normal(key, shape)
        return (centre if self.centred else keep)(noise, self.features.present)

    def prior(self, key: Key, shape: tuple[int, ...]) -> Frames:
        """Frames at t = 1: Gaussian with variance `alpha(1)^2 + sigma(1)^2`.

        That is the variance of noised data of unit variance. It is 1 where variance is preserved;
        where it explodes, `sigma(1)^2` alone would leave the data's own spread out.
        """
        alpha, sigma = self.process.level(jnp.asarray(1.0))
        return jnp.sqrt(alpha**2 + sigma**2) * self.noise(key, shape)

    def prior_log_density(self, x: Frames) -> Float[Array, " frames"]:
        """Normalised log density of `prior`."""
        alpha, sigma = self.process.level(jnp.asarray(1.0))
        variance = alpha**2 + sigma**2
        log_volume = 0.5 * self.degrees_of_freedom(x) * jnp.log(2.0 * jnp.pi * variance)
        return -0.5 * jnp.sum(x**2, axis=(1, 2)) / variance - log_volume
