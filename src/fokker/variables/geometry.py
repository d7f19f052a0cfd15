"""Internal coordinates: dihedrals, angles, distances, triple products.

Each takes whole trajectories and works through them in blocks of frames in float64, so memory
beyond the result does not grow with the trajectory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

FRAMES_PER_BLOCK = 100_000


def distance(
    frames: Float[np.ndarray, "frames beads dim"], beads: tuple[int, int]
) -> Float[np.ndarray, " frames"]:
    """Distance of two beads, in the unit of the frames."""
    return _of_beads(_distance, frames, beads)


def angle(
    frames: Float[np.ndarray, "frames beads dim"], beads: tuple[int, int, int]
) -> Float[np.ndarray, " frames"]:
    """Angle at the middle one of three beads, in [0, pi] rad."""
    return _of_beads(_angle, frames, beads)


def dihedral(
    frames: Float[np.ndarray, "frames beads 3"], beads: tuple[int, int, int, int]
) -> Float[np.ndarray, " frames"]:
    """Dihedral angle of four beads in [-pi, pi] rad.

    IUPAC sign: positive if the far bond is turned clockwise, seen along the middle bond.
    """
    return _of_beads(_dihedral, frames, beads)


def triple_product(
    frames: Float[np.ndarray, "frames beads 3"], beads: tuple[int, int, int, int]
) -> Float[np.ndarray, " frames"]:
    """Normalised triple product of the unit bond vectors centre-a, centre-b, centre-c.

    It lies in [-1, 1], changes sign under reflection, is 0 for a planar centre and 0.77 for an
    ideal tetrahedral one.
    """
    return _of_beads(_triple_product, frames, beads)


def per_frame(function: Callable[[np.ndarray], Any], frames: np.ndarray) -> np.ndarray:
    """Apply a function of (block, beads, dim) that returns (block,) to blocks of frames."""
    starts = range(0, max(len(frames), 1), FRAMES_PER_BLOCK)
    # Diverged frames hold inf and nan; they pass through and are counted as failures later.
    with np.errstate(all="ignore"):
        return np.concatenate([function(frames[i : i + FRAMES_PER_BLOCK]) for i in starts])


def _of_beads(
    function: Callable[..., np.ndarray], frames: np.ndarray, beads: tuple[int, ...]
) -> np.ndarray:
    return per_frame(
        lambda block: function(*(block[:, i].astype(np.float64) for i in beads)), frames
    )


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    # Kahan's formula keeps its digits near 0 and pi, where the arc cosine loses them.
    u, v = a - b, c - b
    u, v = u * _norm(v), v * _norm(u)
    return 2.0 * np.arctan2(np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1))


def _dihedral(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    u, v, w = b - a, c - b, d - c
    uv, vw = _cross(u, v), _cross(v, w)
    return np.arctan2(np.sqrt(_dot(v, v)) * _dot(u, vw), _dot(uv, vw))


def _triple_product(centre: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    u, v, w = ((bead - centre) / _norm(bead - centre) for bead in (a, b, c))
    return _dot(u, np.cross(v, w))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # `np.cross` moves axes about and takes several times as long
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("fd,fd->f", a, b)


def _norm(a: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a, axis=-1, keepdims=True)
