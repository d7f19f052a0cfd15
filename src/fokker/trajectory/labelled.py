"""Frames with forces: NPZ and HDF5 files of atoms, mapped to beads.

NPZ: arrays `positions` (frames, atoms, 3) in nm and `forces` in kJ/mol/nm; `names` (atoms,) are
compared with the topology if they are there, and other arrays are left alone. HDF5: datasets
`positions` or `coordinates` (as MDTraj has it) and `forces` at the top, or those of H5MD; lengths
in angstrom are converted, any other unit that is stated is refused.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..system import System
from . import checks
from .bond_check import check_lengths, check_scale
from .checks import Part
from .contents import corrupt
from .force_map import ForceMap, force_map, internal_part, rigid_groups, virial_ratio
from .hdf5 import checked_shape, length_unit, opened, places, text, unit_of
from .library import check_file, file_suffix
from .npy import read_header
from .reading import part_of

SUFFIXES = (".npz", ".h5", ".hdf5", ".h5md")

_FORCE_UNITS = ("kJ/mol/nm", "kJ mol-1 nm-1", "kilojoule/mole/nanometer")
_MOST_EXPANSION = 100
_VIRIAL = (0.5, 2.0)


class LabelledFrames(NamedTuple):
    """Frames of beads with the forces on them, nm and kJ/mol/nm."""

    positions: Float[np.ndarray, "frames beads 3"]
    forces: Float[np.ndarray, "frames beads 3"]


class _Arrays(NamedTuple):
    positions: np.ndarray
    forces: np.ndarray
    names: tuple[str, ...] | None


def read_labelled(
    path: Path, system: System, *, kind: ForceMap = "optimal", stride: int = 1
) -> LabelledFrames:
    """Read frames with forces and map both to the beads.

    Parameters
    ----------
    path
        File with all atoms of the topology, or with the beads alone.
    system
        A molecule; its mapping says which atoms make a bead.
    kind
        How forces are mapped; see `fokker.force_map`.
    stride
        Keep every stride-th frame.

    Returns
    -------
    LabelledFrames
        Forces have neither a net force nor a net torque.

    Raises
    ------
    FokkerError
        On every kind of bad file, and on forces that do not fit positions and temperature.
    """
    if system.dim != 3:
        raise FokkerError(f"{path}: forces are for molecules; system {system.name!r} is none.")
    suffix = file_suffix(path)
    if suffix not in SUFFIXES:
        raise FokkerError(
            f"{path}: frames with forces are read from {', '.join(SUFFIXES)}; write positions (nm) "
            "and forces (kJ/mol/nm) with numpy.savez."
        )
    check_file(path, "file with forces")
    held = _read_npz(path) if suffix == ".npz" else _read_hdf5(path)
    n_atoms = held.positions.shape[1]
    part = part_of(path, n_atoms, system)
    _check_atoms(path, held, system)
    positions = held.positions[::stride, part.atoms].astype(np.float32)
    forces = held.forces[::stride, part.atoms].astype(np.float32)
    _check_frames(path, positions, forces, part, stride)
    groups = rigid_groups(positions, part.bonds)
    position_map = np.zeros((system.n_beads, len(part.atoms)))
    sizes = np.diff([*part.starts, len(part.members)])
    position_map[np.repeat(np.arange(system.n_beads), sizes), part.members] = part.weights
    coefficients = force_map(kind, position_map, forces, groups)
    beads = part.beads(positions)
    mapped = np.einsum("ba,nad->nbd", coefficients, forces)
    pairs = system.bonds or tuple((i, i + 1) for i in range(system.n_beads - 1))
    ratio, error = virial_ratio(mapped, beads, np.array(pairs, int), system.kT)
    if not _VIRIAL[0] < ratio < _VIRIAL[1] and abs(ratio - 1.0) > 4.0 * error:
        raise FokkerError(
            f"{path}: the forces do not fit the positions: their virial is {ratio:.3g} times "
            "that of equilibrium; check that they are forces and not gradients, in "
            "kJ/mol/nm (kcal/mol/angstrom times 41.84), and the temperature."
        )
    return LabelledFrames(beads, internal_part(mapped, beads).astype(np.float32))


def _check_atoms(path: Path, held: _Arrays, system: System) -> None:
    """Compare names with those of the beads that are single atoms."""
    mapping = system.mapping
    if (
        held.names is None
        or mapping is None
        or mapping.sizes
        or held.positions.shape[1] != mapping.n_atoms
    ):
        return
    for bead, atom in zip(system.beads, mapping.indices, strict=True):
        if held.names[atom] != bead.name:
            raise FokkerError(
                f"{path}: atom {atom} (from 0) is called {held.names[atom]!r}, the topology has "
                f"{bead.name!r} there; give the forces in the order of the topology."
            )


def _check_frames(
    path: Path, positions: np.ndarray, forces: np.ndarray, part: Part, stride: int
) -> None:
    numbers = np.arange(len(positions)) * stride
    checks.check_frames(path, positions, numbers)
    finite = np.isfinite(forces).all(axis=(1, 2))
    zero = (forces == 0).all(axis=(1, 2))
    if not finite.all() or zero.any():
        frame, what = numbers[finite.argmin()], "a force that is NaN or infinite"
        if finite.all():
            frame, what = numbers[zero.argmax()], "no force on any atom"
        raise FokkerError(f"{path}: frame {frame} has {what}; remove such frames.")
    if len(part.bonds):
        lengths = checks.bond_lengths(positions, part.bonds)
        usual = checks.usual_bond_lengths(lengths)
        check_scale(path, lengths, part)
        check_lengths(path, lengths, part)
        limit = np.full(len(positions), np.inf)
        checks.check_whole(path, lengths, usual, limit, numbers, part.atoms[part.bonds])


def _same_shape(path: Path, positions: tuple[int, ...], forces: tuple[int, ...]) -> None:
    if positions != forces:
        raise FokkerError(
            f"{path}: positions of shape {positions} and forces of shape {forces} do not belong "
            "together; save one force for every position."
        )


def _lacks(path: Path, name: str, there: Iterator[str] | list[str]) -> FokkerError:
    found = ", ".join(sorted(there)[:12]) or "nothing"
    return FokkerError(f"{path}: has no {name!r} ({found} are there); save positions and forces.")


def _read_npz(path: Path) -> _Arrays:
    """Headers first: no array is read whose size is not that which the archive states."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
            headers = {name: _header(path, archive, member) for name, member in members.items()}
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise corrupt(path, str(error).splitlines()[0] if str(error) else "no archive") from error
    for name in ("positions", "forces"):
        if name not in headers:
            raise _lacks(path, name, list(headers))
        checked_shape(path, name, *headers[name])
    positions, forces = headers["positions"][0], headers["forces"][0]
    _same_shape(path, positions, forces)
    wanted = [n for n in ("positions", "forces", "names") if n in headers]
    size = path.stat().st_size
    if sum(members[name].file_size for name in wanted) > _MOST_EXPANSION * size:
        raise corrupt(path, f"it claims more than {_MOST_EXPANSION} times its size")
    if "names" in headers:
        shape, dtype = headers["names"]
        if shape != positions[1:2] or dtype.kind not in "US":
            raise FokkerError(
                f"{path}: names are {dtype} of shape {shape}; save text for each of the "
                f"{positions[1]} atoms, or leave them out."
            )
    try:
        with np.load(path, allow_pickle=False) as loaded:
            found = {name: loaded[name] for name in wanted}
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, zlib.error) as error:
        raise corrupt(path, str(error).splitlines()[0]) from error
    names = found.get("names")
    return _Arrays(
        found["positions"],
        found["forces"],
        None if names is None else tuple(text(name) for name in names),
    )


