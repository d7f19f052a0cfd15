"""TRR: frames of XDR floats or doubles behind a header of block sizes, in nm."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .contents import Contents, corrupt, ends_in_zeros, view

_HEADER = struct.Struct(">3i 12s 13i")
"""Magic number, two string lengths, the version string, ten block sizes, atoms, step, one spare."""

_START = (1993, 13, 12, b"GMX_trn_file")


class _Frame(NamedTuple):
    """Where a frame begins, the bytes of its numbers, of its box and before its positions."""

    begin: int
    width: int
    box: int
    before: int


def _walk(path: Path, data: memoryview) -> tuple[Contents, list[_Frame]]:
    """What the file holds, and its frames with positions."""
    at, n_seen, n_atoms = 0, 0, 0
    fault = ""
    frames: list[_Frame] = []
    times: list[float] = []
    while at < len(data):
        if at + _HEADER.size > len(data):
            fault = f"it ends in the header of frame {n_seen}"
            break
        fields = _HEADER.unpack_from(data, at)
        box, virial, pressure = (fields[4 + k] for k in (2, 3, 4))
        unused = [fields[4 + k] for k in (0, 1, 5, 6)]
        blocks, atoms = fields[11:14], fields[14]
        n_atoms = n_atoms or atoms
        if fields[:4] != _START or atoms != n_atoms or n_atoms < 1 or any(unused):
            if n_seen and ends_in_zeros(data, at):
                fault = f"nothing but zeros follows frame {n_seen - 1}"
                break
            raise corrupt(path, f"frame {n_seen} has no valid header")
        width = max(blocks) // (3 * n_atoms) or box // 9
        valid = width in (4, 8) and set(blocks) <= {0, 3 * n_atoms * width}
        valid &= {box, virial, pressure} <= {0, 9 * width}
        if not valid:
            raise corrupt(path, f"frame {n_seen} has impossible block sizes")
        begin = at + _HEADER.size
        at = begin + 2 * width + sum(fields[4:14])
        if at > len(data):
            fault = f"it ends in frame {n_seen}"
            break
        n_seen += 1
        if blocks[0]:
            frames.append(_Frame(begin + 2 * width, width, box, box + virial + pressure))
            times.append(struct.unpack_from(">f" if width == 4 else ">d", data, begin)[0])
    if n_seen and not frames:
        raise corrupt(path, "no frame has positions, only velocities or forces")
    contents = Contents(n_atoms, len(frames), np.array(times), fault, n_seen - len(frames))
    return contents, frames


def inspect(path: Path) -> Contents:
    """Walk a TRR file; frames with velocities or forces alone are counted as skipped.

    Raises
    ------
    FokkerError
        If it is corrupt, or if no frame has positions.
    """
    return _walk(path, view(path))[0]


def read(
    path: Path, contents: Contents, atoms: np.ndarray, at_once: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions and box vectors of the frames with positions; a box that is not there is NaN."""
    data = view(path)
    frames = _walk(path, data)[1][: contents.n_frames]
    for start in range(0, len(frames), at_once):
        part = frames[start : start + at_once]
        positions = np.empty((len(part), len(atoms), 3), np.float32)
        cells = np.full((len(part), 3, 3), np.nan, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for k, (begin, width, box, before) in enumerate(part):
                kind = f">f{width}"
                if box:
                    cells[k] = np.frombuffer(data, kind, 9, begin).reshape(3, 3)
                found = np.frombuffer(data, kind, 3 * contents.n_atoms, begin + before)
                positions[k] = found.reshape(-1, 3)[atoms]
        yield positions, cells
