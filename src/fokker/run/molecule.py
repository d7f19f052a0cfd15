"""One molecule of a run of many: from its topology to a folder of its own in that of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import Field

from ..config import Config, MoleculesOptions, parse
from ..dataset.corpus import Known, entries, molecule_system
from ..dataset.source import resolve
from ..errors import FokkerError
from ..options import Options
from ..runtime import checkpoint, parallel
from ..system import Skeleton, System
from ..trajectory import read_frames, write_topology
from .folder import RunFolder, write_atomically

MOST_CHOOSING = 4
"""Molecules trained on that choose a setting where there are none for validation."""


class MoleculeFile(Options):
    """What a molecule's folder says of it: enough to go on without the topology."""

    system: System
    structure: tuple[tuple[float, float, float], ...] = Field(
        description="positions of the beads in the topology file, nm"
    )

    @property
    def positions(self) -> Float[np.ndarray, "beads dim"]:
        """The structure as an array."""
        return np.asarray(self.structure, np.float32)


def read_molecule(folder: RunFolder) -> MoleculeFile:
    """Molecule that a folder is of.

    Raises
    ------
    FokkerError
        If it is that of a run of many molecules, or its file is altered.
    """
    if not folder.molecule.exists():
        raise FokkerError(
            f"{folder.path}: a run of many molecules; name one with --topology, or give its folder "
            f"in {folder.path / 'molecules'}."
        )
    try:
        found = MoleculeFile.model_validate_json(folder.molecule.read_bytes())
        if len(found.structure) != found.system.n_beads or not np.isfinite(found.positions).all():
            raise ValueError
    except (OSError, ValueError, RecursionError) as error:
        raise FokkerError(
            f"{folder.molecule}: not readable or altered; delete it and give --topology again."
        ) from error
    return found


def run_config(run: Path) -> Config:
    """Configuration of a run, of one molecule or of many.

    Raises
    ------
    FokkerError
        If there is no run.
    """
    return _read(run)[0]


def _read(run: Path) -> tuple[Config, Known | None]:
    if not run.is_dir():
        raise FokkerError(f"{run}: no such run folder; `fokker train` makes one.")
    newest = checkpoint.latest(RunFolder(run).checkpoint)
    manifest = checkpoint.read_manifest(newest)
    where = f"{newest}/manifest.json"
    config = parse(checkpoint.section(manifest, "config", newest), where)
    if not isinstance(config.system, MoleculesOptions):
        return config, None
    try:
        return config, Known.of(manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise FokkerError(
            f"{where}: the table of molecules is missing or altered; restore it or train again."
        ) from error


def molecule(run: Path, topology: Path, *, name: str | None = None) -> Path:
    """Take a molecule into a run of many; it needs only a topology.

    Parameters
    ----------
    run
        Folder of a run of many molecules.
    topology
        File with its atoms and one structure, for example a PDB file. Its atoms are selected as
        those trained on were.
    name
        Names its folder; by default the topology does.

    Returns
    -------
    Path
        `run/molecules/NAME`, which `sample`, `simulate`, `evaluate` and `write_report` take like
        any run folder. It holds `molecule.json` and `topology.pdb`.

    Raises
    ------
    FokkerError
        If the model does not know one of its beads, if the molecule is not like those trained on
        and a network needs that, or if another molecule has the name already.
    """
    config, known = _read(run)
    options = config.system
    if not isinstance(options, MoleculesOptions) or known is None:
        raise FokkerError(
            f"{run}: a run of one molecule, whose topology it has; leave out --topology."
        )
    system = molecule_system(
        options, topology, name or Path(topology.name.removesuffix(".gz")).stem
    )
    known.vocabulary.indices(system)
    _check_alike(topology, config, system, known.skeleton)
    structure = read_frames(topology, system, min_frames=1)[0]
    folder = RunFolder(run).of_molecule(system.name)
    if folder.molecule.exists():
        stored = read_molecule(folder).system.model_dump(exclude_unset=True)
        if not _agrees(stored, system.model_dump()):
            raise FokkerError(
                f"{folder.path}: holds another molecule of that name; rename {topology.name} or "
                "delete that folder."
            )
        return folder.path
    if parallel.is_primary():
        with folder.locked():
            write_topology(folder.topology, system, structure)
            rows = tuple((float(x), float(y), float(z)) for x, y, z in structure)
            content = MoleculeFile(system=system, structure=rows).model_dump_json(indent=1)
            write_atomically(folder.molecule, content)
    return folder.path


def _agrees(stored: Any, found: Any) -> bool:
    """Whether what a file states is found; a file of an earlier version states less."""
    if isinstance(stored, dict):
        return all(_agrees(value, found[key]) for key, value in stored.items())
    if isinstance(stored, list | tuple):
        pairs = zip(stored, found, strict=False)
        return len(stored) == len(found) and all(_agrees(a, b) for a, b in pairs)
    return bool(stored == found)


def _check_alike(topology: Path, config: Config, system: System, known: Skeleton | None) -> None:
    needed = [e.network.name for e in config.experts if not e.network.any_molecule]
    if needed and known is not None and not known.fits(system):
        raise FokkerError(
            f"{topology}: its {system.n_beads} beads ({' '.join(system.skeleton.names)}) are not, "
            f"or not bonded like, the {len(known.names)} of the molecules trained on "
            f"({' '.join(known.names)}), which network {needed[0]!r} needs; choose another "
            "molecule, or train with network 'graph' or 'graph-transformer'."
        )


def default_molecules(run: Path) -> tuple[Path, ...]:
    """Folders of the molecules of a run of many that commands are for, made where they are not.

    They are those it is judged by; if there are none and it was trained on one molecule, that one.

    Raises
    ------
    FokkerError
        If the run or a file is bad.
    """
    options = run_config(run).system
    if not isinstance(options, MoleculesOptions):
        return ()
    known = entries(options)
    found = known.judged or (known.trained if len(known.trained) == 1 else ())
    return tuple(molecule(run, resolve(e.topology), name=e.name) for e in found)


def choosing_molecules(run: Path) -> tuple[Path, ...]:
    """Folders of the molecules of a run of many that settings may be chosen by, likewise.

    They are its validation molecules; if it has none, the first of those trained on. Test molecules
    choose nothing.

    Raises
    ------
    FokkerError
        If the run or a file is bad.
    """
    options = run_config(run).system
    if not isinstance(options, MoleculesOptions):
        return ()
    known = entries(options)
    found = known.validation or known.trained[:MOST_CHOOSING]
    return tuple(molecule(run, resolve(e.topology), name=e.name) for e in found)


def is_many(run: Path) -> bool:
    """Whether a folder is that of a run of many molecules, and not of one of them."""
    folder = RunFolder(run)
    if folder.molecule.exists() or not checkpoint.exists(folder.checkpoint):
        return False
    return isinstance(run_config(run).system, MoleculesOptions)
