"""Structures of a run for the eye: common states, and one chain of the simulation that moves.

Common states are cells over the first two collective variables that hold more of the data than
the cells around them. Of every set the frame nearest to the middle of the data there is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.lib.stride_tricks import sliding_window_view

from ..metrics import GeometryLimits, compute_all, failed_frames
from ..system import CollectiveVariable, System
from .superposition import superposed

CELLS = 12
"""Cells per collective variable: 30 degrees wide for a dihedral, a state and not a fluctuation."""

STATES = 6
"""States shown at most."""

RARE, FEW = 0.0005, 10
"""Share and number of the frames below which a cell is not called a state: it may be noise."""

COORDINATES = 30_000
"""Numbers stored of a moving chain: about 150 kB of the page."""

MOVIE_FRAMES = (20, 200)
"""Fewest and most frames of a moving chain."""

SETS_SHOWN = ("data", "iid", "sim")

_PICOMETRES = 1000.0


class Chains(NamedTuple):
    """How the frames of a simulation follow each other: all chains at one time, then the next."""

    count: int
    interval: float
    """Between stored frames, ps."""


def structures(
    system: System,
    sets: Mapping[str, Float[np.ndarray, "_frames beads dim"]],
    chains: Chains | None = None,
) -> dict[str, Any] | None:
    """States and a moving chain as plain numbers; None unless the system is a molecule.

    Parameters
    ----------
    system
        Its beads, bonds and first two collective variables.
    sets
        Frames of shape (frames, beads, 3) by name, nm; those that failed are left out.
    chains
        Of the frames named ``sim``; without it no chain is shown.

    Returns
    -------
    dict or None
        `elements`, `names` and `bonds` of the beads; `states`, each with its `values` of the
        collective variables, the `share` of every set inside its cell and one frame a set in
        `frames`; `movie`, or None. Positions are whole picometres, flat, centred; frames of one
        state, and those of the movie, are superposed.
    """
    if system.dim != 3 or system.length_unit != "nm" or not system.bonds:
        return None
    shown = {name: sets[name] for name in SETS_SHOWN if name in sets and len(sets[name])}
    limits = GeometryLimits.none(system)
    if "data" in shown:
        limits = GeometryLimits.from_frames(system, shown["data"])
    failed = {name: failed_frames(system, frames, limits) for name, frames in shown.items()}
    values = {name: _values(system, frames, failed[name]) for name, frames in shown.items()}
    movie = None
    if chains is not None and "sim" in shown:
        movie = _movie(system, shown["sim"], failed["sim"], chains)
    return {
        "elements": [bead.element for bead in system.beads],
        "names": list(system.labels),
        "bonds": [list(bond) for bond in system.bonds],
        "variables": [variable.name for variable in _variables(system)],
        "states": _states(system, shown, values),
        "movie": movie,
    }


def _variables(system: System) -> tuple[CollectiveVariable, ...]:
    return system.collective_variables[:2]


def _values(
    system: System, frames: np.ndarray, failed: Bool[np.ndarray, " frames"]
) -> Float[np.ndarray, "frames variables"]:
    """Values of the first two collective variables, nan where a frame failed."""
    table = compute_all(system, frames)
    columns = [table[variable.name] for variable in _variables(system)]
    values = np.stack(columns, axis=1) if columns else np.zeros((len(frames), 0))
    values[failed] = np.nan
    return values


def _states(
    system: System, sets: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    if not sets or not _variables(system):
        return []
    found = []
    first = next(iter(sets))
    cells = {name: _cells(system, value) for name, value in values.items()}
    for cell in _common_cells(system, cells[first]):
        inside = {name: (cells[name] == cell).all(axis=1) for name in sets}
        # A cell never straddles the seam of a periodic variable: the plain median is its middle.
        middle = np.median(values[first][inside[first]], axis=0)
        chosen = {
            name: sets[name][_nearest(system, values[name], mine, middle)]
            for name, mine in inside.items()
            if mine.any()
        }
        aligned = superposed(np.stack(list(chosen.values())), chosen[first])
        found.append(
            {
                "values": [float(f"{value:.4g}") for value in middle],
                "share": {name: float(f"{mine.mean():.4g}") for name, mine in inside.items()},
                "frames": {name: _whole(f) for name, f in zip(chosen, aligned, strict=True)},
            }
        )
    return found


def _cells(system: System, values: np.ndarray) -> np.ndarray:
    """Cell of each frame, -1 where there is none: beyond the limits or not finite."""
    columns = np.full(values.shape, -1)
    for axis, variable in enumerate(_variables(system)):
        low, high = variable.limits
        at = (values[:, axis] - low) / (high - low) * CELLS
        inside = (at >= 0.0) & (at <= CELLS)
        columns[inside, axis] = np.minimum(at[inside], CELLS - 1).astype(int)
    return columns


def _common_cells(system: System, cells: np.ndarray) -> Int[np.ndarray, "states variables"]:
    """Cells with more frames than any of their neighbours, most populated first."""
    variables = _variables(system)
    counts = np.zeros((CELLS,) * len(variables), int)
    np.add.at(counts, tuple(cells[(cells >= 0).all(axis=1)].T), 1)
    padded = counts
    for axis, variable in enumerate(variables):
        width = [(int(axis == other),) * 2 for other in range(len(variables))]
        padded = np.pad(padded, width, mode="wrap" if variable.periodic else "edge")
    around = sliding_window_view(padded, (3,) * len(variables))
    highest = counts == around.max(axis=tuple(range(len(variables), 2 * len(variables))))
    chosen = np.argwhere(highest & (counts >= max(RARE * len(cells), FEW)))
    order = np.argsort(-counts[tuple(chosen.T)], kind="stable")
    return chosen[order][:STATES]


def _nearest(
    system: System, values: np.ndarray, mine: Bool[np.ndarray, " frames"], middle: np.ndarray
) -> int:
    widths = np.array([v.limits[1] - v.limits[0] for v in _variables(system)])
    distance = np.linalg.norm((values - middle) / widths, axis=1)
    return int(np.argmin(np.where(mine, distance, np.inf)))


def _movie(
    system: System, frames: np.ndarray, failed: Bool[np.ndarray, " frames"], chains: Chains
) -> dict[str, Any] | None:
    """Frames evenly spread over the first of the chains that lasted longest."""
    if len(frames) % chains.count or len(frames) < 2 * chains.count:
        return None
    lost = failed.reshape(-1, chains.count)
    lasted = np.where(lost.any(axis=0), lost.argmax(axis=0), len(lost))
    chain = int(np.argmax(lasted))
    if lasted[chain] < 2:
        return None
    low, high = MOVIE_FRAMES
    wanted = min(max(COORDINATES // (3 * system.n_beads), low), high)
    every = -(-int(lasted[chain]) // wanted)
    mine = frames[chain :: chains.count][: lasted[chain] : every]
    values = _values(system, mine, np.zeros(len(mine), bool))
    return {
        "chain": chain + 1,
        "chains": chains.count,
        "failed": int(lost.any(axis=0).sum()),
        "interval": float(f"{every * chains.interval:.6g}"),
        "values": [[float(f"{v:.4g}") for v in row] for row in values],
        "frames": [_whole(frame) for frame in superposed(mine, mine[0])],
    }


def _whole(frame: Float[np.ndarray, "beads 3"]) -> list[int]:
    """Positions in whole picometres, flat: shorter than floats, and far finer than the eye."""
    return np.rint(_PICOMETRES * frame).astype(int).ravel().tolist()
