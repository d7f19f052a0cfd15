"""Non-conservative models: the network gives the score itself."""

import jax.numpy as jnp

from ..network import AbstractNetwork
from ..network.padding import centre, keep
from ..process import AbstractProcess
from ..types import Features, Positions, Time
from .base import AbstractScore


class ScoreModel(AbstractScore):
    r"""Score from a preconditioned denoiser.

    With data of unit variance the denoiser is `E[x_0 | x_t] = alpha x / v + sigma / sqrt(v) F`,
    `v = alpha^2 + sigma^2`, and `score = (alpha E[x_0 | x_t] - x) / sigma^2`, that is

        score = -x / v + alpha / (sigma sqrt(v)) F(x)

    (Karras et al., arXiv 2206.00364, equation 7, in this process's scales). It can sample; it can
    drive no simulation that conserves energy.
    """

    network: AbstractNetwork
    process: AbstractProcess
    centred: bool

    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        """See `AbstractScore`."""
        level = self.process.level(t)
        variance = level.alpha**2 + level.sigma**2
        raw = self.network(keep(x, features.present), level, features)
        project = centre if self.centred else keep
        x, raw = project(x, features.present), project(raw, features.present)
        return -x / variance + level.alpha / (level.sigma * jnp.sqrt(variance)) * raw


class FieldModel(AbstractScore):
    """A vector field that need be no gradient, with what an energy has beside that.

    A denoiser has the error of its network divided by sigma, far more near t = 0 than the gradient
    of an energy has there. Here the network gives what that gradient would be, on the same scale:
    the two differ in nothing but the curl.
    """

    network: AbstractNetwork
    process: AbstractProcess
    centred: bool

    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        """See `AbstractScore`."""
        project = centre if self.centred else keep
        score = self.network(keep(x, features.present), self.process.level(t), features)
        return project(score, features.present)
