r"""A potential of every internal coordinate of its own, at every noise level.

    V(x_t) = sum over coordinates u, over k   c_uk(rho) exp(-(u - alpha^p m_uk)^2 / (2 s_uk^2)),
    s_uk^2 = alpha^2p d_uk^2 + n_u(sigma),                 rho = sigma / alpha,

with p = 1 for a distance and 3 for a volume, and the heights `c` learned. Centres `m` are quantiles
of the clean coordinate and `d` their spacing, so a potential is fine where frames are many: a
native contact of a long chain is a well of 0.05 nm in a distance that goes over several nm, which a
network that is told the distance over its standard deviation sees as a step. `n_u` is what noise
adds to the variance of the coordinate, so that Gaussians widen as the density of the noised
coordinate does. Structure-based and most coarse force fields are sums of this kind at `sigma = 0`;
what is not is left to the rest of the network.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..types import NoiseLevel, Scalar
from .base import level_weights
from .coordinates import Coordinates

N_LEVELS, HIGHEST = 8, 3.0
"""Noise levels rho that heights are learned at, evenly in log rho up to the highest."""


class Potentials(eqx.Module):
    """A sum of Gaussians in each coordinate.

    Attributes
    ----------
    centre, width
        Of the clean coordinate.
    finest
        rho below which levels are not told apart, see `noise_embedding`.
    height
        kT; learned, zero before training.
    """

    centre: Float[np.ndarray, "gaussians coordinates"]
    width: Float[np.ndarray, "gaussians coordinates"]
    finest: Float[np.ndarray, ""]
    height: Float[Array, "levels gaussians coordinates"]

    @staticmethod
    def on(values: Float[np.ndarray, "frames coordinates"], n: int, finest: float) -> Potentials:
        """Place n Gaussians on the values of each coordinate in clean frames.

        Parameters
        ----------
        values
            In units of the data scale.
        n
            Gaussians a coordinate, at least 2.
        finest
            Least noise level told from none.
        """
        centre = np.quantile(values, (np.arange(n) + 0.5) / n, axis=0)
        # of many equal values, as of a constrained bond, none may be narrower than rounding
        width = np.maximum(np.gradient(centre, axis=0), 1e-4 * (1.0 + np.abs(centre)))
        return Potentials(
            centre.astype(np.float32),
            width.astype(np.float32),
            np.asarray(finest, np.float32),
            jnp.zeros((N_LEVELS, *centre.shape)),
        )

    def __call__(self, coordinates: Coordinates, level: NoiseLevel) -> Scalar:
        """Energy in kT."""
        value, shrunk, noise = coordinates
        share = level_weights(level, jnp.asarray(self.finest), HIGHEST, N_LEVELS)
        height = jnp.tensordot(share, self.height, 1)
        variance = (shrunk * self.width) ** 2 + noise
        gaussians = jnp.exp(-0.5 * (value - shrunk * self.centre) ** 2 / variance)
        return jnp.sum(height * gaussians)
