"""XTC: a plain concatenation of frames, big-endian XDR, in nm.

Up to nine atoms are stored as floats, more as integers of 1/precision nm packed bit by bit. The C
decoder trusts the packed stream: a flipped bit can make it write behind its buffers.
`_check_streams` follows the lengths in the stream (not the coordinates), many frames at once.
"""

import errno
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from .contents import Contents, corrupt, ends_in_zeros, view
from .encoder import AbstractEncoder, not_a_boundary
from .library import ascii_path, quiet

_HEADER = struct.Struct(">3i 10f i")
"""Magic number, atoms, step, time, nine box elements, atoms again."""

_PACKED = struct.Struct(">f 3i 3i i i")
"""Precision, smallest and largest integer an axis, index of the small step, bytes of the stream."""

_MAGIC = 1995
_UNPACKED_ATOMS = 9
_SMALLEST_STEP, _LARGEST_STEP = 9, 72
"""Valid indices into the decoder's table of step sizes; the index is also its number of bits."""

_FRAMES_AT_ONCE = 1 << 16


class Stream(NamedTuple):
    """Packed coordinates of one frame."""

    begin: int
    n_bytes: int
    bits: int
    step: int


class _Walk(NamedTuple):
    """Whole frames of a file, and how it ends early if it does."""

    n_atoms: int
    n_frames: int
    streams: list[Stream]
    times: list[float]
    fault: str


def _walk(path: Path, data: memoryview) -> _Walk:
    """Whole frames of a file; raises if it is corrupt."""
    at, n_frames, n_atoms = 0, 0, 0
    fault = ""
    streams: list[Stream] = []
    times: list[float] = []
    while at < len(data):
        if at + _HEADER.size > len(data):
            fault = f"it ends in the header of frame {n_frames}"
            break
        magic, atoms, _, time, *_, coordinates = _HEADER.unpack_from(data, at)
        n_atoms = n_atoms or atoms
        if magic != _MAGIC or atoms != n_atoms or coordinates != n_atoms or n_atoms < 1:
            if n_frames and ends_in_zeros(data, at):
                fault = f"nothing but zeros follows frame {n_frames - 1}"
                break
            raise corrupt(path, f"frame {n_frames} has no valid header")
        at += _HEADER.size
        stream = None
        if n_atoms <= _UNPACKED_ATOMS:
            at += 12 * n_atoms
        elif at + _PACKED.size <= len(data):
            stream = _stream(path, n_frames, n_atoms, data, at)
            at = stream.begin + (stream.n_bytes + 3) // 4 * 4
        else:
            at = len(data) + 1
        if at > len(data):
            fault = f"it ends in frame {n_frames}"
            break
        if stream is not None:
            streams.append(stream)
        times.append(time)
        n_frames += 1
    return _Walk(n_atoms, n_frames, streams, times, fault)


def _stream(path: Path, frame: int, n_atoms: int, data: memoryview, at: int) -> Stream:
    """Description of the packed stream at a position; raises if the decoder cannot take it."""
    _, *edges, step, n_bytes = _PACKED.unpack_from(data, at)
    sizes = [high - low + 1 for low, high in zip(edges[:3], edges[3:], strict=True)]
    room = 4 * int(3 * n_atoms * 1.2) - 12  # the decoder's buffer
    fits = all(0 < size < 2**31 for size in sizes) and 0 <= n_bytes <= room
    if not fits or not _SMALLEST_STEP <= step <= _LARGEST_STEP:
        raise corrupt(path, f"frame {frame} has impossible packing sizes")
    if max(sizes) > 0xFFFFFF:
        bits = sum(size.bit_length() for size in sizes)
    else:
        bits = (sizes[0] * sizes[1] * sizes[2]).bit_length()
    return Stream(at + _PACKED.size, n_bytes, bits, step)


