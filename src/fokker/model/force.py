"""The learned force in user units, and the limits outside which a frame is broken."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..metrics import GeometryLimits
from ..network.padding import stacked
from ..system import System
from ..types import Features, Positions, Time
from . import AbstractEnergy, AbstractScore


class Force(eqx.Module):
    """`force(x) = kT score((x - offset) / s, t) / s`, kJ/mol/nm, for one frame in nm.

    The time is an array, so that another one needs no compilation.
    """

    model: AbstractScore
    features: Features
    scale: float
    offset: Float[np.ndarray, " dim"]
    kT: float
    t: Time

    def __call__(self, x: Positions) -> Positions:
        """Force on each bead."""
        scaled = (x - self.offset) / self.scale
        score = self.model.score(scaled, self.t, self.features)
        return self.kT / self.scale * score

    def mean_energy(
        self, frames: Float[Array, "chains beads dim"], running: Bool[Array, " chains"]
    ) -> float | None:
        """Mean of `kT energy` over the chains that run, kJ/mol up to a constant.

        None if the model has a score alone.
        """
        if not isinstance(self.model, AbstractEnergy):
            return None
        return float(_mean_energy(self, self.model, frames, running))


@eqx.filter_jit
def _mean_energy(
    force: Force,
    model: AbstractEnergy,
    frames: Float[Array, "chains beads dim"],
    running: Bool[Array, " chains"],
) -> Float[Array, ""]:
    t = jnp.asarray(force.t, jnp.float32)
    scaled = (frames - force.offset) / force.scale
    energies = jax.vmap(lambda x: model.energy(x, t, force.features))(scaled)
    return force.kT * jnp.where(running, energies, 0.0).sum() / running.sum()


class Broken(eqx.Module):
    """Whether a frame is outside the limits of the training data, for one frame in nm.

    `stacked` gives that of many molecules, with a leading axis, of which one entry is to be taken.
    """

    pairs: Float[np.ndarray, "*molecules bonds beads"]
    bonds: Float[np.ndarray, "*molecules bonds 2"]
    box: Float[np.ndarray, "*molecules axes 2"]

    @staticmethod
    def create(system: System, limits: GeometryLimits) -> Broken:
        """Build the predicate of a system."""
        identity = np.eye(system.n_beads, dtype=np.float32)
        pairs = [identity[i] - identity[j] for i, j in system.bonds]
        return Broken(
            np.asarray(pairs, np.float32).reshape(-1, system.n_beads),
            np.asarray(limits.bonds, np.float32).reshape(-1, 2),
            np.asarray(limits.box, np.float32).reshape(-1, 2),
        )

    @staticmethod
    def stacked(each: Sequence[Broken]) -> Broken:
        """Stack predicates; what one has more of than another has no limits there."""
        free = np.asarray([-np.inf, np.inf], np.float32)
        return Broken(
            stacked([one.pairs for one in each], 0.0),
            stacked([one.bonds for one in each], free),
            stacked([one.box for one in each], free),
        )

    def __call__(self, x: Positions) -> Bool[Array, ""]:
        """True outside."""
        broken = jnp.zeros((), bool)
        if len(self.pairs):
            length = jnp.linalg.norm(self.pairs @ x, axis=-1)
            broken |= jnp.any((length < self.bonds[:, 0]) | (length > self.bonds[:, 1]))
        if len(self.box):
            broken |= jnp.any((x < self.box[:, 0]) | (x > self.box[:, 1]))
        return broken
