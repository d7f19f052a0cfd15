"""Coordinates that were rounded so far that bonds are lost."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

_STEPS = (0.1, 0.05, 0.02, 0.01, 0.005)
"""Steps that are looked for in coordinates whose file states none, nm."""

_LIMIT = 1e-3
"""Error of a bond length by rounding, nm: a third of its own vibration at room temperature."""

_FRAMES = 100


def step_of(frames: Float[np.ndarray, "frames atoms dim"]) -> float:
    """Largest step of which all coordinates are multiples, nm; 0 if there is none."""
    some = frames[:_FRAMES].astype(np.float64)
    if not np.isfinite(some).all() or not some.any():
        return 0.0
    for step in _STEPS:
        parts = some / step
        # single precision has seven digits of a coordinate
        if (np.abs(parts - np.round(parts)) < 1e-4 + 2e-7 * np.abs(parts)).all():
            return step
    return 0.0


def too_coarse(path: Path, step: float) -> list[str]:
    """What is to be said of coordinates that are multiples of a step, nm.

    Rounding moves a coordinate by step / sqrt(12), a bond length by sqrt(2) times as much.
    """
    error = step / np.sqrt(6.0)
    if not error > _LIMIT:
        return []
    return [
        f"{path}: coordinates are rounded to {step:g} nm, which moves bond lengths by {error:.2g} "
        "nm, as far as they vibrate (about 0.003 nm) or farther; write 0.001 nm (GROMACS: "
        "compressed-x-precision = 1000)."
    ]
