"""DCD: a header of three Fortran records, then one record an axis and frame, in angstrom.

The reader in mdtraj takes the number of frames from the size of the file and drops an incomplete
frame silently, so the header's own count is compared here.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..units import ANGSTROM
from .contents import Contents, corrupt, cut, ends_in_zeros, view
from .encoder import AbstractEncoder, count_equal_frames

_FIRST = 84
"""Length of the first record; tells the byte order."""

_CELL = 48
"""Length of the record of the unit cell."""

_TITLES = (b"Created by fokker", b"Lengths in angstrom")


def _frame_dtype(n_atoms: int, cell: bool, order: str) -> np.dtype:
    """One frame: record markers and data of the unit cell, x, y and z."""
    marker = f"{order}i4"
    records: list[tuple[str, str, int]] = [("cell", "f8", 6)] if cell else []
    records += [(axis, "f4", n_atoms) for axis in "xyz"]
    return np.dtype(
        [
            field
            for name, kind, count in records
            for field in (
                (f"{name}_begin", marker),
                (name, f"{order}{kind}", (count,)),
                (f"{name}_end", marker),
            )
        ]
    )


def _markers_agree(frames: np.ndarray) -> np.ndarray:
    """Whether each frame's record markers state the lengths of its records."""
    good = np.ones(len(frames), bool)
    for name in (n for n in frames.dtype.names or () if f"{n}_begin" in (frames.dtype.names or ())):
        length = frames.dtype[name].itemsize
        good &= (frames[f"{name}_begin"] == length) & (frames[f"{name}_end"] == length)
    return good


def inspect(path: Path) -> Contents:
    """Walk a DCD file.

    Raises
    ------
    FokkerError
        If its header is cut, if it is corrupt or of a dialect that is not read (fixed atoms, a
        fourth dimension, 64-bit record markers).
    """
    data = view(path)
    if len(data) < 100:
        raise cut(path, "no complete header")
    order = next((o for o in "<>" if struct.unpack_from(o + "i", data)[0] == _FIRST), None)
    if order is None or bytes(data[4:8]) != b"CORD":
        raise corrupt(path, "no DCD header with 32-bit record markers")
    words = struct.unpack_from(order + "20i", data, 8)
    claimed, fixed = words[0], words[8]
    # without a version number the words of these flags hold the time step
    cell, fourth = (words[19] != 0 and words[at] != 0 for at in (10, 11))
    if fixed or fourth:
        raise corrupt(path, "fixed atoms or a fourth dimension, which are not supported")
    first_end, title, n_titles = struct.unpack_from(order + "3i", data, 88)
    if first_end != _FIRST or not 0 <= n_titles <= 1000 or title != 4 + 80 * n_titles:
        raise corrupt(path, "header records do not match")
    start = 96 + title + 16
    if len(data) < start:
        raise cut(path, "no complete header")
    title_end, begin, n_atoms, end = struct.unpack_from(order + "4i", data, start - 16)
    if (title_end, begin, end) != (title, 4, 4) or n_atoms < 1 or claimed < 0:
        raise corrupt(path, "header records do not match")

    frame_bytes = 3 * (4 * n_atoms + 8) + (_CELL + 8 if cell else 0)
    n_frames, rest = divmod(len(data) - start, frame_bytes)
    if n_frames:
        frames = np.frombuffer(data, _frame_dtype(n_atoms, cell, order), n_frames, start)
        good = _markers_agree(frames)
        if not good.all():
            first = int(good.argmin())
            if not first or not ends_in_zeros(data, start + first * frame_bytes):
                raise corrupt(path, f"frame {first} has wrong record lengths")
            n_frames, rest = first, 1
    fault = ""
    if rest or n_frames < claimed:
        fault = f"the header counts {claimed} frames, the file holds {n_frames} whole ones"
    times = words[1] + float(words[2]) * np.arange(n_frames)  # steps of the integrator
    return Contents(n_atoms, n_frames, times, fault)


@dataclass(frozen=True)
class DCDEncoder(AbstractEncoder):
    """Frames of `n_beads` beads without a unit cell."""

    n_beads: int

    def header(self, n_frames: int) -> bytes:
        """CHARMM 24 header; the count stands twice, as frames and as steps."""
        words = [0] * 20
        words[0] = words[3] = n_frames
        words[2] = 1  # steps between frames
        words[9] = struct.unpack("<i", struct.pack("<f", 1.0))[0]  # time step, a float
        words[19] = 24  # version
        titles = b"".join(title.ljust(80) for title in _TITLES)
        length = 4 + len(titles)
        return (
            struct.pack("<i4s20ii", _FIRST, b"CORD", *words, _FIRST)
            + struct.pack("<2i", length, len(_TITLES))
            + titles
            + struct.pack("<4i", length, 4, self.n_beads, 4)
        )

    def encode(self, frames: Float[np.ndarray, "frames beads dim"], first: int) -> bytes:
        """Three records a frame."""
        records = np.empty(len(frames), _frame_dtype(self.n_beads, False, "<"))
        with np.errstate(over="ignore"):
            angstrom = frames * np.float32(1 / ANGSTROM)
        for axis, name in enumerate("xyz"):
            records[f"{name}_begin"] = records[f"{name}_end"] = 4 * self.n_beads
            records[name] = angstrom[:, :, axis]
        return records.tobytes()

    def count(self, path: Path, n_bytes: int) -> int:
        """Frames in the first `n_bytes` bytes."""
        data = view(path)
        claimed = struct.unpack_from("<i", data, 8)[0] if len(data) >= 12 else 0
        frame_bytes = _frame_dtype(self.n_beads, False, "<").itemsize
        return count_equal_frames(self, path, n_bytes, claimed, frame_bytes)
