"""NetCDF 3 (classic and 64-bit offset), the container of Amber's trajectories.

Libraries fill the tail of a cut file with zeros or fail inside a memory map; the counts in the
header are compared with the size of the file here. Only the header is parsed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..units import ANGSTROM
from .cell import box_vectors
from .contents import Contents, corrupt, cut, view

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8}
"""Bytes of each of the format's types."""

_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
_FLOATS = (5, 6)
_STREAMING = 0xFFFFFFFF
"""A count of records that says: as many as there are."""

_CODES = {1: ">i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8"}
_NM = {"nm": 1.0, "nanometer": 1.0, "nanometers": 1.0, "angstrom": ANGSTROM, "angstroms": ANGSTROM}
"""Units of length, nm."""


def _padded(n: int) -> int:
    return (n + 3) // 4 * 4


class Variable(NamedTuple):
    """One array: its shape without the record axis, and where it starts."""

    shape: tuple[int, ...]
    kind: int
    begin: int
    record: bool
    attributes: dict[str, str | float]

    @property
    def n_bytes(self) -> int:
        """Bytes of the array, or of one record of it."""
        return prod(self.shape) * _WIDTHS[self.kind]


@dataclass
class _Reader:
    """A position in the header."""

    data: memoryview
    at: int = 4

    def integer(self, code: str = ">I") -> int:
        """Next number of a struct code."""
        (value,) = struct.unpack_from(code, self.data, self.at)
        self.at += struct.calcsize(code)
        return value

    def name(self) -> str:
        """Next string."""
        length = self.integer()
        text = bytes(self.data[self.at : self.at + length]).decode("utf-8", "replace")
        self.at += _padded(length)
        return text

    def length(self, tag: int) -> int:
        """Number of elements of the list that follows, which must carry the tag or be absent."""
        found, count = self.integer(), self.integer()
        if found != tag and (found, count) != (0, 0):
            raise ValueError(f"list tag {found}")
        if count > len(self.data):
            raise ValueError(f"list of {count}")
        return count

    def attributes(self) -> dict[str, str | float]:
        """A list of attributes: texts, and the first number of the others."""
        found: dict[str, str | float] = {}
        for _ in range(self.length(_ATTRIBUTES)):
            name, kind, count = self.name(), self.integer(), self.integer()
            n_bytes = _WIDTHS[kind] * count
            content = bytes(self.data[self.at : self.at + n_bytes])
            self.at += _padded(n_bytes)
            if kind == 2:
                found[name] = content.decode("utf-8", "replace").strip("\0 ")
            elif count:
                found[name] = float(np.frombuffer(content, _CODES[kind], 1)[0])
        return found


def _variables(data: memoryview) -> tuple[int, dict[str, Variable]]:
    """Number of records, and the arrays of a file by name."""
    reader = _Reader(data)
    n_records = reader.integer()
    dimensions = []
    for _ in range(reader.length(_DIMENSIONS)):
        reader.name()
        dimensions.append(reader.integer())
    reader.attributes()
    variables = {}
    for _ in range(reader.length(_VARIABLES)):
        name = reader.name()
        shape = tuple(dimensions[reader.integer()] for _ in range(reader.integer()))
        attributes = reader.attributes()
        kind = reader.integer()
        reader.integer()  # the stored size overflows for large arrays
        begin = reader.integer(">Q" if data[3] == 2 else ">I")
        record = bool(shape) and shape[0] == 0
        shape = shape[1:] if record else shape
        variables[name] = Variable(shape, kind, begin, record, attributes)
        if kind not in _WIDTHS or 0 in variables[name].shape or begin < reader.at:
            raise ValueError(f"array {name!r}")
    return n_records, variables


def inspect(path: Path) -> Contents:
    """Parse the header of a NetCDF 3 trajectory and compare it with the size of the file.

    Raises
    ------
    FokkerError
        If it is cut before its first frame, corrupt, of another version of NetCDF, or holds no
        array `coordinates` of shape (frames, atoms, 3) in a known unit.
    """
    return _inspect(path, view(path))[0]


