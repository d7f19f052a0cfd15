"""Energy and forces of a trained run, for programs that call a function at every time step.

    energy(x) = kT energy_model((x - offset) / s, t)
    forces(x) = -d energy / d x = (kT / s) score((x - offset) / s, t)

with the data scale s (nm) and the diffusion time t of the simulation, small enough for the noised
density to be the data's. Where translation is removed the energy is that of the centred frame, so
the forces add up to zero for every network, also one that sees absolute positions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..model import AbstractEnergy, ScoreModel
from ..run.loaded import LoadedRun, load_run
from ..types import Features, Positions, Scalar

Run: TypeAlias = LoadedRun | Path | str
"""A run that is loaded, or the folder of one."""

BATCH = 256
"""Frames of a compiled batch; shorter ones are filled up, so no batch size compiles anew."""


class Potential(eqx.Module):
    """Energy (kJ/mol) and forces (kJ/mol/nm) of one frame in nm, for use inside JAX."""

    model: AbstractEnergy
    features: Features
    scale: float
    offset: Float[np.ndarray, " dim"]
    kT: float
    t: float
    centred: bool = eqx.field(static=True)

    def __call__(self, x: Positions) -> tuple[Scalar, Positions]:
        """Energy and forces at x, shape (beads, dim)."""
        if self.centred:
            x = x - jnp.mean(x, axis=0)
        scaled = (x - self.offset) / self.scale
        t = jnp.asarray(self.t, jnp.float32)
        energy, score = self.model.energy_and_score(scaled, t, self.features)
        if self.centred:
            score = score - jnp.mean(score, axis=0)
        return self.kT * energy, self.kT / self.scale * score


class Evaluator:
    """`Potential` compiled, from and to NumPy.

    Positions are centred in double precision before they become float32, so a molecule that has
    drifted far from the origin loses no digits.

    Parameters
    ----------
    potential
        What to compile, once for a single frame and once for batches.
    """

    def __init__(self, potential: Potential):
        self.potential = potential
        # Closed over, the weights are constants of the program: a call has one argument to pass.
        self._frame = jax.jit(lambda x: potential(x))
        self._batch = jax.jit(jax.vmap(lambda x: potential(x)))

    def __call__(
        self, positions: Float[np.ndarray, "*frames beads dim"]
    ) -> tuple[Float[np.ndarray, "*frames"], Float[np.ndarray, "*frames beads dim"]]:
        """Energy and forces.

        Parameters
        ----------
        positions
            nm, one frame of shape (beads, dim) or several, (frames, beads, dim).

        Returns
        -------
        energy, forces
            kJ/mol, shape () or (frames,), and kJ/mol/nm, the shape of the positions; float64. The
            arithmetic in between is float32.

        Raises
        ------
        FokkerError
            If the positions are not of this system.
        """
        wanted = (len(self.potential.features.kind), len(self.potential.offset))
        if positions.ndim not in (2, 3) or positions.shape[-2:] != wanted:
            raise FokkerError(
                f"positions of shape {positions.shape} do not fit the run, whose frames have shape "
                f"{wanted}; give the beads of the run in its order."
            )
        if self.potential.centred:
            positions = positions - positions.mean(axis=-2, keepdims=True)
        single = positions.astype(np.float32)
        if single.ndim == 2:
            energy, forces = self._frame(single)
        else:
            energy, forces = self._in_batches(single)
        return np.asarray(energy, np.float64), np.asarray(forces, np.float64)

    def _in_batches(
        self, x: Float[np.ndarray, "frames beads dim"]
    ) -> tuple[Float[np.ndarray, " frames"], Float[np.ndarray, "frames beads dim"]]:
        n = len(x)
        energy, forces = np.empty(n, np.float32), np.empty_like(x)
        for begin in range(0, n, BATCH):
            rows = np.minimum(np.arange(begin, begin + BATCH), n - 1)
            block = slice(begin, min(begin + BATCH, n))
            e, f = self._batch(x[rows])
            energy[block], forces[block] = e[: n - begin], f[: n - begin]
        return energy, forces


def evaluator(run: Run, *, t: float | None = None) -> Evaluator:
    """Energy and forces of a run as a compiled function of positions.

    Parameters
    ----------
    run
        Folder of a trained run, or the run itself.
    t
        Diffusion time; by default that of the configuration's simulation.

    Raises
    ------
    FokkerError
        If there is no such run, t is out of range, or the expert that serves t has no energy.
    """
    return Evaluator(potential(opened(run), t=t))


def potential(loaded: LoadedRun, *, t: float | None = None) -> Potential:
    """`Potential` of the expert that serves diffusion time t; no other expert is touched.

    Raises
    ------
    FokkerError
        If t is out of range or the expert has no energy.
    """
    t = loaded.config.simulation.t if t is None else t
    if not 0.0 < t <= 1.0:
        raise FokkerError(f"t = {t:g}: a diffusion time is above 0 and at most 1.")
    expert = loaded.model.expert_at(t)
    if not isinstance(expert, AbstractEnergy):
        kind = "score" if isinstance(expert, ScoreModel) else "field"
        raise FokkerError(
            f"{loaded.folder.path}: the expert at t = {t:g} has a score but no energy "
            f'(kind = "{kind}"), so its forces are not conservative; train it with kind = "energy".'
        )
    return Potential(
        expert,
        loaded.features,
        loaded.scaling.scale,
        np.asarray(loaded.scaling.offset, np.float32),
        loaded.system.kT,
        t,
        loaded.system.centred,
    )


def opened(run: Run) -> LoadedRun:
    """Load a run unless it is."""
    return run if isinstance(run, LoadedRun) else load_run(Path(run))


def molecule(run: Run, program: str) -> LoadedRun:
    """Load a run of a molecule, for a program that knows nothing else.

    Raises
    ------
    FokkerError
        If the run is bad or its system is not three-dimensional.
    """
    loaded = opened(run)
    if loaded.system.dim != 3:
        raise FokkerError(
            f"{loaded.folder.path}: system {loaded.system.name!r} has {loaded.system.dim} "
            f"dimension(s), {program} needs 3; use `fokker simulate` for it."
        )
    return loaded


def check_count(loaded: LoadedRun, n: int, what: str) -> None:
    """Check that another program has as many particles as the run has beads.

    Raises
    ------
    FokkerError
        If it has not.
    """
    if n != loaded.system.n_beads:
        raise FokkerError(
            f"{n} {what} do not fit {loaded.folder.path}, which has {loaded.system.n_beads} beads; "
            "give one for each bead, in the order of the run."
        )


def start_positions(loaded: LoadedRun) -> Float[np.ndarray, "beads dim"]:
    """First of the training frames that the checkpoint carries, nm."""
    return loaded.scaling.invert(loaded.start_frames[:1])[0]
