"""What a trajectory file says it holds, before its coordinates are read."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError


class Contents(NamedTuple):
    """What a file states and its size confirms.

    Attributes
    ----------
    n_atoms, n_frames
        Of the frames that are whole and have positions.
    times
        Of each frame in the file's own unit; None if it states none.
    fault
        How the file ends early, behind those frames; empty if it does not.
    skipped
        Frames without positions.
    rounding
        Step between two coordinates that the file can hold, nm; 0 if not stated.
    """

    n_atoms: int
    n_frames: int
    times: Float[np.ndarray, " frames"] | None = None
    fault: str = ""
    skipped: int = 0
    rounding: float = 0.0


def view(path: Path) -> memoryview:
    """Bytes of a file that is not empty, mapped and read only."""
    return np.memmap(path, np.uint8, "r").data


def ends_in_zeros(data: memoryview, at: int) -> bool:
    """Whether nothing but zeros follows: blocks of a disk that were given out but never written."""
    return not any(
        np.frombuffer(data[start : start + (1 << 20)], np.uint8).any()
        for start in range(at, len(data), 1 << 20)
    )


def corrupt(path: Path, fault: str) -> FokkerError:
    """Error for a file whose structure is wrong."""
    return FokkerError(f"{path}: not a readable {path.suffix} file ({fault}); write it again.")


def unreadable(path: Path, fault: str) -> FokkerError:
    """Error for a file that is not of its format."""
    return FokkerError(
        f"{path}: cannot be read ({fault.rstrip(' .')}); check that it is complete and of the "
        "format that its suffix says."
    )


def cut(path: Path, fault: str, n_frames: int = 0) -> FokkerError:
    """Error for a file that ends early, behind so many whole frames."""
    use = ""
    if n_frames:
        use = f"use its {n_frames:,} whole frames with --allow-cut (allow_cut = true in TOML), "
    return FokkerError(
        f"{path}: the file is cut short ({fault}); {use}copy it again or, if fokker was writing "
        "it, resume that command."
    )


def cut_used(path: Path, fault: str, n_frames: int) -> str:
    """What is said of a cut file whose whole frames are used."""
    return f"{path}: the file is cut short ({fault}); its {n_frames:,} whole frames are used."