class _Records(NamedTuple):
    """Arrays of a file, and the bytes of a record."""

    variables: dict[str, Variable]
    stride: int

    def array(self, data: memoryview, name: str, n_frames: int) -> np.ndarray | None:
        """An array with its axis of frames, mapped; None if it is not there."""
        v = self.variables.get(name)
        if v is None:
            return None
        inner = np.empty(v.shape if v.record else v.shape[1:], "u1").strides
        width = _WIDTHS[v.kind]
        steps = [width * s for s in inner]
        first = self.stride if v.record else prod(v.shape[1:]) * width
        shape = (n_frames, *(v.shape if v.record else v.shape[1:]))
        if not n_frames:
            return np.empty(shape, _CODES[v.kind])
        return np.ndarray(shape, _CODES[v.kind], data, v.begin, (first, *steps))


def _inspect(path: Path, data: memoryview) -> tuple[Contents, _Records]:
    if bytes(data[:4]) not in (b"CDF\x01", b"CDF\x02"):
        raise corrupt(path, "no NetCDF 3 header")
    try:
        n_records, variables = _variables(data)
        coordinates = variables["coordinates"]
        ends = [v.begin + v.n_bytes for v in variables.values() if not v.record]
        records = [v for v in variables.values() if v.record]
    except (struct.error, ValueError, KeyError, IndexError, OverflowError) as error:
        raise corrupt(path, f"bad header: {error}") from error
    if len(coordinates.shape) + coordinates.record != 3 or coordinates.shape[-1] != 3:
        raise corrupt(path, "array `coordinates` is not of shape (frames, atoms, 3)")
    if coordinates.kind not in _FLOATS:
        raise corrupt(path, "array `coordinates` does not hold floating-point numbers")
    if max(ends, default=0) > len(data):
        raise cut(path, f"the header describes {max(ends)} bytes, {len(data)} are there")
    if _scale(coordinates) is None:
        raise corrupt(path, f"coordinates in {coordinates.attributes}, an unknown unit or scale")
    n_atoms, n_frames, fault, record_bytes = coordinates.shape[-2], coordinates.shape[0], "", 0
    # a lone record array is not padded; the padding of the last record may be missing
    if records:
        record_bytes = (
            sum(_padded(v.n_bytes) for v in records) if len(records) > 1 else records[0].n_bytes
        )
    if coordinates.record:
        start = min(v.begin for v in records)
        end = max(v.begin + v.n_bytes for v in records)
        n_frames = max(0, (len(data) - end) // record_bytes + 1)
        if n_records == _STREAMING:
            over = len(data) > start + n_frames * record_bytes
            fault = f"it ends in frame {n_frames}" if over else ""
        elif n_frames != n_records:
            fault = f"the header counts {n_records} frames, the file holds {n_frames} whole ones"
    found = _Records(variables, record_bytes)
    try:
        found.array(data, "coordinates", n_frames)
        times = found.array(data, "time", n_frames)
        for name in ("cell_lengths", "cell_angles"):
            edges = found.array(data, name, n_frames)
            if edges is not None and (edges.shape != (n_frames, 3) or edges.dtype.kind != "f"):
                raise ValueError(f"array {name!r}")
    except (ValueError, TypeError) as error:
        raise corrupt(path, f"bad header: {error}") from error
    if times is not None:
        times = times.astype(np.float64) if times.shape == (n_frames,) else None
    return Contents(n_atoms, n_frames, times, fault), found


def _scale(variable: Variable) -> float | None:
    """What the numbers of an array are to be multiplied with to be nm; None if not known."""
    units, factor = (
        variable.attributes.get("units", "angstrom"),
        variable.attributes.get("scale_factor", 1.0),
    )
    unit = _NM.get(units.lower()) if isinstance(units, str) else None
    if unit is None or not isinstance(factor, float) or not isfinite(factor) or factor == 0:
        return None
    return unit * factor


def read(
    path: Path, contents: Contents, atoms: np.ndarray, at_once: int
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Positions and box vectors, nm."""
    data = view(path)
    records = _inspect(path, data)[1]
    coordinates, lengths, angles = (
        records.array(data, name, contents.n_frames)
        for name in ("coordinates", "cell_lengths", "cell_angles")
    )
    assert coordinates is not None
    scale = _scale(records.variables["coordinates"]) or ANGSTROM
    for start in range(0, contents.n_frames, at_once):
        part = slice(start, start + at_once)
        with np.errstate(over="ignore", invalid="ignore"):
            positions = (coordinates[part, atoms] * scale).astype(np.float32)
            cells = None
            if lengths is not None and angles is not None:
                unit = _scale(records.variables["cell_lengths"]) or ANGSTROM
                cells = box_vectors(lengths[part] * unit, angles[part])
        yield positions, cells
