"""What a file format must tell the writer."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError


class AbstractEncoder(ABC):
    """Bytes of a trajectory file that grows: a header of constant length, then frames."""

    @abstractmethod
    def header(self, n_frames: int) -> bytes:
        """Start of a file that holds `n_frames` frames."""

    @abstractmethod
    def encode(self, frames: Float[np.ndarray, "frames beads dim"], first: int) -> bytes:
        """Bytes of consecutive frames; `first` is the number of the first one in the file."""

    @abstractmethod
    def count(self, path: Path, n_bytes: int) -> int:
        """Frames in the first `n_bytes` bytes of a file that this encoder wrote.

        Raises
        ------
        FokkerError
            If the file is another program's or `n_bytes` lies inside a frame.
        """


def not_a_boundary(path: Path, n_bytes: int) -> FokkerError:
    """Error for a position to append at that lies inside a frame."""
    return FokkerError(
        f"{path}: byte {n_bytes} is not the end of a frame of this system; "
        f"write to a new file or resume from the matching checkpoint."
    )


def count_equal_frames(
    encoder: AbstractEncoder, path: Path, n_bytes: int, claimed: int, frame_bytes: int
) -> int:
    """Count frames of constant size behind a header that must be the encoder's own.

    Parameters
    ----------
    claimed
        Count in the file's header; it may lag behind after an interrupted write.
    """
    header = encoder.header(claimed)
    with path.open("rb") as file:
        same = file.read(len(header)) == header
    n_frames, rest = divmod(n_bytes - len(header), frame_bytes)
    if not same or rest or n_frames < 0:
        raise not_a_boundary(path, n_bytes)
    return n_frames
