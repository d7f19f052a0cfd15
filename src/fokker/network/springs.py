r"""A network of springs between all beads, as stiff as the frames say, at every noise level.

    base(x_t) = sum over pairs  w_k(rho) z_r^2,        rho = sigma / alpha,

with the standardised distances `z_r` of `invariant` and one stiffness `w_k` for all pairs of a
kind: one bond apart, two, three, ... Beads in pure noise are held by springs of `w = 1/N` between
all pairs, which then are the exact energy. The bonds of a molecule are nearly independent of each
other and of the rest: `w = 1/2` for these and little for pairs far apart. In between nothing simple
holds, so the stiffnesses are those of least score-matching loss (Hyvarinen, JMLR 6, 695, 2005):
with `phi_k` the sum of `z_r^2` over a kind, the minimum over `w >= 0` of

    1/2 w A w - b w,        A_kl = E grad phi_k . grad phi_l,        b_k = E laplace phi_k,

over noised frames. It takes 4 s for 100 beads and spares the trunk what grows with their number:
with `w = 1/N` the bonds of 100 beads are held fifty times too weakly.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..types import NoiseLevel
from .base import level_weights

LEVELS = np.geomspace(1e-3, 30.0, 24).astype(np.float32)
"""rho; at the last one every spring has `1/N`."""

_MOST_FRAMES, _MOST_LENGTHS = 2048, 2_000_000


class Springs(eqx.Module):
    """Stiffness of every pair at a noise level.

    Attributes
    ----------
    kind
        Of each pair.
    stiffness
        `w_k` at `LEVELS`.
    constant
        Whether it is the same at all of them: a derivative in time that cancels only but for
        rounding would spoil residuals near t = 0.
    """

    kind: Int[np.ndarray, " pairs"]
    stiffness: Float[np.ndarray, "levels kinds"]
    constant: bool = eqx.field(static=True, default=False)

    def __call__(self, level: NoiseLevel) -> Float[Array, " pairs"]:
        """Between the levels of the grid, smoothly: its derivative in time is part of residuals."""
        if self.constant:
            return jnp.asarray(self.stiffness)[0, jnp.asarray(self.kind)]
        share = level_weights(level, float(LEVELS[0]), float(LEVELS[-1]), len(LEVELS))
        return (share @ jnp.asarray(self.stiffness))[jnp.asarray(self.kind)]

    @staticmethod
    def alike(n_beads: int, n_pairs: int) -> Springs:
        """`1/N` for every pair at every noise level."""
        stiffness = np.full((len(LEVELS), 1), 1.0 / n_beads, np.float32)
        return Springs(np.zeros(n_pairs, np.int32), stiffness, constant=True)

    @staticmethod
    def fitted(
        frames: Float[np.ndarray, "frames beads 3"],
        pairs: Int[np.ndarray, "pairs 2"],
        kind: Int[np.ndarray, " pairs"],
        mean: Float[np.ndarray, " pairs"],
        std: Float[np.ndarray, " pairs"],
    ) -> Springs:
        """Springs of least score-matching loss.

        Parameters
        ----------
        frames
            Clean, centred and scaled.
        pairs, kind
            Beads of each distance, and which have the same stiffness: 0, 1, ...
        mean, std
            Of the clean distances.
        """
        every = max(1, len(frames) // min(_MOST_FRAMES, max(64, _MOST_LENGTHS // len(pairs))))
        clean, random = frames[::every].astype(np.float64), np.random.default_rng(0)
        stiffness = np.full((len(LEVELS), kind.max() + 1), 1.0 / clean.shape[1], np.float32)
        for row, rho in enumerate(LEVELS[:-1]):
            noise = random.normal(size=clean.shape)
            noised = clean + rho * (noise - noise.mean(axis=1, keepdims=True))
            a, b = _moments(noised, pairs, kind, mean, std**2 + 2 * rho**2)
            stiffness[row] = _of_least_loss(a, b)
        return Springs(kind.astype(np.int32), stiffness)


def _moments(
    x: Float[np.ndarray, "frames beads 3"],
    pairs: Int[np.ndarray, "pairs 2"],
    kind: Int[np.ndarray, " pairs"],
    mean: Float[np.ndarray, " pairs"],
    variance: Float[np.ndarray, " pairs"],
) -> tuple[Float[np.ndarray, "kinds kinds"], Float[np.ndarray, " kinds"]]:
    """A and b."""
    gradients, laplacians = [], []
    for k in range(kind.max() + 1):
        own = kind == k
        (i, j), m, v = pairs[own].T, mean[own], variance[own]
        d = x[:, i] - x[:, j]
        r = np.linalg.norm(d, axis=-1)
        along = (2.0 * (r - m) / (v * r))[..., None] * d
        onto_beads = _incidence(i, x.shape[1]) - _incidence(j, x.shape[1])
        of_beads = onto_beads @ along.transpose(1, 0, 2).reshape(len(i), -1)
        gradients.append(of_beads.ravel() / np.sqrt(len(x)))
        laplacians.append(np.mean(np.sum(4.0 / v * (3.0 - 2.0 * m / r), axis=1)))
    stacked = np.stack(gradients)
    return stacked @ stacked.T, np.array(laplacians)


def _incidence(bead: Int[np.ndarray, " pairs"], n_beads: int) -> Any:
    """Sparse matrix that adds up what each bead has of all pairs, shape (beads, pairs)."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(bead)), (bead, np.arange(len(bead)))), (n_beads, len(bead)))


def _of_least_loss(
    a: Float[np.ndarray, "kinds kinds"], b: Float[np.ndarray, " kinds"]
) -> Float[np.ndarray, " kinds"]:
    """Minimum of `1/2 w A w - b w` over `w >= 0`."""
    from scipy.optimize import nnls

    root = np.linalg.cholesky(a + 1e-9 * np.trace(a) / len(a) * np.eye(len(a))).T
    return nnls(root, np.linalg.solve(root.T, b))[0]