def _check_streams(
    path: Path, data: memoryview, n_atoms: int, first: int, part: np.ndarray
) -> None:
    """Follow the packed streams of some frames to their ends.

    A group is one atom of `bits` bits, a flag, and if it is set 5 bits that hold the length of the
    run of small steps that follows (kept for groups without the flag) and the change of their size.

    Parameters
    ----------
    first
        Number of the first of these frames, for the message.
    part
        Shape (frames, 4), the fields of `Stream`.
    """
    source = np.frombuffer(data, np.uint8)
    begin, n_bytes, bits, step = part.T.copy()
    end = 8 * (begin + n_bytes)
    position, run, done = 8 * begin, np.zeros_like(begin), np.zeros_like(begin)
    frame = np.arange(len(begin))
    while len(frame):
        position = position + bits
        # The last flag of a file may lie in its last byte; what follows a clear flag is not used.
        byte = np.minimum(position >> 3, len(source) - 1)
        following = np.minimum(byte + 1, len(source) - 1)
        word = (source[byte].astype(np.int64) << 8) | source[following]
        word = word >> (10 - (position & 7)) & 0x3F
        flag = word >= 0x20
        code = word & 0x1F
        run = np.where(flag, code // 3, run)
        done = done + 1 + run
        position = position + np.where(flag, 6, 1) + run * step
        step = step + np.where(flag, code % 3 - 1, 0)
        bad = (done > n_atoms) | (position > end)
        bad |= (step < _SMALLEST_STEP) | (step > _LARGEST_STEP)
        if bad.any():
            raise corrupt(path, f"frame {first + int(frame[bad][0])} has a broken packed stream")
        going = done < n_atoms
        if not going.all():
            frame, position, end, bits = frame[going], position[going], end[going], bits[going]
            run, done, step = run[going], done[going], step[going]


def inspect(path: Path) -> Contents:
    """Walk an XTC file and every packed stream in it.

    Raises
    ------
    FokkerError
        If it is corrupt.
    """
    data = view(path)
    found = _walk(path, data)
    for first in range(0, len(found.streams), _FRAMES_AT_ONCE):
        part = np.array(found.streams[first : first + _FRAMES_AT_ONCE], np.int64)
        _check_streams(path, data, found.n_atoms, first, part)
    rounding = 0.0
    if found.streams:
        precision = struct.unpack_from(">f", data, found.streams[0].begin - _PACKED.size)[0]
        rounding = 1 / precision if precision > 0 else np.inf
    times = np.array(found.times)
    return Contents(found.n_atoms, found.n_frames, times, found.fault, rounding=rounding)


@dataclass(frozen=True)
class XTCEncoder(AbstractEncoder):
    """Frames without a box at a precision of 0.001 nm; `folder` takes the temporary files."""

    n_beads: int
    folder: Path

    def header(self, n_frames: int) -> bytes:
        """Nothing: the file is its frames."""
        return b""

    def encode(self, frames: Float[np.ndarray, "frames beads dim"], first: int) -> bytes:
        """Bytes that mdtraj writes for these frames; step and time (ps) are the frame number.

        Raises
        ------
        OSError
            If the temporary file in the folder cannot be written.
        """
        numbers = np.arange(first, first + len(frames))
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".fokker-", suffix=".xtc")
        os.close(handle)
        block = Path(name)
        try:
            with quiet(), ascii_path(self.folder) as folder:
                from mdtraj.formats import XTCTrajectoryFile

                with XTCTrajectoryFile(f"{folder}/{block.name}", "w") as file:
                    file.write(frames, time=numbers.astype(np.float32), step=numbers.astype("i4"))
            encoded = block.read_bytes()
            written = _walk(block, memoryview(encoded))
        # the library ignores that the last buffer of a file does not fit on the disk
        except (RuntimeError, FokkerError) as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        finally:
            block.unlink(missing_ok=True)
        if written.n_frames != len(frames) or written.fault:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return encoded

    def count(self, path: Path, n_bytes: int) -> int:
        """Frames in the first `n_bytes` bytes."""
        try:
            found = _walk(path, view(path)[:n_bytes])
        except FokkerError as error:
            raise not_a_boundary(path, n_bytes) from error
        if found.n_atoms != self.n_beads or found.fault:
            raise not_a_boundary(path, n_bytes)
        return found.n_frames
