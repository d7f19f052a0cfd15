"""A trained run in OpenMM, under any of its integrators, reporters, restraints and biases.

    from fokker.adapters.openmm import system, topology

    integrator = LangevinMiddleIntegrator(300 * kelvin, 1 / picosecond, 2 * femtoseconds)
    simulation = Simulation(topology("runs/ala"), system("runs/ala"), integrator)

OpenMM's units are fokker's: nm, ps, amu, kJ/mol. The model stays in JAX: a `PythonForce` calls it
once a step. It cannot be serialised, which is on purpose. The XML of a `PythonForce` would hold a
pickle, and reading that runs whatever code is in it; a System is built from the run instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float

from ..system import System
from .evaluator import Evaluator, Run, check_count, evaluator, molecule

try:
    import openmm
    from openmm import app, unit

    _subset = openmm.PythonForce.setParticles  # what version 8.6 is needed for
except (ImportError, AttributeError) as error:
    raise ImportError(
        "fokker.adapters.openmm needs OpenMM 8.6 or newer: pip install 'fokker[openmm]'"
    ) from error


class _Computation:
    """What OpenMM calls at every step."""

    def __init__(self, evaluate: Evaluator, beads: int):
        self._evaluate = evaluate
        self._beads = beads

    def __call__(self, state: Any) -> tuple[float, Float[np.ndarray, "particles 3"]]:
        positions = state.getPositions(asNumpy=True).value_in_unit_system(unit.md_unit_system)
        if len(positions) == self._beads:
            energy, forces = self._evaluate(positions)
            return float(energy), forces
        energies, forces = self._evaluate(positions.reshape(-1, self._beads, 3))
        return float(energies.sum()), forces.reshape(positions.shape)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a force of fokker is not serialised; build it from its run again")


def fokker_force(
    run: Run, *, t: float | None = None, particles: Sequence[int] | None = None
) -> openmm.PythonForce:
    """Energy and forces of a run as a Force, to be added to a System.

    Parameters
    ----------
    run
        Folder of a trained run, or the run itself.
    t
        Diffusion time; by default that of the configuration's simulation.
    particles
        Particles of the System that are the beads, in the order of the run; by default all. They
        may be several copies of the molecule, one after another, which do not feel each other.

    Raises
    ------
    FokkerError
        If the run is bad, is no molecule, has no energy at t, or has another number of beads.
    """
    loaded = molecule(run, "OpenMM")
    beads = loaded.system.n_beads
    force = openmm.PythonForce(_Computation(evaluator(loaded, t=t), beads))
    force.setName("FokkerForce")
    force.setUsesPeriodicBoundaryConditions(False)
    if particles is not None:
        if len(particles) % beads or not particles:
            check_count(loaded, len(particles), "particles")
        force.setParticles([int(i) for i in particles])
    return force


def system(
    run: Run, *, t: float | None = None, copies: int = 1, remove_centre_motion: bool = True
) -> openmm.System:
    """System of the beads with their masses and the force of the run; no box, no barostat.

    Parameters
    ----------
    run
        Folder of a trained run, or the run itself.
    t
        Diffusion time; by default that of the configuration's simulation.
    copies
        Independent copies of the molecule, one after another: many chains for little more than the
        price of one, since one call of the model serves all. Batches hold 256.
    remove_centre_motion
        Keep the centre of mass of a single copy at rest, so that the molecule does not diffuse
        away. Turn it off with restraints to fixed points. It is never done where the density is
        not free of translation.

    Raises
    ------
    FokkerError
        As `fokker_force`.
    """
    loaded = molecule(run, "OpenMM")
    made = openmm.System()
    for mass in loaded.system.masses * copies:
        made.addParticle(mass)
    made.addForce(fokker_force(loaded, t=t))
    if remove_centre_motion and loaded.system.centred and copies == 1:
        made.addForce(openmm.CMMotionRemover())
    return made


def topology(run: Run, *, copies: int = 1) -> app.Topology:
    """Topology of the beads, copy after copy, with chains and bonds.

    Raises
    ------
    FokkerError
        If the run is bad or is no molecule.
    """
    beads = molecule(run, "OpenMM").system
    made = app.Topology()
    for _ in range(copies):
        _add_chains(made, beads)
    return made


def _add_chains(made: app.Topology, beads: System) -> None:
    chain = residue = before = None
    atoms = []
    for bead in beads.beads:
        if before is None or bead.chain_index != before.chain_index:
            chain = made.addChain(bead.chain or None)
        if before is None or bead.place != before.place:
            number = str(bead.residue_index)
            residue = made.addResidue(bead.residue, chain, number, bead.insertion_code)
        before = bead
        atoms.append(made.addAtom(bead.name, element(bead.element), residue))
    for i, j in beads.bonds:
        made.addBond(atoms[i], atoms[j])


def element(symbol: str) -> app.Element | None:
    """OpenMM's element, or None for a bead that is none."""
    try:
        return app.Element.getBySymbol(symbol)
    except KeyError:
        return None
