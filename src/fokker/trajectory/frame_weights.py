"""Weights of frames, from files: of metadynamics, umbrella sampling, replica exchange.

A file holds one number a frame: an NPY array, or text, of which a column can be chosen by its
number or, in a file of PLUMED, by its name in the line `#! FIELDS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from . import npy
from .library import check_file, quiet

_FIELDS = "#! FIELDS"
_COMMENTS = ("#", "@")
_FEWEST = 2.0
"""Effective frames below which one frame is all that there is."""


class FrameWeights(NamedTuple):
    """Where weights are, and what the files hold.

    Attributes
    ----------
    files
        One for each trajectory, or one for all: `FILE` or `FILE:column`.
    unit
        None if they hold weights w; else they hold `unit log w`, such as a bias with kT.
    """

    files: tuple[str, ...]
    unit: float | None = None

    def read(self, trajectories: Sequence[tuple[Path, int]]) -> list[Float[np.ndarray, " _frames"]]:
        """Numbers of the files, for each trajectory.

        Parameters
        ----------
        trajectories
            Each with the number of frames in its file.

        Raises
        ------
        FokkerError
            If a file cannot be read, has another number of frames, or numbers that are no weights.
        """
        counts = [n for _, n in trajectories]
        if len(self.files) not in (1, len(counts)):
            raise FokkerError(
                f"{self.files[0]}: {len(self.files)} files of weights for {len(counts)} "
                "trajectory file(s); give one for each, in their order, or one for all."
            )
        read = [_read(name) for name in self.files]
        names = [str(path) for path, _ in trajectories]
        if len(read) == 1:
            _check_count(self.files[0], read[0], ", ".join(names), sum(counts))
            self._check(self.files[0], read[0])
            return np.split(read[0], np.cumsum(counts)[:-1])
        for name, values, file, n in zip(self.files, read, names, counts, strict=True):
            _check_count(name, values, file, n)
            self._check(name, values)
        return read

    def weights(self, values: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
        """Weights of frames, 1 on average, of the numbers of the files.

        Raises
        ------
        FokkerError
            If all are zero, or one frame has nearly all the weight.
        """
        files = ", ".join(self.files)
        w = values if self.unit is None else np.exp((values - values.max()) / self.unit)
        if not w.max() > 0.0:
            raise FokkerError(f"{files}: the weights of all frames are zero; give others.")
        w = w / w.max()
        if w.sum() ** 2 < _FEWEST * np.sum(w**2):
            raise FokkerError(
                f"{files}: frame {int(w.argmax())} of those read has {w.max() / w.sum():.1%} of "
                "all the weight, so there is nothing to train on; are these "
                f"{'weights' if self.unit is None else 'log weights in this unit'}? See fokker "
                "train --help."
            )
        return w / w.mean()

    def _check(self, name: str, values: Float[np.ndarray, " frames"]) -> None:
        wrong = ~np.isfinite(values)
        if self.unit is None:
            wrong |= values < 0.0
        if wrong.any():
            first = int(wrong.argmax())
            logarithms = " (logarithms are given with --log-weights)" if self.unit is None else ""
            raise FokkerError(
                f"{name}: frame {first} has the weight {values[first]:g}; give a finite number"
                f"{', not below zero,' if self.unit is None else ''} for each frame{logarithms}."
            )


def _check_count(name: str, values: np.ndarray, trajectory: str, n_frames: int) -> None:
    n = len(values)
    if n == n_frames:
        return
    every = round(n / n_frames)
    hint = f"; are these of every step, and every {every}th is of a frame?" if every > 1 else "."
    raise FokkerError(
        f"{name}: holds {n:,} weights, {trajectory} has {n_frames:,} frames; give one for each "
        f"frame of the file, also of those that a stride leaves out{hint}"
    )


def _read(name: str) -> Float[np.ndarray, " frames"]:
    """One column of a file."""
    path, column = _split(name)
    check_file(path, "file of weights")
    table, fields = _array(path) if path.suffix == ".npy" else _text(path)
    n_columns = table.shape[1]
    if not column and n_columns == 1:
        return table[:, 0]
    known = ", ".join(fields or map(str, range(1, n_columns + 1)))
    if not column:
        raise FokkerError(
            f"{path}: has {n_columns} columns ({known}); name that of the weights, for example "
            f"{path}:{(fields or [str(n_columns)])[-1]}."
        )
    if column in fields:
        return table[:, fields.index(column)]
    if not fields and column.isdecimal() and 1 <= int(column) <= n_columns:
        return table[:, int(column) - 1]
    raise FokkerError(f"{path}: has no column {column!r}; its columns are {known}.")


def _split(name: str) -> tuple[Path, str]:
    """Path and column; a file may have a colon in its own name."""
    whole = Path(name).expanduser()
    if whole.exists() or ":" not in name:
        return whole, ""
    path, _, column = name.rpartition(":")
    return Path(path).expanduser(), column


def _array(path: Path) -> tuple[Float[np.ndarray, "frames columns"], list[str]]:
    contents = npy.inspect(path)
    if contents.fault:
        raise FokkerError(f"{path}: the file is cut short ({contents.fault}); copy it again.")
    if len(contents.shape) not in (1, 2):
        raise FokkerError(f"{path}: array of shape {contents.shape}; save one number a frame.")
    values = np.array(npy.array(path, contents), np.float64)
    return values.reshape(len(values), -1 if values.size else 1), []


def _text(path: Path) -> tuple[Float[np.ndarray, "frames columns"], list[str]]:
    """Numbers of a text file, and the names of its columns if it is one of PLUMED."""
    try:
        with path.open(encoding="utf-8") as file:
            headers = {line.strip() for line in file if line.startswith(_FIELDS)}
        with quiet():
            table = np.loadtxt(path, np.float64, comments=_COMMENTS, ndmin=2, encoding="utf-8")
    except (ValueError, OSError) as error:
        fault = str(error).split(";")[0].rstrip(" .")
        raise FokkerError(
            f"{path}: not a table of numbers ({fault}); give an .npy file or text with the same "
            "number of columns in every line."
        ) from error
    if len(headers) > 1:
        raise FokkerError(
            f"{path}: columns change within the file ({len(headers)} different lines {_FIELDS!r}); "
            "give one with the same columns throughout."
        )
    fields = next(iter(headers), _FIELDS).removeprefix(_FIELDS).split()
    if fields and table.size and len(fields) != table.shape[1]:
        raise FokkerError(
            f"{path}: names {len(fields)} columns and has {table.shape[1]}; write it again."
        )
    return table.reshape(-1, table.shape[1] if table.size else 1), fields
