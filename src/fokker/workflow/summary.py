"""How well a model of many molecules does on each that was never trained on, and on average."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FokkerError
from ..metrics import judged_js
from ..run.folder import RunFolder, write_atomically

AVERAGED = (
    *("js_data", "js_data_floor", "js_data_ratio", "js", "js_floor", "js_ratio"),
    *("pmf", "pmf_floor", "failed_fraction", "chirality"),
)
"""Of which mean and standard deviation over the molecules are given."""


def summarise(run: Path, folders: Sequence[Path]) -> dict[str, Any]:
    """Collect the metrics of molecules in `molecules.json` of the run.

    Parameters
    ----------
    run
        Folder of a run of many molecules.
    folders
        Those of molecules that have been evaluated.

    Returns
    -------
    dict
        `judged`: what the molecules were for, `test`, `validation` (they chose the weights),
        `training`, or `several`. `molecules`: by name, what they were compared with (`against`),
        chains and diverged chains, and for `iid` and `sim` the number of frames, JS and PMF error
        with their floors, the fraction of failed frames, and the fraction of frames with the right
        chirality at the centre that keeps it least; None where something does not exist. `mean`
        and `std`: over the molecules, with their number `n`.

    Raises
    ------
    FokkerError
        If a molecule has not been evaluated.
    """
    rows = {path.name: _row(RunFolder(path)) for path in folders}
    purposes = {row["against"] for row in rows.values()}
    judged = purposes.pop() if len(purposes) == 1 else "several"
    result: dict[str, Any] = {"judged": judged, "molecules": rows, "mean": {}, "std": {}, "n": {}}
    for kind in ("iid", "sim"):
        found = [row[kind] for row in rows.values() if row[kind] is not None]
        if not found:
            continue
        result["n"][kind] = len(found)
        for name, average in (("mean", np.mean), ("std", _spread)):
            values = {key: [row[key] for row in found] for key in AVERAGED}
            result[name][kind] = {
                key: None if None in each else float(average(each)) for key, each in values.items()
            }
    content = json.dumps(result, indent=1, allow_nan=False)
    write_atomically(RunFolder(run).summary, content)
    return result


def _spread(values: Sequence[float]) -> float:
    """Standard deviation of single molecules; zero for one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _row(folder: RunFolder) -> dict[str, Any]:
    try:
        metrics = json.loads(folder.metrics.read_bytes())
        return {
            **{key: metrics[key] for key in ("against", "chains", "diverged_chains")},
            **{kind: _entry(metrics.get(kind)) for kind in ("iid", "sim")},
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FokkerError(
            f"{folder.metrics}: not there or not readable; run `fokker evaluate {folder.path}`."
        ) from error


def _entry(table: dict[str, Any] | None) -> dict[str, Any] | None:
    if table is None:
        return None
    found = judged_js(table)
    own = {"js_data": found.js, "js_data_floor": found.floor, "js_data_ratio": found.ratio}
    table = own | table  # an earlier version wrote one divergence
    kept = {key: table[key] for key in ("n", *AVERAGED[:-1])}
    return {**kept, "chirality": min(table["chirality"].values(), default=None)}
