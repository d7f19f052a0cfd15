"""Local geometry: failed frames, chirality, names of bonds and angles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from ..errors import FokkerError
from ..options import Options
from ..system import System
from ..units import FARTHEST
from ..variables import distance, per_frame, triple_product

CHIRAL_PURITY = 0.99
"""A centre is chiral if its sign is one in more than this fraction of the training frames..."""

CHIRAL_HEIGHT = 0.3
"""...and if the median of the normalised triple product exceeds this (0 planar, 0.77 ideal)."""


class GeometryLimits(Options):
    """Bounds beyond which a frame counts as failed, taken from the training data.

    `model_dump(mode="json")` and `model_validate` convert to and from plain data.
    """

    bonds: tuple[tuple[float, float], ...] = Field(
        default=(), description="shortest and longest length allowed, one pair a bond, nm"
    )
    box: tuple[tuple[float, float], ...] = Field(
        default=(), description="lowest and highest coordinate allowed, one pair an axis (no bonds)"
    )

    @classmethod
    def from_frames(
        cls, system: System, frames: Float[np.ndarray, "frames beads dim"]
    ) -> GeometryLimits:
        """Limits of the training data, each range enlarged by its own length on both sides.

        Parameters
        ----------
        system
            Its bonds are limited; if it has none, the bounding box of all positions.
        frames
            Training frames, shape (frames, beads, dim), nm (or the system's length unit).

        Raises
        ------
        FokkerError
            If no frame is finite.
        """
        whole = ~lost_frames(frames)
        if not whole.any():
            raise FokkerError(
                f"none of the {len(frames)} training frames of {system.name!r} is finite; "
                f"check the trajectory file"
            )
        if system.bonds:
            return cls(bonds=tuple(_enlarged(distance(frames, b)[whole]) for b in system.bonds))
        return cls(box=tuple(_enlarged(frames[whole, :, d]) for d in range(system.dim)))

    @classmethod
    def none(cls, system: System) -> GeometryLimits:
        """No limits: only frames without a structure fail."""
        return cls(bonds=((0.0, float(np.finfo(np.float64).max)),) * len(system.bonds))


def finite_frames(frames: Float[np.ndarray, "frames beads dim"]) -> Bool[np.ndarray, " frames"]:
    """Whether every coordinate of a frame is finite."""
    return per_frame(lambda block: np.isfinite(block).all(axis=(1, 2)), frames)


def lost_frames(frames: Float[np.ndarray, "frames beads dim"]) -> Bool[np.ndarray, " frames"]:
    """Whether a frame holds no structure: it is not finite or, in 3 dimensions, its beads coincide.

    The second is what an XTC file, which cannot hold NaN, keeps of the first.
    """
    return per_frame(_lost, frames)


def failed_frames(
    system: System, frames: Float[np.ndarray, "frames beads dim"], reference: GeometryLimits
) -> Bool[np.ndarray, " frames"]:
    """Whether a frame failed.

    A frame fails if it holds no structure (`lost_frames`), if it reaches too far to be stored in
    every format, or if a bond (without bonds: a coordinate) lies outside the limits. Nothing else
    decides what failed.

    Parameters
    ----------
    system
        The system of the frames.
    frames
        Shape (frames, beads, dim), nm (or the system's length unit).
    reference
        Limits of the training data.
    """
    failed = lost_frames(frames)
    failed |= per_frame(lambda block: (np.abs(block) > FARTHEST).any(axis=(1, 2)), frames)
    for bond, limits in zip(system.bonds, reference.bonds, strict=True):
        failed |= _outside(distance(frames, bond), limits)
    for axis, limits in enumerate(reference.box):
        failed |= _outside(frames[:, :, axis], limits).any(axis=1)
    return failed


def mark_failed(
    frames: Float[np.ndarray, "frames beads dim"], failed: Bool[np.ndarray, " frames"]
) -> Float[np.ndarray, "frames beads dim"]:
    """Frames with NaN in place of those that failed, the one form in which these go on."""
    return np.where(failed[:, None, None], np.nan, frames) if failed.any() else frames


def chiral_centres(
    system: System, training_frames: Float[np.ndarray, "frames beads dim"]
) -> dict[tuple[int, int, int, int], float]:
    """Chirality (+1 or -1) of every centre that the training data keep chiral.

    A planar centre, whose triple product is small or has either sign, is left out.
    """
    found = {}
    if system.dim != 3:
        return found
    for centre in system.chiral_centres:
        products = triple_product(training_frames, centre)
        right = float(np.mean(products > 0))
        purity = max(right, float(np.mean(products < 0)))
        if purity > CHIRAL_PURITY and np.nanmedian(np.abs(products)) > CHIRAL_HEIGHT:
            found[centre] = 1.0 if right > 0.5 else -1.0
    return found


def chirality(
    system: System,
    training_frames: Float[np.ndarray, "training beads dim"],
    frames: Float[np.ndarray, "frames beads dim"],
) -> dict[str, float]:
    """Fraction of frames with the chirality of the training data, by the label of the centre.

    Frames that hold no structure count as having lost it.
    """
    centres = chiral_centres(system, training_frames)
    names = labels(system, [centre[:1] for centre in centres])
    return {
        name: float(np.mean(triple_product(frames, centre) * sign > 0))
        for name, (centre, sign) in zip(names, centres.items(), strict=True)
    }


def labels(system: System, groups: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    """One unique name a group of beads, for example ``ALA2-N ALA2-CA``."""
    beads = system.labels
    names = [" ".join(beads[i] for i in group) for group in groups]
    if len(set(names)) == len(names):
        return tuple(names)
    # Beads without names of their own would share one entry of a table; their indices tell.
    return tuple(
        f"{name} ({'-'.join(map(str, group))})" for name, group in zip(names, groups, strict=True)
    )


def _lost(block: np.ndarray) -> np.ndarray:
    lost = np.asarray(~np.isfinite(block).all(axis=(1, 2)))
    if block.shape[1] > 1 and block.shape[2] == 3:
        lost |= (block == block[:, :1]).all(axis=(1, 2))
    return lost


def _enlarged(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return low - (high - low), high + (high - low)


def _outside(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return ~((values >= limits[0]) & (values <= limits[1]))
