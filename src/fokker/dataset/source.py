"""From the configuration's system to frames: files, embedded data or generated data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..config import EMBEDDED, Config, MoleculeOptions, MoleculesOptions, ToyOptions
from ..errors import FokkerError
from ..metrics import distance, evenly
from ..system import System
from ..trajectory import (
    FrameWeights,
    Trajectory,
    alternate_locations,
    read_frames,
    read_labelled,
    read_trajectory,
    system_from_topology,
)
from ..variables import Context, choose
from .frames import Dataset, Scaling, prepare, split_blocks
from .generated import GENERATED, generated_file
from .slow_plane import Plane, slow_plane

MIN_TRAINING_FRAMES = 100

_BOND_FRAMES = 1000
_BOND_SHIFT = 0.03
"""Share of a bond by which its median may differ in a reference, besides two of its spreads."""


def resolve(name: str) -> Path:
    """Path of a user's file, of a data file inside the package, or of one that it makes."""
    if name.startswith(GENERATED):
        return generated_file(name)
    if not name.startswith(EMBEDDED):
        return Path(name).expanduser()
    path = Path(str(files("fokker.dataset"))) / "embedded" / name.removeprefix(EMBEDDED)
    if ".." in path.parts or not path.is_file():
        raise FokkerError(f"{name}: no such data set inside the package.")
    return path


def dataset_of(config: Config, trajectory: Trajectory, scaling: Scaling | None = None) -> Dataset:
    """Data set of one system, split and scaled as a run does it; see `prepare`."""
    if isinstance(config.system, ToyOptions) and not config.system.scaled:
        scaling = scaling or Scaling(scale=1.0, offset=(0.0,) * trajectory.system.dim)
    return prepare(
        trajectory.positions,
        trajectory.system,
        validation_fraction=config.system.validation_fraction,
        forces=trajectory.forces,
        weights=trajectory.weights,
        scaling=scaling,
    )


def load_trajectory(
    config: Config, system: System | None = None, *, min_frames: int = MIN_TRAINING_FRAMES
) -> Trajectory:
    """Frames and system that a configuration names.

    Parameters
    ----------
    config
        The whole configuration.
    system
        That of a trained run, if there is one: its collective variables are then not chosen again.
    min_frames
        Fewest frames of a molecule.

    Raises
    ------
    FokkerError
        On bad files or names.
    """
    options = config.system
    if isinstance(options, MoleculesOptions):
        raise FokkerError(
            f"system {options.name!r} is many molecules, and this is for one; name one of them as "
            "`molecule` with --trajectory and --topology."
        )
    if not isinstance(options, MoleculeOptions):
        from .toys import load_toy

        return load_toy(options.name, seed=0)
    given = system or bare_system(options)
    trajectory = _read(options, given, min_frames)
    if system is not None:
        return trajectory
    context = _context(options, trajectory)
    if options.collective_variables:
        plane = Plane(choose(options.collective_variables, context), "chosen by the user")
    else:
        plane = slow_plane(given, context)
    found = {"collective_variables": plane.variables, "plane": plane.why}
    return replace(trajectory, system=given.model_copy(update=found))


def _read(options: MoleculeOptions, system: System, min_frames: int) -> Trajectory:
    """Frames of the trajectory, then those with forces."""
    paths = [resolve(name) for name in options.without_forces]
    fewest = 1 if options.forces else min_frames
    parts, forces, lengths, notes, interval = [], [], (), (), None
    if paths:
        weights = options.frame_weights(system.kT)
        plain = read_with_topology(options, options.topology, paths, system, fewest, weights)
        if not options.forces:
            return plain
        parts, lengths, notes = [plain.positions], plain.lengths, plain.notes
        interval = plain.interval
        forces = [np.full(plain.positions.shape, np.nan, np.float32)]
    for name in options.forces:
        labelled = read_labelled(
            resolve(name), system, kind=options.force_map, stride=options.stride
        )
        parts.append(labelled.positions)
        forces.append(labelled.forces)
        lengths = (*lengths, len(labelled.positions))
    if sum(lengths) < min_frames:
        raise FokkerError(
            f"{', '.join(options.forces)}: {sum(lengths)} frame(s) in all, at least "
            f"{min_frames} are needed; give more frames."
        )
    return Trajectory(
        np.concatenate(parts), system, lengths, np.concatenate(forces), notes, interval
    )


def read_with_topology(
    options: MoleculeOptions | MoleculesOptions,
    topology: str,
    paths: list[Path],
    system: System,
    min_frames: int,
    weights: FrameWeights | None = None,
) -> Trajectory:
    """Frames of the files of a topology, whose alternate locations are told.

    Raises
    ------
    FokkerError
        On bad files.
    """
    file = resolve(topology)  # which a run that is trained can do without
    left_out = alternate_locations(file) if file.is_file() else ""
    try:
        found = read_trajectory(
            paths,
            system,
            stride=options.stride,
            min_frames=min_frames,
            allow_cut=options.allow_cut,
            weights=weights,
        )
    except FokkerError as error:
        raise FokkerError(f"{error} {left_out}".rstrip()) from error
    return replace(found, notes=(*([left_out] if left_out else []), *found.notes))


