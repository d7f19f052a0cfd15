"""A set of frames with what every comparison needs of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ..system import CollectiveVariable, System
from ..variables import KINDS
from .bootstrap import Blocks, blocks_of
from .collective_variables import compute
from .correlation import statistical_inefficiency
from .folding import Sample, native_contacts
from .geometry import GeometryLimits, failed_frames, lost_frames, mark_failed
from .torsions import torsions_of
from .weighted import evenly, scatter_of

_FRAMES = 10_000
"""Frames whose torsions are computed at a time."""


@dataclass(frozen=True)
class Measured:
    """Frames and what was measured on them.

    Attributes
    ----------
    frames
        Shape (frames, beads, dim), nm; NaN where a frame failed.
    variables
        Collective variables, shape (frames, variables); NaN where a frame failed.
    torsions
        Variables of `torsions_of`, one motion after another, shape (frames, torsions).
    failed, lost
        Frames that failed, and those of them that hold no structure.
    inefficiency
        Frames of a chain to an independent one, by the slowest variable.
    blocks, kept
        Blocks of all frames, and of those that did not fail.
    chains
        Number of chains, whose frames are given time after time.
    sample
        For folding; None without native contacts or if all frames failed.
    worth
        Share of the frames that as many draws at random would need for the same scatter: 1, or
        less of frames that were drawn by weights and repeat some.
    """

    frames: Float[np.ndarray, "frames beads dim"]
    variables: Float[np.ndarray, "frames variables"]
    torsions: Float[np.ndarray, "frames torsions"]
    failed: Bool[np.ndarray, " frames"]
    lost: Bool[np.ndarray, " frames"]
    inefficiency: float
    blocks: Blocks
    kept: Blocks
    chains: int
    sample: Sample | None
    worth: float

    @staticmethod
    def of(
        system: System,
        frames: Float[np.ndarray, "frames beads dim"],
        limits: GeometryLimits,
        chains: int,
        seed: int,
        weights: Float[np.ndarray, " frames"] | None = None,
        worth: float = 1.0,
    ) -> Measured:
        """Measure frames; `limits` are those of a frame that failed, `seed` is of the draws.

        With weights, frames are drawn by them. `worth` is the attribute, of frames without.
        """
        if weights is not None:
            rows = evenly(weights)
            frames, worth = frames[rows], scatter_of(rows) / len(rows)
        if len(frames) % chains:
            chains = 1
        failed, lost = failed_frames(system, frames, limits), lost_frames(frames)
        frames = mark_failed(frames, failed)
        columns = [compute(variable, frames) for variable in system.collective_variables]
        variables = np.stack(columns, axis=1) if columns else np.empty((len(frames), 0))
        found = [
            statistical_inefficiency([column.reshape(-1, chains)], period_of(variable))
            for variable, column in zip(system.collective_variables, columns, strict=True)
        ]
        slowest = max(found, default=1.0)
        blocks = kept = blocks_of(len(frames), slowest, chains, seed)
        if failed.any():
            kept = blocks_of(len(frames), slowest, chains, seed, kept=~failed)
        sample, folded = None, native_contacts(system)
        if folded is not None and not failed.all():
            q = columns[system.collective_variables.index(folded)][~failed]
            sample = Sample(system, frames[~failed], q, kept, len(q) / slowest)
        return Measured(
            frames,
            variables,
            _torsions(system, frames),
            failed,
            lost,
            slowest,
            blocks,
            kept,
            chains,
            sample,
            worth,
        )

    @property
    def plane(self) -> Float[np.ndarray, "frames axes"]:
        """The first two collective variables, the axes of the histograms."""
        return self.variables[:, :2]

    def draws(self, frames: int) -> int:
        """As many draws at random as scatter like so many of these frames, for a floor."""
        return max(1, round(frames * self.worth))

    @property
    def effective(self) -> float:
        """Number of independent frames among those that did not fail."""
        return float(np.sum(~self.failed)) / self.inefficiency


def _torsions(
    system: System, frames: Float[np.ndarray, "frames beads dim"]
) -> Float[np.ndarray, "frames torsions"]:
    """NaN where a frame, as it is given, holds no positions."""
    wanted = [variable for motion in torsions_of(system) for variable in motion.variables]
    found = np.empty((len(frames), len(wanted)), np.float32, order="F")
    for start in range(0, len(frames) if wanted else 0, _FRAMES):
        # bead by bead in memory: each is read several times
        block = np.ascontiguousarray(np.moveaxis(frames[start : start + _FRAMES], 1, 0))
        for column, variable in enumerate(wanted):
            values = KINDS[variable.kind].compute(np.moveaxis(block, 0, 1), variable.indices, ())
            found[start : start + _FRAMES, column] = values
    return found


def period_of(variable: CollectiveVariable) -> float | None:
    """Period of an angle, None for what is not periodic."""
    return variable.limits[1] - variable.limits[0] if variable.periodic else None
