"""Weights of samples: a NumPy file beside them, one number a frame, 1 on average."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from .folder import write_atomically


def weights_file(samples: Path) -> Path:
    """Where the weights of a file of samples lie, if they are not all alike."""
    return samples.with_suffix(".weights.npy")


def write_weights(samples: Path, weights: Float[np.ndarray, " frames"]) -> None:
    """Write the weights of a file of samples.

    Raises
    ------
    FokkerError
        If the disk does not take them.
    """
    content = io.BytesIO()
    np.save(content, weights.astype(np.float64), allow_pickle=False)
    write_atomically(weights_file(samples), content.getvalue())


def forget_weights(samples: Path) -> None:
    """Remove the weights of samples that are about to be replaced."""
    with contextlib.suppress(OSError):
        weights_file(samples).unlink(missing_ok=True)


def read_weights(samples: Path, n: int) -> Float[np.ndarray, " frames"] | None:
    """Weights of the n frames of a file of samples; None if all count alike.

    Raises
    ------
    FokkerError
        If the file beside them does not hold n weights.
    """
    file = weights_file(samples)
    if not file.exists():
        return None
    try:
        weights = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FokkerError(f"{file}: not a NumPy file; sample again with --overwrite.") from error
    sound = weights.shape == (n,) and weights.dtype.kind == "f" and np.isfinite(weights).all()
    if not (sound and np.all(weights >= 0.0) and np.any(weights > 0.0)):
        raise FokkerError(
            f"{file}: not {n:,} weights, one for each frame of {samples}; sample again with "
            "--overwrite."
        )
    return weights
