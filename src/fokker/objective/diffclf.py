"""Diffusive classification: the energies at two times must tell apart the frames of the two."""

from typing import Literal

import jax
import jax.numpy as jnp
from pydantic import Field

from ..options import Options
from ..types import Key, Scalar
from .base import NO_MOLECULE, AbstractObjective, Evaluation, Molecule


class ClassificationOptions(Options):
    """Options of diffusive classification."""

    name: Literal["diffclf"] = "diffclf"
    weight: float = Field(default=1.0, ge=0)
    fraction: float = Field(
        default=1.0, gt=0, le=1, description="part of the batch that carries this term"
    )

    def build(self, molecule: Molecule = NO_MOLECULE) -> "DiffusiveClassification":
        """Return the objective."""
        return DiffusiveClassification()


class DiffusiveClassification(AbstractObjective):
    r"""Logistic loss of telling time s from time t by the model's own log densities.

    With `l_t(y) = -energy(y, t)`:

        softplus(l_t(x_s) - l_s(x_s)) + softplus(l_s(x_t) - l_t(x_t))

    (arXiv 2601.21025). Its minimum over all functions is the true log density ratio
    `log q_s - log q_t`, normalisation included, so no constant c(t) stands beside the energy: the
    network's own dependence on t takes its place. Both frames come from the same clean frame and
    noise; the loss is a sum of two expectations, one over each marginal, which allows any coupling.
    """

    @property
    def times_per_frame(self) -> int:
        """Two times."""
        return 2

    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """See `AbstractObjective`."""
        noised = evaluation.noised
        energy = evaluation.energy_model.energy
        # Consecutive frames are pairs (s, t); swapping within pairs gives the crossed energies.
        swapped = noised.times.reshape(-1, 2)[:, ::-1].ravel()
        crossed = jax.vmap(lambda x, t: energy(x, t, noised.features))(noised.frames, swapped)
        return 2.0 * jnp.mean(jax.nn.softplus(evaluation.energies - crossed))
