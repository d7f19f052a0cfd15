"""The data of every figure, as plain numbers that fit in a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..metrics import (
    GeometryLimits,
    angle,
    compute_all,
    distance,
    failed_frames,
    finite_frames,
    free_energy_1d,
    free_energy_2d,
    mark_failed,
)
from ..metrics.geometry import labels
from ..system import System
from .contacts import contacts, traces
from .structures import Chains, structures

SETS = ("data", "reference", "iid", "sim")
"""Sets of frames a figure can show: training frames, frames never trained on, and the model's."""

BINS = 64
"""Bins per axis of every histogram."""

_DIGITS = 6
"""Significant digits of energies and densities: far below counting noise, and the file is small."""


def gather(
    system: System,
    sets: Mapping[str, Float[np.ndarray, "_frames beads dim"]],
    *,
    residual: dict | None = None,
    relaxation: dict | None = None,
    chains: Chains | None = None,
) -> dict:
    """Histograms and free energies of every set of frames, on common edges.

    Parameters
    ----------
    system
        Names the collective variables, bonds and angles.
    sets
        Frames of shape (frames, beads, dim) by name, one of `SETS`; nm (or the system's length
        unit). Frames that failed, by the limits of the data, are left out of everything drawn and
        counted as `not_finite`.
    residual
        Fokker-Planck residual against diffusion time, passed through: `t`, `rms` and, optionally,
        `median`, `unit` and `boundaries` (times at which one expert hands over to the next).
    relaxation
        Relaxation of an ensemble that starts from one structure, passed through: `time`, `unit`
        and, all optional, `start` (a text), `curves` and `targets` (by name; ``mean phi`` has the
        unit of phi), `js_data`, `js_data_floor`, `js`, `js_floor`, `chains`, `failed_fraction`.
    chains
        How the frames named ``sim`` follow each other; without it no chain is shown moving.

    Returns
    -------
    dict
        Angles in rad, lengths in the system's unit, free energies in kT with the lowest bin at
        zero, densities per unit. `null` stands for an empty bin, or for a missing figure.

    Raises
    ------
    FokkerError
        If a set has an unknown name or frames of another shape than the system's.
    """
    _check(system, sets)
    ordered = _marked(system, {name: sets[name] for name in SETS if name in sets})
    values = {name: compute_all(system, frames) for name, frames in ordered.items()}
    return {
        "system": system.name,
        "frames": {name: len(frames) for name, frames in ordered.items()},
        "not_finite": {
            name: int(np.sum(~finite_frames(frames))) for name, frames in ordered.items()
        },
        "surfaces": _surfaces(system, values),
        "profiles": _profiles(system, values),
        "bonds": _bonds(system, ordered),
        "angles": _angles(system, ordered),
        "residual": _plain(residual),
        "relaxation": _plain(relaxation),
        "structures": structures(system, ordered, chains),
        "contacts": contacts(system, ordered),
        "traces": traces(system, ordered.get("sim"), chains),
    }


def _check(system: System, sets: Mapping[str, np.ndarray]) -> None:
    for name, frames in sets.items():
        if name not in SETS:
            raise FokkerError(f"unknown set of frames {name!r}; the report knows {', '.join(SETS)}")
        if frames.shape[1:] != (system.n_beads, system.dim):
            raise FokkerError(
                f"the {name} frames have {frames.shape[1]} beads in {frames.shape[2]} dimension(s) "
                f"but {system.name} has {system.n_beads} in {system.dim}; "
                f"read them with the run's own topology"
            )


