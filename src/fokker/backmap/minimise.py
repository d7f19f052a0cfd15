"""Energy minimisation of rebuilt frames in OpenMM, with the beads held where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..errors import FokkerError
from ..trajectory import topology_of
from .atoms import Atoms
from .build import superposed

FORCE_FIELDS = (
    ("amber14-all.xml", "implicit/obc2.xml"),
    ("charmm36.xml", "implicit/obc2.xml"),
)
"""Tried in turn. That of CHARMM knows more ends of chains: neutral ones, for example."""

_TOLERANCE, _ITERATIONS = 10, 100
"""Root mean square force to stop at, kJ/mol/nm, and most steps."""

_HOLD = 1e5
"""Stiffness that holds a bead of several atoms, kJ/mol/nm^2."""


class Minimiser:
    """Minimises frames of all atoms, one after another, on one core.

    Atoms that are beads do not move at all. The centre of a bead of several atoms is held by a
    stiff spring, and put back by the little that this gave way. Hydrogens that the molecule lacks
    are added for the time of the minimisation.

    Parameters
    ----------
    atoms
        The atoms and their beads.
    frame
        Positions of one sound frame, nm, to which hydrogens are added.

    Attributes
    ----------
    force_field
        Files of the force field that knows the molecule.
    added
        Hydrogens that are added.

    Raises
    ------
    FokkerError
        If OpenMM is missing or none of the force fields knows the molecule.
    """

    def __init__(self, atoms: Atoms, frame: Float[np.ndarray, "atoms 3"]):
        try:
            import openmm
        except ImportError as error:
            raise FokkerError("OpenMM is not installed (pip install 'fokker[openmm]')") from error
        self._atoms = atoms
        self.force_field, model = _known(atoms, frame)
        topology, positions, system = model
        self._hydrogens = _Hydrogens.of(topology, positions, atoms)
        self.added = system.getNumParticles() - atoms.system.n_beads
        self._springs = self._hold(openmm, system)
        integrator = openmm.VerletIntegrator(0.001)
        platform = openmm.Platform.getPlatformByName("CPU")
        self._context = openmm.Context(system, integrator, platform, {"Threads": "1"})

    def __call__(
        self, frames: Float[np.ndarray, "frames atoms 3"]
    ) -> Float[np.ndarray, "frames atoms 3"]:
        """Minimised frames; NaN where a minimisation failed."""
        found = np.full(frames.shape, np.nan)
        beads = self._atoms.beads(frames)
        for number, start in enumerate(self._hydrogens.add(frames.astype(np.float64))):
            end = self._minimised(start, beads[number])
            if end is not None:
                found[number] = end[self._hydrogens.known]
        return self._atoms.anchored(found, beads)

    def _minimised(self, start: np.ndarray, beads: np.ndarray) -> np.ndarray | None:
        import openmm

        if self._springs is not None:
            groups = [b for b, group in enumerate(self._atoms.groups) if len(group) > 1]
            for bond, bead in enumerate(groups):
                self._springs.setBondParameters(bond, [bond], beads[bead].tolist())
            self._springs.updateParametersInContext(self._context)
        try:
            self._context.setPositions(start)
            openmm.LocalEnergyMinimizer.minimize(self._context, _TOLERANCE, _ITERATIONS)
            state = self._context.getState(getPositions=True)
        except openmm.OpenMMException:  # of a force that is not finite
            return None
        end = state.getPositions(asNumpy=True).value_in_unit_system(openmm.unit.md_unit_system)
        return end if np.isfinite(end).all() else None

    def _hold(self, openmm: Any, system: Any) -> Any:
        """Hold the beads; returns the springs of those of several atoms, if there are any."""
        springs = openmm.CustomCentroidBondForce(
            1, f"{0.5 * _HOLD}*((x1-x0)^2+(y1-y0)^2+(z1-z0)^2)"
        )
        for name in ("x0", "y0", "z0"):
            springs.addPerBondParameter(name)
        known = self._hydrogens.known
        for group, weights in zip(self._atoms.groups, self._atoms.weights, strict=True):
            if len(group) == 1:
                system.setParticleMass(int(known[group[0]]), 0.0)
                continue
            springs.addGroup([int(known[atom]) for atom in group], list(weights))
            springs.addBond([springs.getNumGroups() - 1], [0.0, 0.0, 0.0])
        if not springs.getNumGroups():
            return None
        system.addForce(springs)
        return springs


def _known(atoms: Atoms, frame: np.ndarray) -> tuple[tuple[str, ...], tuple[Any, Any, Any]]:
    """The first force field that knows the molecule: topology, positions and System in OpenMM."""
    from openmm import app, unit

    reasons = []
    topology = topology_of(atoms.system).to_openmm()
    for files in FORCE_FIELDS:
        for complete in (False, True):
            modeller: Any = app.Modeller(topology, frame.astype(float))
            try:
                field = app.ForceField(*files)
                if complete:
                    modeller.addHydrogens(field)
                system = field.createSystem(modeller.topology, removeCMMotion=False)
            # OpenMM raises nearly any exception on a molecule that a force field does not know
            except Exception as error:
                reasons.append(str(error).strip().splitlines()[0] if str(error) else repr(error))
                continue
            positions = np.array(modeller.positions.value_in_unit_system(unit.md_unit_system))
            return files, (modeller.topology, positions, system)
    raise FokkerError(
        f"no force field of OpenMM knows the molecule ({reasons[0].split('.  ')[0].rstrip('.')})"
    )


class _Hydrogens:
    """Puts hydrogens beside their atoms as they are in one frame.

    Attributes
    ----------
    known
        Number in OpenMM of each atom that the frames have.
    """

    def __init__(
        self,
        known: Int[np.ndarray, " atoms"],
        positions: Float[np.ndarray, "all 3"],
        places: list[tuple[Int[np.ndarray, " hydrogens"], Int[np.ndarray, " around"]]],
    ):
        self.known, self._positions, self._places = known, positions, places

    @staticmethod
    def of(topology: Any, positions: np.ndarray, atoms: Atoms) -> _Hydrogens:
        listed = list(topology.atoms())
        if len(listed) == atoms.system.n_beads:
            return _Hydrogens(np.arange(len(listed)), positions, [])
        known = _kept(listed, atoms)
        bonds: dict[int, set[int]] = {atom.index: set() for atom in listed}
        for a, b in topology.bonds():
            bonds[a.index].add(b.index)
            bonds[b.index].add(a.index)
        given = set(known.tolist())
        places = []
        for parent in known.tolist():
            new = sorted(bonds[parent] - given)
            if not new:
                continue
            near = bonds[parent] & given
            around = near if len(near) > 1 else near.union(*(bonds[i] & given for i in near))
            places.append((np.array(new), np.array([parent, *sorted(around - {parent})])))
        return _Hydrogens(known, positions, places)

    def add(self, frames: Float[np.ndarray, "frames atoms 3"]) -> Float[np.ndarray, "frames all 3"]:
        """Frames of all atoms that OpenMM has."""
        full = np.broadcast_to(self._positions, (len(frames), *self._positions.shape)).copy()
        full[:, self.known] = frames
        for new, around in self._places:
            weights = np.ones(len(around))
            weights[0] = 10.0  # the atom that they are bonded to
            beads = np.broadcast_to(self._positions[around], (len(frames), len(around), 3))
            atoms = np.broadcast_to(self._positions[new], (len(frames), len(new), 3))
            full[:, new] = superposed(atoms, beads, full[:, around], weights)[0]
        return full


def _kept(listed: list[Any], atoms: Atoms) -> np.ndarray:
    """Numbers of the given atoms, residue by residue and by name, after hydrogens were added."""
    residues: dict[Any, int] = {}
    for atom in listed:
        residues.setdefault(atom.residue.index, len(residues))
    by_name = {(residues[atom.residue.index], atom.name): atom.index for atom in listed}
    places = list(dict.fromkeys(bead.place for bead in atoms.system.beads))
    return np.array([by_name[places.index(b.place), b.name] for b in atoms.system.beads])
