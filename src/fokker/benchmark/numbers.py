"""The numbers of a finished cell: all that a table needs, in one small file, `cell.json`."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import FokkerError
from ..metrics import judged_js
from ..run.folder import RunFolder, write_atomically

FILE = "cell.json"

RESIDUAL_TIME = 1e-3
"""Diffusion time at which the table states the Fokker-Planck residual of every method."""

Values = dict[str, float | None]


class Numbers(NamedTuple):
    """What is known of a cell or, of many molecules, of one that it is judged by.

    Attributes
    ----------
    molecule
        Its name; empty if there is one.
    values
        By column, but for those that need another cell and the residual.
    floor
        What a perfect model would score, by column.
    residual
        Root mean square of R / D (`rms`) by time (`t`); None if there is none.
    counts
        Frames and chains that the values are of.
    """

    molecule: str
    values: Values
    floor: Values
    residual: dict[str, list[float]] | None
    counts: dict[str, int]


def finished(cell: Path) -> bool:
    """Whether a cell is complete, or was and its numbers are left."""
    return (cell / FILE).exists() or bool(RunFolder(cell).read_record().get("cell_finished"))


def keep(cell: Path) -> None:
    """Write the numbers of a cell that has been evaluated, and with that finish it."""
    found = [_of(cell, folder)._asdict() for folder in judged(cell)]
    write_atomically(cell / FILE, json.dumps(found, indent=1, allow_nan=False))


def numbers(cell: Path) -> list[Numbers]:
    """The numbers of a finished cell.

    Raises
    ------
    FokkerError
        If they cannot be read.
    """
    file = cell / FILE
    if not file.exists():  # finished before there was such a file
        return [_of(cell, folder) for folder in judged(cell)]
    try:
        found = [Numbers(**each) for each in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError) as error:
        raise FokkerError(f"{file}: not readable; delete {cell} and go on.") from error
    if not found:
        raise FokkerError(f"{file}: empty; delete {cell} and go on.")
    return found


def judged(cell: Path) -> tuple[Path, ...]:
    """Folders of a cell with metrics: of the molecules it is judged by, or the cell itself."""
    folder = RunFolder(cell)
    if not folder.summary.exists():
        return (cell,)
    names = json.loads(folder.summary.read_bytes())["molecules"]
    return tuple(folder.of_molecule(name).path for name in names)


def residual_at(residual: dict[str, list[float]] | None, t: float = RESIDUAL_TIME) -> float | None:
    """Root mean square of the residual at one time, the same for all methods.

    An evaluation of an earlier version had other times in each method: it is interpolated between
    the two nearest, the logarithm of one linear in that of the other.

    Returns
    -------
    float or None
        None if there is no residual, or none on both sides of the time.
    """
    if not residual or t in residual.get("not_finite", []):
        return None
    order = np.argsort(residual["t"])
    times, rms = (np.asarray(residual[key])[order] for key in ("t", "rms"))
    if not times[0] <= t <= times[-1]:
        return None
    return float(np.exp(np.interp(math.log(t), np.log(times), np.log(rms))))


def _training_seconds(cell: Path) -> float | None:
    """Time of the optimiser steps alone, from the training log."""
    log = RunFolder(cell).training_log
    if not log.exists():
        return None
    return sum(json.loads(line)["seconds"] for line in log.read_text().splitlines())


def _of(cell: Path, folder: Path) -> Numbers:
    run = RunFolder(folder)
    try:
        metrics, record = json.loads(run.metrics.read_bytes()), run.read_record()
    except (OSError, ValueError) as error:
        raise FokkerError(f"{run.metrics}: not readable; delete {cell} and go on.") from error
    return Numbers(
        molecule=folder.name if folder != cell else "",
        values=_values(cell, metrics, record),
        floor=_floor(metrics),
        residual=metrics.get("residual") or None,
        counts={
            "iid": metrics["iid"]["n"],
            "sim": metrics["sim"]["n"],
            "training": metrics["iid"]["n_training"],
            "chains": record["simulation"]["chains"],
            "simulated_steps": record["simulation"]["steps"],
        },
    )


def _values(cell: Path, metrics: dict[str, Any], record: dict[str, Any]) -> Values:
    """Every column of one cell, but for those that need another cell."""
    simulation = record["simulation"]
    values: Values = {}
    for kind in ("iid", "sim"):
        found = metrics[kind]
        values |= {f"{kind}_js": found["js"], f"{kind}_pmf": found["pmf"]}
        values |= {f"{kind}_js_data": judged_js(found).js}
        values |= {f"{kind}_bond": _bond(found["bonds"], "w1")}
        values |= {f"{kind}_failed": 100.0 * found["failed_fraction"]}
        least = min(found["chirality"].values(), default=None)
        values |= {f"{kind}_chirality": None if least is None else 100.0 * least}
    first = simulation["diverged_at"]
    return values | {
        "diverged": simulation["diverged"],
        "first_divergence": first[0] if first else None,
        "force_time": simulation.get("t"),
        "steps": record.get("training", {}).get("steps"),
        "training_seconds": _training_seconds(cell),
        "sampling_seconds": record["sampling"]["seconds"],
        "steps_per_second": simulation["steps_per_second"],
    }


def _floor(metrics: dict[str, Any]) -> Values:
    values: Values = {}
    for kind in ("iid", "sim"):
        found = metrics[kind]
        values |= {f"{kind}_js": found["js_floor"], f"{kind}_pmf": found["pmf_floor"]}
        values |= {f"{kind}_js_data": judged_js(found).floor}
        values |= {f"{kind}_bond": _bond(found["bonds"], "floor")}
    return values


def _bond(bonds: dict[str, dict[str, float | None]], key: str) -> float | None:
    """Mean over the peptide C-N bonds (over all bonds where there is none) in pm."""
    peptide = [b for b in bonds if {atom.split("-")[-1] for atom in b.split()} == {"C", "N"}]
    found = [bonds[label][key] for label in peptide or bonds]
    known = [1e3 * value for value in found if value is not None]
    return statistics.fmean(known) if known and len(known) == len(found) else None
