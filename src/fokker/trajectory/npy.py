"""NPY: one array of shape (frames, beads, dim) whose header leaves room to grow."""

import io
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from .contents import corrupt, cut
from .encoder import AbstractEncoder, count_equal_frames
from .library import quiet


class ArrayFile(NamedTuple):
    """Where and what the array of a file is."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    offset: int
    fault: str = ""


def read_header(
    file: IO[bytes] | io.BufferedIOBase, path: Path, fault: str
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of an array whose data follow in the file.

    Raises
    ------
    FokkerError
        That the file at the path is corrupt by this fault, if there is no header.
    """
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        with quiet():
            return readers[np.lib.format.read_magic(file)](file)
    # the header is a Python literal: parsing it fails in nearly any way
    except Exception as error:
        raise corrupt(path, fault) from error


def inspect(path: Path) -> ArrayFile:
    """Read the header and compare it with the size of the file; nothing is ever unpickled.

    Raises
    ------
    FokkerError
        If it is corrupt, not an array of floating-point numbers, or cut so that no frame is whole.
    """
    with path.open("rb") as file:
        shape, fortran_order, dtype = read_header(file, path, "no valid header")
        offset = file.tell()
    if dtype.kind != "f":
        raise FokkerError(
            f"{path}: holds numbers of type {dtype}; save an array of floating-point numbers."
        )
    held, wanted = path.stat().st_size - offset, prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or held > wanted:
        fault = f"shape {shape} does not match {held} bytes of data"
        raise FokkerError(
            f"{path}: not a readable .npy file ({fault}); write it again or, if fokker was writing "
            "it, resume that command."
        )
    shape, fault = tuple(int(n) for n in shape), ""
    if held < wanted:
        fault = f"shape {shape} needs {wanted} bytes of data, {held} are there"
        if fortran_order:  # the last numbers of every frame are missing
            raise cut(path, fault)
        shape = (held // (prod(shape[1:]) * dtype.itemsize), *shape[1:])
    return ArrayFile(shape, dtype, bool(fortran_order), offset, fault)


def array(path: Path, contents: ArrayFile) -> np.ndarray:
    """The array, mapped and read only."""
    shape, dtype, fortran_order, offset, _ = contents
    if prod(shape) == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran_order else "C")


@dataclass(frozen=True)
class NPYEncoder(AbstractEncoder):
    """Frames of shape (beads, dim), float32."""

    n_beads: int
    dim: int

    def header(self, n_frames: int) -> bytes:
        """Version 1.0 header; NumPy pads it so that its length does not depend on the count."""
        buffer = io.BytesIO()
        shape = (n_frames, self.n_beads, self.dim)
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        return buffer.getvalue()

    def encode(self, frames: Float[np.ndarray, "frames beads dim"], first: int) -> bytes:
        """Little-endian float32, C order."""
        return frames.astype("<f4").tobytes()

    def count(self, path: Path, n_bytes: int) -> int:
        """Frames in the first `n_bytes` bytes."""
        try:
            with path.open("rb") as file:
                np.lib.format.read_magic(file)
                claimed = np.lib.format.read_array_header_1_0(file)[0][0]
        except Exception:  # not a header at all: it will not equal the one this encoder writes
            claimed = 0
        return count_equal_frames(self, path, n_bytes, claimed, 4 * self.n_beads * self.dim)