def bare_system(options: MoleculeOptions) -> System:
    """System that the topology gives, with the collective variables it suggests."""
    mapping = options.mapping
    return system_from_topology(
        resolve(options.topology),
        select=options.select,
        temperature=options.temperature,
        name=options.name,
        mapping=str(resolve(mapping)) if mapping.startswith(EMBEDDED) else mapping,
    )


def training_segments(
    trajectory: Trajectory, validation_fraction: float
) -> tuple[Float[np.ndarray, "_frames beads dim"], ...]:
    """Training frames in pieces without a gap: neither held-out blocks nor file ends within."""
    index, _ = split_blocks(len(trajectory.positions), validation_fraction)
    gaps = np.flatnonzero(np.diff(index) > 1) + 1
    ends = np.searchsorted(index, np.cumsum(trajectory.lengths)[:-1])
    return tuple(
        trajectory.positions[piece]
        for piece in np.split(index, np.union1d(gaps, ends).astype(int))
        if len(piece)
    )


def drawn_by_weight(trajectory: Trajectory) -> Trajectory:
    """As many frames that count alike, in their order."""
    if trajectory.weights is None:
        return trajectory
    rows = evenly(trajectory.weights)
    file = np.searchsorted(np.cumsum(trajectory.lengths), rows, side="right")
    lengths = np.bincount(file, minlength=len(trajectory.lengths))
    kept = tuple(int(n) for n in lengths if n)
    return replace(trajectory, positions=trajectory.positions[rows], lengths=kept, weights=None)


def file_pieces(trajectory: Trajectory) -> tuple[Float[np.ndarray, "_frames beads dim"], ...]:
    """All frames, file by file."""
    return tuple(np.split(trajectory.positions, np.cumsum(trajectory.lengths, dtype=int)[:-1]))


def _context(options: MoleculeOptions, trajectory: Trajectory) -> Context:
    system = trajectory.system
    return Context(
        labels=system.labels,
        masses=system.masses,
        neighbours=system.neighbours,
        segments=training_segments(trajectory, options.validation_fraction),
        automatic=system.collective_variables,
        read_structure=lambda name: read_frames(resolve(name), system, min_frames=1)[0],
    )


def load_reference(
    config: Config,
    trajectory: Trajectory,
    given: list[Path] | None = None,
    *,
    allow_cut: bool = False,
    on_note: Callable[[str], None] = lambda _: None,
) -> Float[np.ndarray, "frames beads dim"] | None:
    """Independent frames for evaluation: the given files, or those of the configuration.

    Parameters
    ----------
    config
        The whole configuration.
    trajectory
        Frames trained on, of the same system.
    given
        Files in place of those of the configuration.
    allow_cut
        Use the whole frames of files that end early, as the configuration may say as well.
    on_note
        Told what is to be said of the files.

    Returns
    -------
    Array or None
        Frames in user units, or None if there are none.
    """
    options = config.system
    if given or isinstance(options, MoleculeOptions):
        names = options.reference if isinstance(options, MoleculeOptions) else ()
        paths = given or [resolve(name) for name in names]
        allow_cut = allow_cut or (isinstance(options, MoleculeOptions) and options.allow_cut)
        if not paths:
            return None
        found = read_trajectory(paths, trajectory.system, allow_cut=allow_cut)
        for note in found.notes:
            on_note(note)
        for path, frames in zip(paths, file_pieces(found), strict=True):
            _check_same_bonds(path, frames, trajectory)
        return found.positions
    from .toys import reference_frames

    return reference_frames(options.name).positions


def _check_same_bonds(
    path: Path, frames: Float[np.ndarray, "frames beads dim"], trajectory: Trajectory
) -> None:
    """Raise if a bond of the reference has another length than in the training frames."""
    system = trajectory.system
    if not system.bonds:
        return
    steps = (max(1, len(each) // _BOND_FRAMES) for each in (trajectory.positions, frames))
    known, found = (
        np.stack([distance(each[::step], bond) for bond in system.bonds], axis=1)
        for each, step in zip((trajectory.positions, frames), steps, strict=True)
    )
    usual, seen = np.median(known, axis=0), np.median(found, axis=0)
    wrong = np.abs(seen - usual) > _BOND_SHIFT * usual + 2.0 * known.std(axis=0)
    if wrong.any():
        first = int(wrong.argmax())
        raise FokkerError(
            f"{path}: the bond {system.bond_labels[first]} is {seen[first]:.3g} nm long, in the "
            f"training frames {usual[first]:.3g} nm ({wrong.sum()} of {len(wrong)} bonds differ): "
            f"give a reference of the same molecule with its beads in the same order, in nm."
        )
