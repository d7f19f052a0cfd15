"""Collective variables of whole trajectories; what each kind is stands in `fokker.variables`."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..system import CollectiveVariable, System
from ..variables import KINDS
from .geometry import lost_frames


def compute(
    variable: CollectiveVariable, frames: Float[np.ndarray, "frames beads dim"]
) -> Float[np.ndarray, " frames"]:
    """Values of one collective variable.

    Parameters
    ----------
    variable
        What to compute.
    frames
        Positions, shape (frames, beads, dim), nm (or the system's length unit).

    Returns
    -------
    array of shape (frames,)
        rad, nm or a pure number; not finite where a frame holds no structure (`lost_frames`).

    Raises
    ------
    FokkerError
        If the variable needs frames in three dimensions and gets others.
    """
    kind = KINDS[variable.kind]
    if kind.spatial and frames.shape[-1] != 3:
        raise FokkerError(
            f"collective variable {variable.name!r} is a {variable.kind} but the frames have "
            f"{frames.shape[-1]} dimension(s); use a distance or a coordinate"
        )
    values = kind.compute(frames, variable.indices, variable.values)
    lost = lost_frames(frames)
    return np.where(lost, np.nan, values) if lost.any() else values


def compute_all(
    system: System, frames: Float[np.ndarray, "frames beads dim"]
) -> dict[str, Float[np.ndarray, " frames"]]:
    """Values of every collective variable of the system, by name."""
    return {variable.name: compute(variable, frames) for variable in system.collective_variables}
