"""The Go-type model in OpenMM, and Langevin dynamics of one chain.

OpenMM's Reference platform is used: with so few beads it takes 10 to 100 microseconds a step, less
than the CPU platform needs to wake its threads, and it gives the same numbers everywhere. It has
one stream of random numbers a process, so chains run in turn within a process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import Field

from ..errors import FokkerError
from ..options import Options
from .model import GoModel

MASS = 12.01078
"""amu, of the carbon that a C-alpha is in the topology, as mdtraj has it."""

_HOT = 3.0
"""Temperature that chains are unfolded at, over that of the simulation."""

_HALVINGS = 3
"""Of the time step of unfolding, at most."""

_STEPS_TOLD = 20_000
"""Between two reports of progress, about a second."""


class Dynamics(Options):
    """How a chain is simulated."""

    temperature: float = Field(gt=0, description="K")
    chains: int = Field(ge=1, description="independent chains")
    frames: int = Field(ge=1, description="stored frames of each chain")
    stride: int = Field(ge=1, description="steps between stored frames")
    dt: float = Field(default=0.01, gt=0, description="ps")
    friction: float = Field(default=0.2, gt=0, description="1/ps")
    equilibration: int = Field(ge=0, description="steps before the first frame")


def openmm_system(model: GoModel) -> Any:
    """`openmm.System` of one chain.

    Raises
    ------
    FokkerError
        If OpenMM is not installed.
    """
    mm = _openmm()
    system = mm.System()
    for _ in range(model.n_beads):
        system.addParticle(MASS)
    field = model.field
    bonds, angles = mm.HarmonicBondForce(), mm.HarmonicAngleForce()
    for i, length in enumerate(model.bond_lengths.tolist()):
        bonds.addBond(i, i + 1, length, field.bond)
    for i, value in enumerate(model.angles.tolist()):
        angles.addAngle(i, i + 1, i + 2, value, field.angle)
    dihedrals = mm.PeriodicTorsionForce()
    for i, value in enumerate(model.dihedrals.tolist()):
        # OpenMM has 1 + cos: a phase of half a turn more makes it 1 - cos.
        for n, k in ((1, field.dihedral), (3, 0.5 * field.dihedral)):
            dihedrals.addTorsion(i, i + 1, i + 2, i + 3, n, n * value + np.pi, k)
    n = len(model.contacts)
    share = mm.CustomBondForce("exp(-(r-r0)^2/(2*w^2))/n")
    share.addPerBondParameter("r0")
    share.addGlobalParameter("w", field.width)
    share.addGlobalParameter("n", n)
    for (i, j), length in zip(model.contacts, model.contact_lengths, strict=True):
        share.addBond(int(i), int(j), [float(length)])
    contacts = mm.CustomCVForce("-depth*q*(1+p*(q-1))")
    contacts.addCollectiveVariable("q", share)
    contacts.addGlobalParameter("depth", field.contact * n)
    contacts.addGlobalParameter("p", field.cooperativity)
    # All pairs: a list of neighbours costs more than it saves below some hundred beads.
    repulsion = mm.CustomBondForce("c/r^12")
    repulsion.addGlobalParameter("c", field.repulsion * field.size**12)
    for i, j in model.pairs:
        repulsion.addBond(int(i), int(j), [])
    for force in (bonds, angles, dihedrals, contacts, repulsion):
        system.addForce(force)
    return system


def energy_and_forces(
    model: GoModel, positions: Float[np.ndarray, "beads 3"]
) -> tuple[float, Float[np.ndarray, "beads 3"]]:
    """Energy in kJ/mol and forces in kJ/mol/nm at positions in nm.

    Raises
    ------
    FokkerError
        If OpenMM is not installed.
    """
    energies, forces = energies_and_forces(model, positions[None])
    return float(energies[0]), forces[0]


def energies_and_forces(
    model: GoModel, frames: Float[np.ndarray, "frames beads 3"]
) -> tuple[Float[np.ndarray, " frames"], Float[np.ndarray, "frames beads 3"]]:
    """Energies in kJ/mol and forces in kJ/mol/nm of frames in nm.

    Raises
    ------
    FokkerError
        If OpenMM is not installed.
    """
    mm = _openmm()
    context = mm.Context(openmm_system(model), mm.VerletIntegrator(0.001), _platform(mm))
    unit = mm.unit.kilojoule_per_mole
    energies, forces = np.empty(len(frames)), np.empty(frames.shape)
    for i, positions in enumerate(frames):
        context.setPositions(positions)
        state = context.getState(getEnergy=True, getForces=True)
        energies[i] = state.getPotentialEnergy().value_in_unit(unit)
        forces[i] = state.getForces(asNumpy=True).value_in_unit(unit / mm.unit.nanometer)
    return energies, forces


def run_chain(
    model: GoModel,
    dynamics: Dynamics,
    seed: int,
    chain: int,
    on_steps: Callable[[int], None] = lambda steps: None,
) -> Float[np.ndarray, "frames beads 3"]:
    """Frames of one chain, in nm, started from the native structure.

    Every second chain is first unfolded at three times the temperature, so that neither state is
    favoured by the start.

    Parameters
    ----------
    model, dynamics
        What is simulated, and how.
    seed, chain
        Together the seed of velocities and noise.
    on_steps
        Told after a number of further steps.

    Raises
    ------
    FokkerError
        If OpenMM is not installed, or the chain falls apart.
    """
    mm = _openmm()
    integrator = mm.LangevinMiddleIntegrator(dynamics.temperature, dynamics.friction, dynamics.dt)
    integrator.setRandomNumberSeed(1 + 2 * (1000 * seed + chain))
    context = mm.Context(openmm_system(model), integrator, _platform(mm))
    context.setPositions(model.native)
    velocities = 2 + 2 * (1000 * seed + chain)
    context.setVelocitiesToTemperature(dynamics.temperature, velocities)
    if chain % 2:
        _unfold(context, model, dynamics, velocities)
    integrator.step(dynamics.equilibration)
    frames = np.empty((dynamics.frames, model.n_beads, 3), np.float32)
    new = dynamics.equilibration
    for frame in frames:
        integrator.step(dynamics.stride)
        x = _positions(context)
        frame[:] = x - x.mean(axis=0)
        new += dynamics.stride
        if new >= _STEPS_TOLD:
            on_steps(new)
            new = 0
    on_steps(new)
    if not _holds_together(model, frames):
        raise _fell_apart(model)
    return frames


def _unfold(context: Any, model: GoModel, dynamics: Dynamics, velocities: int) -> None:
    """Heat the chain to three times the temperature, for a tenth of the equilibration.

    Now and then the repulsion of two hot beads is too much for the time step: then again from the
    native structure with half of it, and so on. A chain that is not unfolded is no start.
    """
    integrator = context.getIntegrator()
    integrator.setTemperature(_HOT * dynamics.temperature)
    for halvings in range(_HALVINGS + 1):
        integrator.setStepSize(dynamics.dt / 2**halvings)
        integrator.step(2**halvings * (dynamics.equilibration // 10))
        if _holds_together(model, _positions(context)[None]):
            break
        context.setPositions(model.native)
        context.setVelocitiesToTemperature(dynamics.temperature, velocities)
    else:
        raise _fell_apart(model)
    integrator.setStepSize(dynamics.dt)
    integrator.setTemperature(dynamics.temperature)


def _fell_apart(model: GoModel) -> FokkerError:
    return FokkerError(f"a chain of {model.n_beads} beads fell apart; use a shorter time step.")


def _holds_together(model: GoModel, frames: Float[np.ndarray, "frames beads 3"]) -> bool:
    """Whether every bond of every frame is finite and shorter than twice its native length."""
    lengths = np.linalg.norm(np.diff(frames, axis=1), axis=-1)
    return bool(np.all(lengths < 2.0 * model.bond_lengths))


def _positions(context: Any) -> Float[np.ndarray, "beads 3"]:
    """Positions in nm."""
    x = context.getState(getPositions=True).getPositions(asNumpy=True)
    return x.value_in_unit(_openmm().unit.nanometer)


def require_openmm() -> None:
    """Raise FokkerError if OpenMM is not installed."""
    _openmm()


def _openmm() -> Any:
    try:
        import openmm
    except ImportError as error:
        raise FokkerError(
            "the chains are simulated with OpenMM, which is not installed; install it with: "
            "pip install 'fokker[chains]'."
        ) from error
    return openmm


def _platform(mm: Any) -> Any:
    return mm.Platform.getPlatformByName("Reference")
