"""Fitted Fokker-Planck: the energy's change in time follows the score, which is held still."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from pydantic import Field

from ..options import Options
from ..types import Key, Positions, Scalar, Time
from .base import NO_MOLECULE, AbstractObjective, Evaluation, Molecule


class FittedOptions(Options):
    """Options of the fitted Fokker-Planck term."""

    name: Literal["fitted"] = "fitted"
    weight: float = Field(default=1.0, ge=0)
    fraction: float = Field(
        default=0.25, gt=0, le=1, description="part of the batch that carries this term"
    )

    def build(self, molecule: Molecule = NO_MOLECULE) -> "FittedFokkerPlanck":
        """Return the objective."""
        return FittedFokkerPlanck()


class FittedFokkerPlanck(AbstractObjective):
    r"""`(sigma^2 / g^2)^2 D^-2 (d/dt log q - target)^2`, with the target held still.

    With v one Rademacher probe,

        target = 1/2 g^2 (v . (d score) v + |score|^2) - f <x, score> - D f,

    Where the Fokker-Planck residual moves score and time derivative
    together, here the score is the teacher, as score matching has taught it, and only the time
    derivative learns (the semi-gradient of fitted value iteration). Two things follow. A noisy
    target does not bias a regression, so one probe does where the squared residual needs the
    product of two. And no gradient flows through the second derivative, which is forward mode
    alone, so the term costs half as much as the strong residual, or less.

    The prefactor makes it the square of a change per unit of log-SNR.
    """

    @property
    def times_per_frame(self) -> int:
        """One time."""
        return 1

    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """See `AbstractObjective`."""
        noised, process = evaluation.noised, evaluation.process
        model, degrees = evaluation.energy_model, noised.degrees_of_freedom
        still = jax.tree.map(
            lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, model
        )
        probe = jax.random.rademacher(key, noised.clean.shape, noised.clean.dtype)
        probe = noised.project(probe)

        def term(x: Positions, t: Time) -> Scalar:
            score, along = jax.jvp(lambda y: still.score(y, t, noised.features), (x,), (probe,))
            score = noised.project(score)
            f, g2 = process.drift(t), process.diffusion_squared(t)
            target = 0.5 * g2 * (jnp.sum(probe * along) + jnp.sum(score**2))
            target -= f * (jnp.sum(x * score) + degrees)
            slope = jax.jvp(
                lambda s: model.energy(x, s, noised.features), (t,), (jnp.ones_like(t),)
            )[1]
            return (process.sigma(t) ** 2 / g2 * (slope + target) / degrees) ** 2

        # The first time alone: with antithetic noise the others would cost more than they tell.
        return term(noised.frames[0], noised.times[0])