def _marked(system: System, sets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    limits = GeometryLimits.none(system)
    if "data" in sets:
        limits = GeometryLimits.from_frames(system, sets["data"])
    return {
        name: mark_failed(frames, failed_frames(system, frames, limits))
        for name, frames in sets.items()
    }


def _surfaces(system: System, values: dict[str, dict[str, np.ndarray]]) -> dict | None:
    if len(system.collective_variables) < 2 or not values:
        return None
    x, y = system.collective_variables[:2]
    surfaces = {
        name: free_energy_2d(value[x.name], value[y.name], (x.limits, y.limits), BINS)
        for name, value in values.items()
    }
    first = next(iter(surfaces.values()))
    return {
        "x": {"name": x.name, "unit": system.unit_of(x), "edges": first.x_edges.tolist()},
        "y": {"name": y.name, "unit": system.unit_of(y), "edges": first.y_edges.tolist()},
        "energy": {name: _rounded(surface.energy) for name, surface in surfaces.items()},
    }


def _profiles(system: System, values: dict[str, dict[str, np.ndarray]]) -> dict:
    table = {}
    for variable in system.collective_variables:
        profiles = {
            name: free_energy_1d(value[variable.name], variable.limits, BINS)
            for name, value in values.items()
        }
        table[variable.name] = {
            "unit": system.unit_of(variable),
            "edges": np.linspace(*variable.limits, BINS + 1).tolist(),
            "energy": {name: _rounded(profile.energy) for name, profile in profiles.items()},
            "beyond": {
                name: _beyond(value[variable.name], variable.limits)
                for name, value in values.items()
            },
        }
    return table


def _bonds(system: System, sets: dict[str, np.ndarray]) -> dict:
    return {
        label: _densities(
            {name: distance(frames, bond) for name, frames in sets.items()}, system.length_unit
        )
        for label, bond in zip(labels(system, system.bonds), system.bonds, strict=True)
    }


def _angles(system: System, sets: dict[str, np.ndarray]) -> dict:
    return {
        label: _densities({name: angle(frames, triple) for name, frames in sets.items()}, "rad")
        for label, triple in zip(labels(system, system.angles), system.angles, strict=True)
    }


def _densities(values: dict[str, np.ndarray], unit: str) -> dict:
    """Densities on common edges; values beyond them are in the norm, and their share is told."""
    finite = {name: value[np.isfinite(value)] for name, value in values.items()}
    edges = np.linspace(*_range(finite), BINS + 1)
    width = edges[1] - edges[0]
    return {
        "unit": unit,
        "edges": edges.tolist(),
        "density": {
            name: _rounded(np.histogram(value, edges)[0] / (max(len(value), 1) * width))
            for name, value in finite.items()
        },
        "beyond": {name: _beyond(value, (edges[0], edges[-1])) for name, value in finite.items()},
    }


def _beyond(values: np.ndarray, limits: tuple[float, float]) -> float | None:
    """Share of the finite values that no bin holds; None if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.mean((finite < limits[0]) | (finite > limits[1]))) if len(finite) else None


def _range(values: dict[str, np.ndarray]) -> tuple[float, float]:
    """Common range: what the sets visit, but at most three times as wide as the true frames'.

    A few wild frames of a bad simulation would otherwise squeeze every distribution into one bin.
    """
    bulk = {name: np.quantile(v, [0.0005, 0.9995]) for name, v in values.items() if len(v)}
    if not bulk:
        return 0.0, 1.0
    low = min(q[0] for q in bulk.values())
    high = max(q[1] for q in bulk.values())
    true = [q for name, q in bulk.items() if name in ("data", "reference")]
    if true:
        true_low, true_high = min(q[0] for q in true), max(q[1] for q in true)
        width = true_high - true_low
        low, high = max(low, true_low - width), min(high, true_high + width)
    margin = 0.05 * (high - low) or 0.01 * max(abs(high), 1e-6)
    return float(low - margin), float(high + margin)


def _rounded(values: np.ndarray) -> list:
    """Nested lists of numbers to a few significant digits, None in place of non-finite ones."""
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [float(f"{v:.{_DIGITS}g}") if np.isfinite(v) else None for v in values.tolist()]


def _plain(value: Any) -> Any:
    """Lists, numbers and None in place of arrays, NumPy numbers and non-finite values."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
