"""NetCDF 3 (classic and 64-bit offset), the container of Amber's trajectories.

Libraries fill the tail of a cut file with zeros or fail inside a memory map; the counts in the
header are compared with the size of the file here. Only the header is parsed.
"""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

from .contents import Contents, corrupt, cut, view

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8}
"""Bytes of each of the format's types."""

_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
_FLOATS = (5, 6)


def _padded(n: int) -> int:
    return (n + 3) // 4 * 4


class Variable(NamedTuple):
    """One array: its shape without the record axis, and where it starts."""

    shape: tuple[int, ...]
    kind: int
    begin: int
    record: bool

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

    def skip_attributes(self) -> None:
        """Pass over a list of attributes."""
        for _ in range(self.length(_ATTRIBUTES)):
            self.name()
            width = _WIDTHS[self.integer()]
            n_bytes = width * self.integer()
            self.at += _padded(n_bytes)


def _variables(data: memoryview) -> tuple[int, dict[str, Variable]]:
    """Number of records, and the arrays of a file by name."""
    reader = _Reader(data)
    n_records = reader.integer()
    dimensions = []
    for _ in range(reader.length(_DIMENSIONS)):
        reader.name()
        dimensions.append(reader.integer())
    reader.skip_attributes()
    variables = {}
    for _ in range(reader.length(_VARIABLES)):
        name = reader.name()
        shape = tuple(dimensions[reader.integer()] for _ in range(reader.integer()))
        reader.skip_attributes()
        kind = reader.integer()
        reader.integer()  # the stored size overflows for large arrays
        begin = reader.integer(">Q" if data[3] == 2 else ">I")
        record = bool(shape) and shape[0] == 0
        variables[name] = Variable(shape[1:] if record else shape, kind, begin, record)
        if kind not in _WIDTHS or 0 in variables[name].shape or begin < reader.at:
            raise ValueError(f"array {name!r}")
    return n_records, variables


def inspect(path: Path) -> Contents:
    """Parse the header of a NetCDF 3 trajectory and compare it with the size of the file.

    Raises
    ------
    FokkerError
        If it is cut, corrupt, of another version of NetCDF, or holds no array `coordinates` of
        shape (frames, atoms, 3).
    """
    data = view(path)
    if bytes(data[:4]) not in (b"CDF\x01", b"CDF\x02"):
        raise corrupt(path, "no NetCDF 3 header")
    try:
        n_records, variables = _variables(data)
        coordinates = variables["coordinates"]
        ends = [v.begin + v.n_bytes for v in variables.values() if not v.record]
        records = [v for v in variables.values() if v.record]
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise corrupt(path, f"bad header: {error}") from error
    if len(coordinates.shape) + coordinates.record != 3 or coordinates.shape[-1] != 3:
        raise corrupt(path, "array `coordinates` is not of shape (frames, atoms, 3)")
    if coordinates.kind not in _FLOATS:
        raise corrupt(path, "array `coordinates` does not hold floating-point numbers")
    if max(ends, default=0) > len(data):
        raise cut(path, f"the header describes {max(ends)} bytes, {len(data)} are there")
    n_atoms = coordinates.shape[-2]
    if not coordinates.record:
        return Contents(n_atoms, coordinates.shape[0])
    # a lone record array is not padded; the padding of the last record may be missing
    record_bytes = (
        sum(_padded(v.n_bytes) for v in records) if len(records) > 1 else records[0].n_bytes
    )
    start = min(v.begin for v in records)
    held = (len(data) - start + 3) // record_bytes
    if held != n_records:
        raise cut(path, f"the header counts {n_records} frames, the file holds {held} whole ones")
    return Contents(n_atoms, n_records)
