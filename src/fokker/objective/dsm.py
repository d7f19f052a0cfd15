"""Denoising score matching."""

from typing import Literal

import jax
import jax.numpy as jnp
from pydantic import Field

from ..options import Options
from ..types import Key, Scalar
from .base import NO_MOLECULE, AbstractObjective, Evaluation, Molecule


class DenoisingOptions(Options):
    """Options of denoising score matching."""

    name: Literal["dsm"] = "dsm"
    weight: float = Field(default=1.0, ge=0)

    def build(self, molecule: Molecule = NO_MOLECULE) -> "DenoisingScoreMatching":
        """Return the objective."""
        return DenoisingScoreMatching()


class DenoisingScoreMatching(AbstractObjective):
    """`|| sigma(t) score(x_t, t) + eps ||^2 / D`, the mean over the times of a frame.

    Source: Vincent 2011; Song et al., arXiv 2011.13456, equation 7 with weight sigma^2. In the
    centre-of-mass-free space `eps` is projected, so the target is reachable.
    """

    @property
    def times_per_frame(self) -> int:
        """One time."""
        return 1

    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """See `AbstractObjective`."""
        noised = evaluation.noised
        sigma = jax.vmap(evaluation.process.sigma)(noised.times)
        error = sigma[:, None, None] * evaluation.scores + noised.noise
        return jnp.mean(jnp.sum(error**2, axis=(1, 2))) / noised.degrees_of_freedom
