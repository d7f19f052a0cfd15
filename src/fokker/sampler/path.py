r"""The energies that lead from noise to the clean density, without a jump.

Every expert has an energy of its own, and nothing ties two of them where they meet: what their
difference varies by from frame to frame would be a step of the weights. So about the border of two
experts their energies are mixed,

    E(x, t) = k E_i(x, t) + (1 - k) E_(i+1)(x, t),

with k linear in the log-SNR from 0 to 1. Densities in between are a means to an end: the last one,
at the smallest time, is that of one expert alone.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import FokkerError
from ..model import AbstractEnergy
from ..types import Time
from .reverse import Frames, ReverseProcess

Energies = Float[Array, " frames"]

HALF_WIDTH = 0.8
"""Of a bridge, in log-SNR: from t = 0.058 to 0.166 about a border at 0.1."""


class AbstractPath(eqx.Module):
    """Densities `exp(-energy(x, t))`, each up to a constant, from t = 1 to a smallest time."""

    reverse: eqx.AbstractVar[ReverseProcess]

    @abstractmethod
    def energy_and_score(self, x: Frames, t: Time) -> tuple[Energies, Frames]:
        """Energy in kT and its negative gradient, for frames at one common time."""


class EnergyPath(AbstractPath):
    """The energies of a mixture of experts, mixed about their borders.

    Attributes
    ----------
    reverse
        Model and process.
    bridges
        Log-SNR at which each border begins to be crossed, and at which it has been.
    """

    reverse: ReverseProcess
    bridges: tuple[tuple[float, float], ...] = eqx.field(static=True)

    @staticmethod
    def of(reverse: ReverseProcess, t_min: float) -> "EnergyPath":
        """Path of a model whose experts all have an energy.

        No bridge reaches the smallest time: there the energy is that of its own expert alone, as
        in a simulation.

        Raises
        ------
        FokkerError
            If one has none.
        """
        for number, expert in enumerate(reverse.experts, start=1):
            if not isinstance(expert, AbstractEnergy):
                raise FokkerError(
                    f"annealed sampling needs the energy of every expert, and expert {number} of "
                    f'{len(reverse.experts)} has none; use sampler.name = "dpm-solver", or train '
                    'with experts of kind = "energy"'
                )
        borders = jnp.asarray(reverse.edges[1:-1])
        centres = np.asarray(jax.vmap(reverse.process.log_snr)(borders), float)
        gaps = -np.diff(centres)
        room = 0.5 * np.minimum(np.r_[np.inf, gaps], np.r_[gaps, np.inf])
        end = float(reverse.process.log_snr(jnp.asarray(t_min)))
        widths = np.minimum(HALF_WIDTH, np.minimum(room, np.maximum(end - centres, 0.0)))
        bridges = zip(centres - widths, centres + widths, strict=True)
        return EnergyPath(reverse, tuple((float(low), float(high)) for low, high in bridges))

    def energy_and_score(self, x: Frames, t: Time) -> tuple[Energies, Frames]:
        """See `AbstractPath`."""
        log_snr = self.reverse.process.log_snr(t)
        ends = [end for low, high in self.bridges for end in (high, low)]
        part = jnp.searchsorted(-jnp.asarray(ends), -log_snr, side="right")
        branches = [self._of_expert(0)]
        for border in range(len(self.bridges)):
            branches += [self._across(border), self._of_expert(border + 1)]
        if len(branches) == 1:
            return branches[0](x, t)
        return jax.lax.switch(part, branches, x, t)

    def _of_expert(self, index: int):
        expert, features = self.reverse.experts[index], self.reverse.features
        assert isinstance(expert, AbstractEnergy)
        evaluate = jax.vmap(expert.energy_and_score, in_axes=(0, None, None))
        return lambda x, t: evaluate(x, t, features)

    def _across(self, border: int):
        below, above = self._of_expert(border), self._of_expert(border + 1)
        low, high = self.bridges[border]

        def mixed(x: Frames, t: Time) -> tuple[Energies, Frames]:
            share = (self.reverse.process.log_snr(t) - low) / (high - low)
            return jax.tree.map(
                lambda one, other: share * one + (1.0 - share) * other, below(x, t), above(x, t)
            )

        return mixed
