"""From trajectory files to frames of beads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..system import Atom, Mapping, System
from . import checks
from .bond_check import check_lengths, check_scale
from .checks import Part
from .clock import Timed, stated_interval, without_overlaps
from .frame_weights import FrameWeights
from .rounding import step_of, too_coarse
from .sources import open_source
from .symbols import check_symbols
from .topology import system_from_topology


@dataclass(frozen=True)
class Trajectory:
    """Frames of a system.

    Attributes
    ----------
    positions
        Shape (frames, beads, dim), float32, nm for molecules.
    system
        What moves.
    lengths
        Frames of each file, which are put end to end; empty if they are one piece.
    notes
        What is to be said of the files.
    forces
        On the beads, kJ/mol/nm, NaN in frames that have none; None if no frame has any.
    interval
        Time between these frames that the files state, ps; None if they do not, or unevenly. It
        does not make dynamics of them.
    weights
        Of each frame, 1 on average; None if all count alike.
    """

    positions: Float[np.ndarray, "frames beads dim"]
    system: System
    lengths: tuple[int, ...] = ()
    forces: Float[np.ndarray, "frames beads dim"] | None = None
    notes: tuple[str, ...] = ()
    interval: float | None = None
    weights: Float[np.ndarray, " frames"] | None = None


def read_molecule(
    trajectories: Sequence[Path],
    topology: Path,
    *,
    select: str = "all",
    temperature: float,
    name: str = "molecule",
    mapping: str = "atoms",
    stride: int = 1,
    min_frames: int = 2,
    allow_cut: bool = False,
) -> Trajectory:
    """Read a molecule: its topology, and one or more trajectories that are put end to end.

    Molecules that a periodic box has cut apart are made whole where the file knows its box.

    Parameters
    ----------
    trajectories
        Files with all atoms of the topology, or with the beads only.
    topology
        Any topology that mdtraj reads.
    select
        Atoms that take part, in mdtraj's selection language.
    temperature
        K.
    mapping
        How atoms become beads: `atoms`, `alpha-carbons`, `residues`, or the path of a TOML file.
    stride
        Keep every stride-th frame of each file.
    min_frames
        Fewest frames, over all files.
    allow_cut
        Use the whole frames of files that end early, and note how many.

    Raises
    ------
    FokkerError
        On every kind of bad file, selection or option.
    """
    system = system_from_topology(
        topology, select=select, temperature=temperature, name=name, mapping=mapping
    )
    return read_trajectory(
        trajectories, system, stride=stride, min_frames=min_frames, allow_cut=allow_cut
    )


def read_trajectory(
    trajectories: Sequence[Path],
    system: System,
    *,
    stride: int = 1,
    min_frames: int = 2,
    allow_cut: bool = False,
    weights: FrameWeights | None = None,
) -> Trajectory:
    """Read the frames of a known system from files that are put end to end.

    Frames of a run that another file continues from before them are left out, and noted; their
    weights with them.

    Raises
    ------
    FokkerError
        On every kind of bad file or option.
    """
    if not trajectories:
        raise FokkerError("trajectory: no file is given; name at least one trajectory file.")
    whole = [path.resolve() for path in trajectories]
    for path in trajectories:
        if whole.count(path.resolve()) > 1:
            raise FokkerError(
                f"{path}: is given twice, and its frames would count twice; name it once."
            )
    read = [_read(path, system, stride, allow_cut=allow_cut) for path in trajectories]
    keep, told = without_overlaps([each.timed for each in read])
    frames = [
        each.timed.positions if mask.all() else each.timed.positions[mask]
        for each, mask in zip(read, keep, strict=True)
    ]
    positions = np.concatenate(frames)
    _check_count(", ".join(map(str, trajectories)), len(positions), min_frames, stride)
    notes = (*(note for each in read for note in each.notes), *told)
    found = Trajectory(
        positions,
        system,
        tuple(len(each) for each in frames),
        notes=notes,
        interval=stated_interval([each.timed for each in read]),
    )
    if weights is None:
        return found
    values = weights.read([(each.timed.path, each.n_frames) for each in read])
    kept = [each[::stride][mask] for each, mask in zip(values, keep, strict=True)]
    return replace(found, weights=weights.weights(np.concatenate(kept)))


def read_frames(
    path: Path,
    system: System,
    *,
    stride: int = 1,
    min_frames: int = 2,
    allow_failed: bool = False,
    allow_cut: bool = False,
    on_note: Callable[[str], None] = lambda _: None,
) -> Float[np.ndarray, "frames beads dim"]:
    """Read the frames of a system from one file.

    Parameters
    ----------
    path
        File with `system.n_beads` atoms, or with the atoms the beads were mapped from.
    stride
        Keep every stride-th frame.
    min_frames
        Fewest frames.
    allow_failed
        Keep frames that a sampler or a simulation has failed on (not finite, all beads at the
        origin, torn bonds) instead of raising, so that an evaluation can count them.
    allow_cut
        Use the whole frames of a file that ends early.
    on_note
        Told what is to be said of the file.

    Returns
    -------
        Shape (frames, beads, dim), float32, nm for molecules.

    Raises
    ------
    FokkerError
        On every kind of bad file, or if it holds another number of atoms.
    """
    read = _read(path, system, stride, allow_failed=allow_failed, allow_cut=allow_cut)
    for note in read.notes:
        on_note(note)
    frames = read.timed.positions
    _check_count(str(path), len(frames), min_frames, stride)
    return frames


def box_of(path: Path, system: System) -> tuple[float, float, float] | None:
    """Edge lengths of the periodic box of the first frame, nm; None if the file has no real one.

    Raises
    ------
    FokkerError
        On every kind of bad file.
    """
    source = open_source(path, system, allow_cut=True)
    first = next(source.chunks(np.arange(1)), None)
    cells = None if first is None else first.cells
    if cells is None or not len(cells):
        return None
    a, b, c = np.linalg.norm(cells[0].astype(np.float64), axis=-1)
    dummy = not np.isfinite([a, b, c]).all() or min(a, b, c) < 2 * checks.BOND_RANGE[0]
    return None if dummy else (float(a), float(b), float(c))


def _check_count(files: str, n_frames: int, min_frames: int, stride: int) -> None:
    if n_frames < min_frames:
        raise FokkerError(
            f"{files}: {n_frames} frame(s) at stride {stride}, at least {min_frames} are needed; "
            f"give a longer trajectory or a smaller stride."
        )


class _File(NamedTuple):
    """Frames of a file, how many it has before a stride, and what is to be said of it."""

    timed: Timed
    n_frames: int
    notes: list[str]


def _read(
    path: Path,
    system: System,
    stride: int,
    *,
    allow_failed: bool = False,
    allow_cut: bool = False,
) -> _File:
    """Frames of the beads."""
    if stride < 1:
        raise FokkerError(f"stride: {stride} is not a positive number; use 1 to keep every frame.")
    source = open_source(path, system, allow_cut=allow_cut)
    part = part_of(path, source.n_atoms, system)
    check_symbols(path, source.elements, system)
    bonded = system.length_unit == "nm" and system.dim == 3 and len(part.bonds) > 0
    usual, step = None, source.rounding
    kept = [np.empty((0, system.n_beads, system.dim), np.float32)]
    times: list[np.ndarray] = []
    start = 0
    for frames, cells, clock in source.chunks(part.atoms):
        step = step if start else max(step, step_of(frames))
        numbers = np.arange(start, start + len(frames))
        start += len(frames)
        take = numbers % stride == 0
        frames, numbers = frames[take], numbers[take]
        cells = None if cells is None else cells[take]
        if not len(frames):
            continue
        times.append(np.full(len(frames), np.nan) if clock is None else clock[take])
        if not allow_failed:
            checks.check_frames(path, frames, numbers)
        if bonded:
            frames, usual = _whole(path, frames, cells, numbers, part, usual, allow_failed)
        kept.append(part.beads(frames))
    notes = [*source.notes, *(too_coarse(path, step) if bonded else [])]
    clock = np.concatenate(times) if times else None
    return _File(Timed(path, np.concatenate(kept), clock), start, notes)


def _whole(
    path: Path,
    frames: np.ndarray,
    cells: np.ndarray | None,
    numbers: np.ndarray,
    part: Part,
    usual: checks.BondLengths | None,
    allow_failed: bool,
) -> tuple[np.ndarray, checks.BondLengths | None]:
    """Frames made whole and checked; the usual bond lengths are those of the first chunk."""
    if allow_failed and cells is None:
        return frames, usual
    lengths = checks.bond_lengths(frames, part.bonds)
    limit = np.full(len(frames), np.inf)
    overall = usual.overall if usual else checks.usual_bond_lengths(lengths).overall
    if not allow_failed:
        check_scale(path, lengths, part)
    if cells is not None:
        limit = checks.half_box(cells, overall)
        broken = np.asarray((lengths > limit[:, None]).any(axis=1))
        if broken.any():
            frames = checks.make_whole(frames, cells, broken, part.bonds)
            lengths = checks.bond_lengths(frames, part.bonds)
    if usual is None and not allow_failed:
        check_lengths(path, lengths, part)
    usual = usual or checks.usual_bond_lengths(lengths)
    if not allow_failed:
        checks.check_whole(path, lengths, usual, limit, numbers, part.atoms[part.bonds])
    return frames, usual


def part_of(path: Path, n_atoms: int, system: System) -> Part:
    """What to read from a file with so many atoms."""
    mapping = system.mapping
    bonds = np.array(system.bonds, int).reshape(-1, 2)
    if mapping is not None and n_atoms == mapping.n_atoms and (mapping.bonds or mapping.sizes):
        return _part_of_atoms(mapping)
    each = np.arange(system.n_beads)
    ones = np.ones(system.n_beads)
    chemical, expected = _are_chemical(system), _expected(system)
    names = tuple(Atom(b.name, b.element, b.residue, b.residue_index) for b in system.beads)
    if n_atoms == system.n_beads:
        return Part(each, bonds, chemical, each, each, ones, expected, names)
    if mapping is not None and n_atoms == mapping.n_atoms:
        atoms, beads = np.unique(np.array(mapping.indices), return_inverse=True)
        return Part(atoms, beads[bonds], chemical, beads, each, ones, expected)
    wanted = f"{system.n_beads} beads"
    if mapping is not None and mapping.n_atoms != system.n_beads:
        wanted += f" taken from {mapping.n_atoms} atoms"
    raise FokkerError(
        f"{path}: holds {n_atoms} atoms, but system {system.name!r} has {wanted}; "
        f"give the trajectory that belongs to the topology."
    )


def _part_of_atoms(mapping: Mapping) -> Part:
    """The atoms of the beads and all bonded to them, so that molecules can be made whole."""
    pairs = np.array(mapping.bonds, int).reshape(-1, 2)
    indices = np.array(mapping.indices)
    atoms = np.union1d(indices, pairs)
    sizes = np.array(mapping.sizes or (1,) * len(indices))
    starts = np.cumsum(sizes) - sizes
    weights = np.array(mapping.weights or (1.0,) * len(indices))
    weights = weights / np.repeat(np.add.reduceat(weights, starts), sizes)
    bonds, members = np.searchsorted(atoms, pairs), np.searchsorted(atoms, indices)
    expected = np.array(mapping.lengths or np.zeros(len(bonds)))
    return Part(atoms, bonds, True, members, starts, weights, expected, mapping.atoms)


def _expected(system: System) -> np.ndarray:
    """Covalent length of the bonds of beads that are bonded atoms, nm; 0 for the others."""
    mapping = system.mapping
    if mapping is None or mapping.sizes:
        return np.zeros(len(system.bonds))
    known = dict(zip(map(frozenset, mapping.bonds), mapping.lengths, strict=False))
    pairs = (frozenset(mapping.indices[i] for i in bond) for bond in system.bonds)
    return np.array([known.get(pair, 0.0) for pair in pairs])


def _are_chemical(system: System) -> bool:
    """Whether every bond of the beads is one between atoms of the source."""
    mapping = system.mapping
    if mapping is None or not (mapping.bonds or mapping.sizes):
        return True
    if mapping.sizes:
        return False
    pairs = {frozenset(bond) for bond in mapping.bonds}
    return all(frozenset(mapping.indices[i] for i in bond) in pairs for bond in system.bonds)
