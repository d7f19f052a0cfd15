"""A trained run in openmmml, found by name.

    from openmmml import MLPotential

    potential = MLPotential("fokker", run="runs/ala")
    system = potential.createSystem(topology)

openmmml loads this module when it is imported itself, to register the name. JAX and the rest of
fokker are imported when a potential is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory

if TYPE_CHECKING:
    import openmm
    from openmm import app

    from ..run.loaded import LoadedRun


class FokkerPotentialImplFactory(MLPotentialImplFactory):
    """What the entry point `fokker` of `openmmml.potentials` names."""

    def createImpl(self, name: str, **args: Any) -> MLPotentialImpl:
        """Load a run.

        Parameters
        ----------
        name
            The name of the potential, `fokker`.
        args
            `run`, the folder of a trained run; optionally `t`, the diffusion time.

        Raises
        ------
        FokkerError
            If `run` is missing or bad, or there are other arguments.
        """
        from .evaluator import molecule

        run, t = args.pop("run", None), args.pop("t", None)
        _refuse(args, "MLPotential('fokker', run=FOLDER, t=TIME)")
        if run is None:
            from ..errors import FokkerError

            raise FokkerError("the potential needs a run: MLPotential('fokker', run='runs/ala').")
        return FokkerPotentialImpl(molecule(Path(run), "OpenMM"), t)


class FokkerPotentialImpl(MLPotentialImpl):
    """Adds the force of a run to a System."""

    def __init__(self, loaded: LoadedRun, t: float | None):
        self._loaded = loaded
        self._t = t

    def addForces(
        self,
        topology: app.Topology,
        system: openmm.System,
        atoms: Iterable[int] | None,
        forceGroup: int,
        **args: Any,
    ) -> None:
        """Add the force; a whole System also gets the masses of the run.

        Parameters
        ----------
        topology
            Its atoms (or those of `atoms`) are the beads of the run, in its order.
        system
            Gets the force.
        atoms
            The beads in a System with other atoms besides, or None.
        forceGroup
            Group of the force.
        args
            None is known.

        Raises
        ------
        FokkerError
            If the atoms are not the beads of the run.
        """
        from .openmm import fokker_force

        _refuse(args, "createSystem(topology)")
        chosen = range(topology.getNumAtoms()) if atoms is None else [int(i) for i in atoms]
        _check_beads(self._loaded, topology, chosen)
        if atoms is None:
            for i, mass in enumerate(self._loaded.system.masses):
                system.setParticleMass(i, mass)
        force = fokker_force(self._loaded, t=self._t, particles=None if atoms is None else chosen)
        force.setForceGroup(forceGroup)
        system.addForce(force)

    def getMLLongRange(self) -> bool:
        """False: a run is of one molecule in open space."""
        return False


def _check_beads(loaded: LoadedRun, topology: app.Topology, chosen: Iterable[int]) -> None:
    from ..errors import FokkerError
    from .evaluator import check_count

    every = list(topology.atoms())
    atoms = [every[i] for i in chosen]
    check_count(loaded, len(atoms), "atoms")
    for atom, bead in zip(atoms, loaded.system.beads, strict=True):
        if atom.element is not None and atom.element.symbol != bead.element:
            raise FokkerError(
                f"atom {atom.index} ({atom.name}) is {atom.element.symbol}, the bead "
                f"{bead.label} of {loaded.folder.path} is {bead.element}; give the atoms in the "
                "order of the run."
            )


def _refuse(args: dict[str, Any], usage: str) -> None:
    if args:
        from ..errors import FokkerError

        raise FokkerError(f"unknown argument {min(args)!r}: use {usage}.")