def _header(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[tuple[int, ...], np.dtype]:
    fault = f"{member.filename} has no valid header"
    try:
        with archive.open(member) as file:
            shape, _, dtype = read_header(file, path, fault)
            held = member.file_size - file.tell()
    except FokkerError:
        raise
    except Exception as error:  # of the archive, on any damage
        raise corrupt(path, fault) from error
    if dtype.kind == "O" or held != prod(shape) * dtype.itemsize:
        fault = f"{member.filename} of shape {shape} does not fit its {held} bytes"
        raise corrupt(path, "it holds Python objects" if dtype.kind == "O" else fault)
    return tuple(int(n) for n in shape), dtype


def _read_hdf5(path: Path) -> _Arrays:
    with opened(path) as file:
        place = places(path, file, forces=True)[0]
        positions, forces = file[place.positions], file[place.forces]
        for name, data in (("positions", positions), ("forces", forces)):
            checked_shape(path, name, data.shape, data.dtype)
        _same_shape(path, positions.shape, forces.shape)
        _check_force_unit(path, forces)
        unit = length_unit(path, "positions", positions)
        return _Arrays(positions[()] * unit, forces[()], None)


def _check_force_unit(path: Path, forces: Any) -> None:
    unit = unit_of(forces)
    plain = unit.lower().replace("_per_", "/").replace("kilojoules", "kilojoule").replace(" ", "")
    if unit and plain not in [known.lower().replace(" ", "") for known in _FORCE_UNITS]:
        raise FokkerError(f"{path}: forces are in {unit!r}; convert them to {_FORCE_UNITS[0]}.")
