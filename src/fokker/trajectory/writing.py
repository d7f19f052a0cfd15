"""Write trajectory files that grow, survive interruption and can be appended to."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..system import System
from ..units import FARTHEST
from .dcd import DCDEncoder
from .encoder import AbstractEncoder
from .npy import NPYEncoder
from .xtc import XTCEncoder

SUFFIXES = (".xtc", ".dcd", ".npy")
"""Suffixes of trajectory files that can be written; fewer than three dimensions take `.npy`."""


def check_output_path(path: Path, system: System, overwrite: bool = False) -> None:
    """Check, before any work is done, that a trajectory can be written here.

    Raises
    ------
    FokkerError
        If the suffix is not known or cannot hold the system, the folder does not exist, or the
        file does and `overwrite` is false.
    """
    if path.suffix not in SUFFIXES:
        raise FokkerError(
            f"{path}: a trajectory cannot be written as {path.suffix!r}; use the suffix "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}."
        )
    if system.dim != 3 and path.suffix != ".npy":
        raise FokkerError(
            f"{path}: system {system.name!r} has {system.dim} dimension(s), which a {path.suffix} "
            f"file cannot hold; use the suffix .npy."
        )
    if not path.parent.is_dir():
        raise FokkerError(f"{path}: the folder {path.parent} does not exist; make it first.")
    if path.exists() and not (overwrite and path.is_file()):
        raise FokkerError(f"{path}: already exists; choose another name or allow overwriting.")


def _encoder(path: Path, system: System) -> AbstractEncoder:
    if path.suffix == ".xtc":
        return XTCEncoder(system.n_beads, path.parent)
    if path.suffix == ".dcd":
        return DCDEncoder(system.n_beads)
    return NPYEncoder(system.n_beads, system.dim)


class FrameWriter:
    """A trajectory file that is complete and readable after every `write`.

    Parameters
    ----------
    path
        `.xtc` (3 decimals above 9 beads, small), `.dcd` (float32, angstrom inside) or `.npy`
        (float32).
    system
        What the frames are of.
    append_at
        Cut the file to so many bytes, the `n_bytes` of an earlier writer, and go on from there;
        what was written later is dropped. 0 starts the file anew. None refuses a file that exists.

    Attributes
    ----------
    n_failed
        Frames given to this writer that are not finite or reach beyond 1000 nm. XTC cannot store
        them: all their beads are put at the origin, which an evaluation counts as failed. The other
        formats hold them as they are.

    Raises
    ------
    FokkerError
        If the path cannot be written, is in use, or is not a file of this system cut at a frame.
    """

    def __init__(self, path: Path, system: System, *, append_at: int | None = None):
        check_output_path(path, system, overwrite=append_at is not None)
        if append_at is not None and (
            append_at < 0 or append_at > (path.stat().st_size if path.exists() else 0)
        ):
            raise FokkerError(
                f"{path}: cannot be continued at byte {append_at}, which it does not have; it is "
                f"not the file that the checkpoint belongs to."
            )
        self.path = path
        self.n_failed = 0
        self._shape = (system.n_beads, system.dim)
        self._encoder = _encoder(path, system)
        self._n_frames = 0
        self._file: BinaryIO | None = None
        is_new = not path.exists()
        try:
            if append_at:
                self._n_frames = self._encoder.count(path, append_at)
            header = self._encoder.header(self._n_frames)
            self._n_bytes = append_at or len(header)
            self._file = path.open("xb" if is_new else "r+b", buffering=0)
            self._file.truncate(append_at or 0)
            self._put(0, header)
        except OSError as error:
            if is_new and self._file is not None:
                path.unlink(missing_ok=True)
            self.close()
            raise self._failure(error) from error

    @property
    def n_frames(self) -> int:
        """Frames in the file."""
        return self._n_frames

    @property
    def n_bytes(self) -> int:
        """Size of the file, the `append_at` of a later writer."""
        return self._n_bytes

    def write(self, frames: Float[np.ndarray, "frames beads dim"]) -> None:
        """Append frames, nm, and wait until they are on the disk.

        Raises
        ------
        FokkerError
            If the frames are not of the system, or the disk is full or fails; frames of earlier
            calls stay in the file.
        """
        if self._file is None:
            raise FokkerError(f"{self.path}: the file is closed; open a new writer to append.")
        if frames.shape[1:] != self._shape:
            raise FokkerError(
                f"{self.path}: frames of shape {frames.shape[1:]} do not fit the file, whose "
                f"frames have shape {self._shape}; write frames of the same system."
            )
        if not len(frames):
            return
        with np.errstate(over="ignore"):
            frames = frames.astype(np.float32)
        failed = ~(np.abs(frames) <= FARTHEST).all(axis=(1, 2))
        if self.path.suffix == ".xtc":
            frames[failed] = 0.0
        n_frames = self._n_frames + len(frames)
        try:
            encoded = self._encoder.encode(frames, self._n_frames)
            # the count follows the frames, so that it is never ahead of them
            self._put(self._n_bytes, encoded)
            self._put(0, self._encoder.header(n_frames))
        except OSError as error:
            self._take_back()
            raise self._failure(error) from error
        self._n_frames = n_frames
        self._n_bytes += len(encoded)
        self.n_failed += int(failed.sum())

    def close(self) -> None:
        """Close the file; harmless if it is closed."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "FrameWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, at: int, data: bytes) -> None:
        """Write bytes at a position and wait for the disk."""
        assert self._file is not None
        rest = memoryview(data)
        self._file.seek(at)
        while len(rest):
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())

    def _take_back(self) -> None:
        """Leave the file as it was before a write that failed, and close it."""
        assert self._file is not None
        with suppress(OSError):
            self._file.truncate(self._n_bytes)
            self._put(0, self._encoder.header(self._n_frames))
        self.close()

    def _failure(self, error: OSError) -> FokkerError:
        stay = f"the {self._n_frames} frames already written stay in the file"
        if error.errno == errno.ENOSPC:
            return FokkerError(f"{self.path}: the disk is full; {stay}, free space and resume.")
        return FokkerError(f"{self.path}: cannot be written ({error}); {stay}.")
