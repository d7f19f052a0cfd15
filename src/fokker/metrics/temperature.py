"""Kinetic temperature of a simulation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..units import BOLTZMANN


class Temperature(NamedTuple):
    """Mean and standard error of the mean, K."""

    mean: float
    standard_error: float


def kinetic_temperature(
    kinetic_energy: Float[np.ndarray, " frames"], degrees_of_freedom: int, blocks: int = 20
) -> Temperature:
    """Temperature `2 E_kin / (k_B D)`, by equipartition.

    Parameters
    ----------
    kinetic_energy
        kJ/mol, shape (frames,), in the order of time.
    degrees_of_freedom
        Number D of velocity components that move freely.
    blocks
        The standard error comes from the means of this many contiguous blocks, which is right for
        correlated frames as long as a block is much longer than the correlation time.

    Raises
    ------
    FokkerError
        If there are fewer than two frames or no degrees of freedom.
    """
    if len(kinetic_energy) < 2 or degrees_of_freedom < 1:
        raise FokkerError(
            f"a kinetic temperature needs 2 frames and 1 degree of freedom, got "
            f"{len(kinetic_energy)} and {degrees_of_freedom}; save more frames"
        )
    temperature = 2.0 * kinetic_energy.astype(np.float64) / (BOLTZMANN * degrees_of_freedom)
    blocks = min(blocks, len(temperature))
    means = [block.mean() for block in np.array_split(temperature, blocks)]
    return Temperature(float(temperature.mean()), float(np.std(means, ddof=1) / np.sqrt(blocks)))
