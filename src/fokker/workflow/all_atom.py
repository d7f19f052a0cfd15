"""The trajectory of all atoms that the beads of a run were taken from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..backmap import Atoms, atoms_of
from ..config import MoleculeOptions, MoleculesOptions
from ..dataset.corpus import entries
from ..dataset.source import resolve
from ..errors import FokkerError
from ..run.loaded import LoadedRun
from ..trajectory import read_trajectory
from ..trajectory.sources import open_source

_GIVE = "give the files with all atoms with --trajectory and --topology"


@dataclass(frozen=True)
class AllAtom:
    """Atoms of a run and the files that have them."""

    atoms: Atoms
    topology: Path
    trajectory: tuple[Path, ...]
    stride: int
    allow_cut: bool

    def read(
        self, on_message: Callable[[str], None] = lambda _: None
    ) -> Float[np.ndarray, "frames atoms 3"]:
        """Frames of all atoms, nm.

        Raises
        ------
        FokkerError
            On bad files.
        """
        found = read_trajectory(
            self.trajectory,
            self.atoms.system,
            stride=self.stride,
            min_frames=1,
            allow_cut=self.allow_cut,
        )
        for note in found.notes:
            on_message(f"note: {note}")
        return found.positions


def all_atom(
    loaded: LoadedRun, trajectory: Sequence[Path] = (), topology: Path | None = None
) -> AllAtom:
    """Find the files of all atoms: those given, otherwise those the run was trained on.

    Raises
    ------
    FokkerError
        If a file is gone or bad, or has no more atoms than the run has beads.
    """
    options = loaded.config.system
    assert isinstance(options, MoleculeOptions | MoleculesOptions)
    own_topology, own_trajectory = ("", ()) if topology and trajectory else _own(loaded)
    topology = topology or resolve(own_topology)
    trajectory = tuple(trajectory) or tuple(resolve(name) for name in own_trajectory)
    if not trajectory:
        raise FokkerError(f"{loaded.folder.path}: was trained on files of forces alone; {_GIVE}.")
    for path in (topology, *trajectory):
        if not path.exists():
            raise FokkerError(
                f"{path}: does not exist, and the atoms are taken from it; put the file back, or "
                f"{_GIVE}."
            )
    beads = loaded.system.n_beads
    atoms = atoms_of(loaded.system, topology)
    for path in trajectory:
        n = open_source(path, atoms.system, allow_cut=options.allow_cut).n_atoms
        if n == beads != atoms.system.n_beads:
            raise FokkerError(f"{path}: the training trajectory has the beads only; {_GIVE}.")
    return AllAtom(atoms, topology, trajectory, options.stride, options.allow_cut)


def _own(loaded: LoadedRun) -> tuple[str, tuple[str, ...]]:
    """Topology and trajectory that the run was trained on or, of many molecules, judged by."""
    options = loaded.config.system
    if isinstance(options, MoleculesOptions):
        found = entries(options)
        for entry in (*found.trained, *found.validation, *found.test):
            if entry.name == loaded.system.name:
                return entry.topology, entry.trajectory
        raise FokkerError(
            f"{loaded.folder.path}: molecule {loaded.system.name!r} has no trajectory in the "
            f"folders of the run; {_GIVE}."
        )
    assert isinstance(options, MoleculeOptions)
    return options.topology, options.without_forces
