"""Running account of a simulation, of a size that does not grow with its length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from .temperature import Temperature, kinetic_temperature

MAX_BINS = 512
"""Bins of consecutive frames; when they are full, neighbours are merged."""


@dataclass
class Tally:
    """Kinetic energy in bins of consecutive stored times, and seconds of work.

    What it holds after so many frames does not depend on the blocks they came in, so a resumed
    simulation reports what an uninterrupted one does.

    Attributes
    ----------
    sums
        Sum over the frames of each bin of the mean kinetic energy of the running chains, kJ/mol.
    per_bin
        Frames in each bin but the last, a power of two.
    n_frames
        Frames counted: those in which a chain was running.
    n_failed
        Frames of the trajectory that are not finite or out of range.
    seconds
        Time spent.
    """

    sums: list[float] = field(default_factory=list)
    per_bin: int = 1
    n_frames: int = 0
    n_failed: int = 0
    seconds: float = 0.0

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Tally:
        """Read back what `as_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        tally = Tally(
            [float(value) for value in stored["sums"]],
            int(stored["per_bin"]),
            int(stored["n_frames"]),
            int(stored["n_failed"]),
            float(stored["seconds"]),
        )
        bins = -(-tally.n_frames // tally.per_bin) if tally.per_bin > 0 else -1
        if len(tally.sums) != bins or bins > MAX_BINS:
            raise ValueError("the bins do not belong to the number of frames")
        return tally

    def as_json(self) -> dict[str, Any]:
        """Everything, for the manifest of a restart."""
        return {
            "sums": self.sums,
            "per_bin": self.per_bin,
            "n_frames": self.n_frames,
            "n_failed": self.n_failed,
            "seconds": self.seconds,
        }

    def add(self, kinetic: Float[np.ndarray, "frames chains"], seconds: float) -> None:
        """Count a block of frames, NaN where a chain does not run."""
        self.seconds += seconds
        finite = np.isfinite(kinetic)
        counts = finite.sum(axis=1)
        running = counts > 0
        sums = np.where(finite, kinetic, 0.0).sum(axis=1, dtype=np.float64)
        for mean in (sums[running] / counts[running]).tolist():
            self._add(mean)

    def temperature(self, degrees_of_freedom: int) -> Temperature | None:
        """Kinetic temperature and its standard error, K; None for fewer than two frames."""
        if self.n_frames < 2:
            return None
        whole = self.n_frames // self.per_bin
        means = np.asarray(self.sums[:whole]) / self.per_bin
        error = kinetic_temperature(means, degrees_of_freedom).standard_error
        mean = np.full(2, sum(self.sums) / self.n_frames)
        return Temperature(kinetic_temperature(mean, degrees_of_freedom).mean, error)

    def _add(self, mean: float) -> None:
        if self.n_frames == MAX_BINS * self.per_bin:
            self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
            self.per_bin *= 2
        if self.n_frames % self.per_bin:
            self.sums[-1] += mean
        else:
            self.sums.append(mean)
        self.n_frames += 1
