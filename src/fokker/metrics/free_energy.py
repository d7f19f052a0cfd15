"""Free-energy profiles and surfaces for plots: `F = -kT log(probability)`, lowest bin at zero."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..system import System
from .collective_variables import compute_all


class FreeEnergy1D(NamedTuple):
    """Bin edges, shape (bins + 1,), and free energy, shape (bins,), nan in empty bins."""

    edges: Float[np.ndarray, " edges"]
    energy: Float[np.ndarray, " bins"]


class FreeEnergy2D(NamedTuple):
    """Bin edges of both axes and free energy, shape (x bins, y bins), nan in empty bins."""

    x_edges: Float[np.ndarray, " x_edges"]
    y_edges: Float[np.ndarray, " y_edges"]
    energy: Float[np.ndarray, "x_bins y_bins"]


def free_energy_1d(
    values: Float[np.ndarray, " frames"],
    limits: tuple[float, float],
    bins: int = 64,
    kT: float = 1.0,
) -> FreeEnergy1D:
    """Free-energy profile along one collective variable.

    Parameters
    ----------
    values
        Collective variable, shape (frames,); values that are not finite or lie outside the limits
        are not shown.
    limits
        Range of the axis, in the unit of the values.
    bins
        Number of equal bins.
    kT
        Thermal energy in kJ/mol; 1 gives the free energy in units of kT.
    """
    counts, edges = np.histogram(values[np.isfinite(values)], bins=bins, range=limits)
    return FreeEnergy1D(edges, _energy(counts, kT))


def free_energy_2d(
    x: Float[np.ndarray, " frames"],
    y: Float[np.ndarray, " frames"],
    limits: tuple[tuple[float, float], tuple[float, float]],
    bins: int = 64,
    kT: float = 1.0,
) -> FreeEnergy2D:
    """Free-energy surface over two collective variables; arguments as in `free_energy_1d`."""
    finite = np.isfinite(x) & np.isfinite(y)
    counts, x_edges, y_edges = np.histogram2d(x[finite], y[finite], bins=bins, range=limits)
    return FreeEnergy2D(x_edges, y_edges, _energy(counts, kT))


def free_energies_1d(
    system: System, frames: Float[np.ndarray, "frames beads dim"], bins: int = 64
) -> dict[str, FreeEnergy1D]:
    """Profile along every collective variable between its limits, in the unit of `system.kT`."""
    values = compute_all(system, frames)
    return {
        variable.name: free_energy_1d(values[variable.name], variable.limits, bins, system.kT)
        for variable in system.collective_variables
    }


def _energy(counts: np.ndarray, kT: float) -> np.ndarray:
    energy = np.full(counts.shape, np.nan)
    if counts.any():
        # Relative to the fullest bin, whose energy is then zero.
        occupied = counts > 0
        energy[occupied] = kT * np.log(counts.max() / counts[occupied])
    return energy
