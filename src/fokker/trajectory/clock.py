"""Times of frames: what lies between two, and runs that were restarted and cover the same time."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32

from ..errors import FokkerError

_ALIKE = 2e-3
"""Two files of one frame differ by rounding alone, nm; an XTC holds three decimals."""

_TRIED = 8
"""Times of the later run that are looked for in the earlier one."""

_MOST_RUNS = 200
"""Times that go back more often than this are no clock."""


FROM_FILE = "file"
"""In place of a time between frames: the one that the files state."""

_PICOSECONDS = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6, "ms": 1e9}
_STATE_PS = (".xtc", ".trr")
"""Files whose times are in ps."""

_UNEVEN = 1e-3
"""Share by which steps between frames may differ, besides the rounding of single precision."""


def picoseconds(text: str) -> float:
    """Time in ps of a number with its unit, for example 0.1ns.

    Raises
    ------
    FokkerError
        If it is not positive or has no unit.
    """
    text = text.strip()
    unit = next((u for u in _PICOSECONDS if text.endswith(u)), "")
    try:
        found = float(text.removesuffix(unit)) * _PICOSECONDS[unit]
    except (ValueError, KeyError):
        found = 0.0
    if not 0.0 < found < np.inf:
        raise FokkerError(
            f"--frame-time: {text!r} is no positive time with its unit (fs, ps, ns, us or ms); "
            "write for example 0.1ns."
        )
    return found


class Timed(NamedTuple):
    """Frames of one file.

    Attributes
    ----------
    path
        The file.
    positions
        Shape (frames, beads, dim).
    times
        Shape (frames,); None if the file states none. Files of one suffix have one unit.
    """

    path: Path
    positions: Float32[np.ndarray, "frames beads dim"]
    times: Float[np.ndarray, " frames"] | None


class _Run(NamedTuple):
    """Frames of a file whose times never go back."""

    file: int
    frames: slice
    times: np.ndarray


def stated_interval(files: Sequence[Timed]) -> float | None:
    """Time between frames that all files state, ps; None if one does not, or steps are uneven."""
    found = []
    for file in files:
        if file.path.suffix.lower() not in _STATE_PS or file.times is None:
            return None
        steps = np.diff(file.times)
        rounding = 4 * np.finfo(np.float32).eps * np.abs(file.times).max(initial=0.0)
        if len(steps):
            found.append(float(np.median(steps)))
            slack = _UNEVEN * abs(found[0]) + rounding
            if not np.abs(steps - found[0]).max() <= slack:
                return None
    return found[0] if found and found[0] > 0 else None


def without_overlaps(
    files: Sequence[Timed],
) -> tuple[list[Bool[np.ndarray, " _frames"]], list[str]]:
    """Which frames of every file to keep, and what is to be said of the times.

    A run that begins within the time of another, with a frame of it, is its continuation from a
    checkpoint: the frames of the earlier run from there on are left out, as `gmx trjcat` does. If
    the frames at the same time differ, both are kept and the overlap is only told. Runs that begin
    together are replicas.

    Returns
    -------
    keep
        For each file a mask of its frames.
    notes
        Sentences.
    """
    keep = [np.ones(len(file.positions), bool) for file in files]
    runs, notes = [], []
    for number, file in enumerate(files):
        found = _runs(number, file.times)
        if len(found) > 1:
            notes.append(_goes_back(file, found))
        runs += found if len(found) <= _MOST_RUNS else []
    for one, other in combinations(runs, 2):
        early, late = sorted((one, other), key=lambda run: run.times[0])
        if files[early.file].path.suffix.lower() != files[late.file].path.suffix.lower():
            continue
        if early.times[0] < late.times[0] <= early.times[-1]:
            notes += _joined(files, early, late, keep)
    return keep, notes


def _runs(number: int, times: np.ndarray | None) -> list[_Run]:
    """Pieces of a file between the frames where its time goes back."""
    if times is None or len(times) < 2 or not np.isfinite(times).all() or np.ptp(times) == 0:
        return []
    edges = [0, *(np.flatnonzero(np.diff(times) < 0) + 1), len(times)]
    return [_Run(number, slice(a, b), times[a:b]) for a, b in pairwise(edges)]


def _goes_back(file: Timed, runs: list[_Run]) -> str:
    first = runs[1]
    return (
        f"{file.path}: the time goes back {len(runs) - 1:,} time(s), first at frame "
        f"{first.frames.start} of those read, from {runs[0].times[-1]:g} to {first.times[0]:g}: "
        "several runs in one file?"
    )


def _joined(files: Sequence[Timed], early: _Run, late: _Run, keep: list[np.ndarray]) -> list[str]:
    """Leave out the end of the earlier run if the later one continues it."""
    first, second = str(files[early.file].path), str(files[late.file].path)
    if first == second:
        first, second = f"an earlier part of {first}", f"a later part of {second}"
    begins = f"{second} begins at time {late.times[0]:g}"
    covered = early.times >= late.times[0]
    mask = keep[early.file][early.frames]  # a view
    both = int((covered & mask).sum())
    if not both:
        return []
    if _is_continued(files, early, late):
        mask[covered] = False
        return [
            f"{begins} with a frame of {first}, which it continues: the {both:,} frame(s) of the "
            "earlier run from there on are left out."
        ]
    return [
        f"{begins}, within the time of {first}, whose {both:,} frame(s) from there on differ: if "
        "one run continues the other, cut the earlier there (gmx trjconv -e); if "
        "they are independent, nothing is wrong."
    ]


def _is_continued(files: Sequence[Timed], early: _Run, late: _Run) -> bool:
    """Whether the first frame of the two runs at the same time is the same one."""
    for at, time in enumerate(late.times[:_TRIED]):
        found = int(np.searchsorted(early.times, time))
        if found < len(early.times) and early.times[found] == time:
            one = files[early.file].positions[early.frames][found]
            other = files[late.file].positions[late.frames][at]
            shift = (one - other) - (one - other).mean(axis=0)
            return bool(np.abs(shift).max() < _ALIKE)
    return False
