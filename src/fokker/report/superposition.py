"""Frames turned onto one another, for the eye only: no metric sees them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def superposed(
    frames: Float[np.ndarray, "frames beads 3"], onto: Float[np.ndarray, "beads 3"]
) -> Float[np.ndarray, "frames beads 3"]:
    """Centre frames and rotate each onto a structure (W. Kabsch, Acta Cryst. A 32, 922, 1976).

    Proper rotations only, so a mirror image stays one. The structure itself is turned so that its
    longest extension lies along x and its shortest along z, towards the reader.

    Parameters
    ----------
    frames
        Finite positions, in any unit.
    onto
        The structure, in the same unit.
    """
    target = onto - onto.mean(axis=0)
    # Rows of the last factor are the principal axes, the longest first.
    axes = np.linalg.svd(target.astype(np.float64))[2]
    axes[2] *= np.sign(np.linalg.det(axes))
    target = target @ axes.T
    centred = (frames - frames.mean(axis=1, keepdims=True)).astype(np.float64)
    left, _, right = np.linalg.svd(np.einsum("fni,nj->fij", centred, target))
    hand = np.sign(np.linalg.det(left @ right))
    left[:, :, 2] *= hand[:, None]
    return centred @ (left @ right)
