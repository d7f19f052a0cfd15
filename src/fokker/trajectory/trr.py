"""TRR: frames of XDR floats or doubles behind a header of block sizes, in nm."""

import struct
from pathlib import Path

from .contents import Contents, corrupt, cut, view

_HEADER = struct.Struct(">3i 12s 13i")
"""Magic number, two string lengths, the version string, ten block sizes, atoms, step, one spare."""

_START = (1993, 13, 12, b"GMX_trn_file")


def inspect(path: Path) -> Contents:
    """Walk a TRR file.

    Raises
    ------
    FokkerError
        If it is cut or corrupt, or if a frame has no positions (only velocities or forces).
    """
    data = view(path)
    at, n_frames, n_atoms = 0, 0, 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise cut(path, f"it ends in the header of frame {n_frames}")
        fields = _HEADER.unpack_from(data, at)
        box, virial, pressure = (fields[4 + k] for k in (2, 3, 4))
        unused = [fields[4 + k] for k in (0, 1, 5, 6)]
        positions, velocities, forces, atoms = fields[11:15]
        n_atoms = n_atoms or atoms
        if fields[:4] != _START or atoms != n_atoms or n_atoms < 1 or any(unused):
            raise corrupt(path, f"frame {n_frames} has no valid header")
        if positions == 0:
            raise corrupt(path, f"frame {n_frames} has no positions, only velocities or forces")
        width = positions // (3 * n_atoms)
        valid = width in (4, 8) and positions == 3 * n_atoms * width
        valid &= {box, virial, pressure} <= {0, 9 * width}
        valid &= {velocities, forces} <= {0, positions}
        if not valid:
            raise corrupt(path, f"frame {n_frames} has impossible block sizes")
        at += _HEADER.size + 2 * width + sum(fields[4:14])
        if at > len(data):
            raise cut(path, f"it ends in frame {n_frames}")
        n_frames += 1
    return Contents(n_atoms, n_frames)
