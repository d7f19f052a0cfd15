"""What a trajectory file says it holds, before its coordinates are read."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import FokkerError


class Contents(NamedTuple):
    """Counts stated by a file and confirmed by its size."""

    n_atoms: int
    n_frames: int


def view(path: Path) -> memoryview:
    """Bytes of a file that is not empty, mapped and read only."""
    return np.memmap(path, np.uint8, "r").data


def corrupt(path: Path, fault: str) -> FokkerError:
    """Error for a file whose structure is wrong."""
    return FokkerError(f"{path}: not a readable {path.suffix} file ({fault}); write it again.")


def cut(path: Path, fault: str) -> FokkerError:
    """Error for a file that ends early."""
    return FokkerError(
        f"{path}: the file is cut short ({fault}); copy it again or, if fokker was writing it, "
        "resume that command."
    )
