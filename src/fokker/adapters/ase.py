"""A trained run in ASE, and through ASE in i-PI.

    from fokker.adapters.ase import atoms

    molecule = atoms("runs/ala")
    molecule.get_potential_energy()      # eV
    molecule.get_forces()                # eV/angstrom

i-PI drives any ASE calculator over a socket. Start i-PI with an `<ffsocket mode="unix">` whose
address is `fokker`, and its system in the order of the beads; then

    from ase.calculators.socketio import SocketClient

    SocketClient(unixsocket="fokker").run(atoms("runs/ala"), use_stress=False)

A molecule in open space has no stress, so the client is told not to ask for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import FokkerError
from ..units import ANGSTROM
from .evaluator import Run, check_count, evaluator, molecule, start_positions

try:
    import ase
    from ase import units
    from ase.calculators.calculator import Calculator, all_changes
    from ase.data import atomic_numbers
except ImportError as error:
    raise ImportError("fokker.adapters.ase needs ASE: pip install 'fokker[ase]'") from error

KJ_PER_MOL = units.kJ / units.mol
"""1 kJ/mol in eV."""


class FokkerCalculator(Calculator):
    """Energy (eV) and forces (eV/angstrom) of a run.

    Parameters
    ----------
    run
        Folder of a trained run, or the run itself.
    t
        Diffusion time; by default that of the configuration's simulation.

    Raises
    ------
    FokkerError
        If the run is bad, is no molecule or has no energy at t.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(self, run: Run, *, t: float | None = None):
        super().__init__()
        self._loaded = molecule(run, "ASE")
        self._evaluate = evaluator(self._loaded, t=t)

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill `results`; called by ASE.

        Raises
        ------
        FokkerError
            If the atoms are periodic or not as many as the beads.
        """
        super().calculate(atoms, properties, system_changes)
        given: Any = self.atoms
        check_count(self._loaded, len(given), "atoms")
        if given.pbc.any():
            raise FokkerError(
                "the atoms are periodic and the model is of one molecule in open space; set "
                "atoms.pbc = False."
            )
        energy, forces = self._evaluate(given.positions * ANGSTROM)
        value = float(energy) * KJ_PER_MOL
        self.results = {
            "energy": value,
            "free_energy": value,
            "forces": forces * (KJ_PER_MOL / units.nm),
        }


def atoms(run: Run, *, t: float | None = None) -> ase.Atoms:
    """Beads of a run at a training frame, with their masses and a `FokkerCalculator`.

    A bead that is no element is `X`.

    Raises
    ------
    FokkerError
        As `FokkerCalculator`.
    """
    loaded = molecule(run, "ASE")
    beads = loaded.system.beads
    return ase.Atoms(
        symbols=[bead.element if bead.element in atomic_numbers else "X" for bead in beads],
        positions=np.asarray(start_positions(loaded), np.float64) / ANGSTROM,
        masses=[bead.mass for bead in beads],
        calculator=FokkerCalculator(loaded, t=t),
    )
