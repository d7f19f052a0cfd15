"""From finished cells to the table: numbers first, then JSON, CSV, Markdown and figures."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..config import Config
from ..report.formats import number, spread
from ..run.folder import write_atomically
from .figure import draw_residuals, draw_table
from .numbers import RESIDUAL_TIME, Values, finished, numbers, residual_at
from .paper import CITATION, PAPER, reported_as
from .plan import Plan
from .reference import NAME as REFERENCE

RELATIVE_TO = "both"
"""Row that bond distances are divided by, seed by seed, as in the paper."""


class Column(NamedTuple):
    """One column: its key in `table.json`, its heading, and the part of the table it is in."""

    key: str
    title: str
    part: str = "accuracy"


COLUMNS = (
    Column("iid_js_data", "iid JS"),
    Column("sim_js_data", "sim JS"),
    Column("iid_js", "iid JS, paper's edges"),
    Column("sim_js", "sim JS, paper's edges"),
    Column("iid_pmf", "iid PMF"),
    Column("sim_pmf", "sim PMF"),
    Column("iid_bond_relative", f"iid bond W1 / {RELATIVE_TO}"),
    Column("sim_bond_relative", f"sim bond W1 / {RELATIVE_TO}"),
    Column("iid_bond", "iid bond W1, pm", "stability"),
    Column("sim_bond", "sim bond W1, pm", "stability"),
    Column("iid_failed", "iid failed, %", "stability"),
    Column("sim_failed", "sim failed, %", "stability"),
    Column("iid_chirality", "iid right chirality, %", "stability"),
    Column("sim_chirality", "sim right chirality, %", "stability"),
    Column("diverged", "diverged chains", "stability"),
    Column("first_divergence", "first at step", "stability"),
    Column("residual", f"FP residual at t = {RESIDUAL_TIME:g}", "stability"),
    Column("force_time", "t of the force", "cost"),
    Column("steps", "optimiser steps", "cost"),
    Column("training_seconds", "training, s", "cost"),
    Column("sampling_seconds", "sampling, s", "cost"),
    Column("steps_per_second", "chain-steps/s", "cost"),
)
PARTS = tuple(dict.fromkeys(column.part for column in COLUMNS))

Row = dict[str, dict[str, Any]]


def collect(plan: Plan) -> dict[str, Any]:
    """The table of all cells that are finished.

    Returns
    -------
    dict
        `rows` by name, each a table by column of `mean`, `std` (None for one seed) and `values`
        (by seed, and of many molecules by molecule within a seed); `floor`, `paper`, and what
        describes the table.
    """
    cells: dict[str, dict[tuple[int, str], Values]] = {}
    floors: list[Values] = []
    residuals: dict[str, list[dict[str, Any]]] = {}
    counts: dict[str, int] = {}
    for name in (REFERENCE, *plan.configs):
        for seed in plan.all_seeds:
            cell = plan.cell(name, seed)
            for one in numbers(cell) if finished(cell) else ():
                values = one.values | {"residual": residual_at(one.residual)}
                cells.setdefault(name, {})[seed, one.molecule] = values
                floors.append(one.floor)
                if one.residual:
                    residuals.setdefault(name, []).append(one.residual)
                counts = one.counts
    base = cells.get(RELATIVE_TO, {})
    for each in cells.values():
        for case, values in each.items():
            for kind in ("iid", "sim"):
                own, other = values[f"{kind}_bond"], base.get(case, {}).get(f"{kind}_bond")
                values[f"{kind}_bond_relative"] = own / other if own and other else None
    molecules = sorted({of for each in cells.values() for _, of in each if of})
    return {
        "system": plan.system,
        "molecules": molecules,
        "judged": _judged(plan.configs) if molecules else None,
        "command": plan.command,
        "budget": plan.budget.sentence,
        "counts": counts,
        "columns": {column.key: column.title for column in COLUMNS},
        "rows": {name: _row(list(each.values())) for name, each in cells.items()},
        "residuals": {name: _mean_curve(curves) for name, curves in residuals.items()},
        "floor": _row(floors),
        "paper": {
            name: {key: {"mean": mean, "std": std} for key, (mean, std) in row.items()}
            for name, row in PAPER.get(plan.system, {}).items()
        },
        "citation": CITATION,
    }


_JUDGED = {
    "test": "which chose no weights either",
    "validation": "by whose frames the weights were chosen",
}


def _judged(configs: Mapping[str, Config]) -> str:
    """What the molecules that rows are judged by are for."""
    systems = [config.system for config in configs.values()]
    tested = all(getattr(system, "test", "") for system in systems)
    return "test" if tested else "validation"


def write_numbers(plan: Plan, table: dict[str, Any]) -> None:
    """Write `table.json`, `.csv` and `.md`."""
    folder = plan.folder
    write_atomically(folder / "table.json", json.dumps(table, indent=1, allow_nan=False))
    write_atomically(folder / "table.csv", _as_csv(table))
    write_atomically(folder / "table.md", as_markdown(table))


def write(plan: Plan, table: dict[str, Any]) -> None:
    """Write the numbers, and `table.svg` and `.png`, `residuals.svg` and `.png`."""
    write_numbers(plan, table)
    folder = plan.folder
    if table["rows"]:
        for name, drawn in (("table", draw_table(table)), ("residuals", draw_residuals(table))):
            if drawn is not None:
                svg, png = drawn
                write_atomically(folder / f"{name}.svg", svg)
                (folder / f"{name}.png").write_bytes(png)


def as_text(table: dict[str, Any], part: str) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of one part of the table; columns without any number are left out."""
    rows, paper = table["rows"], table["paper"]
    lines: list[tuple[str, Row]] = []
    left = dict(paper)
    for name in rows:
        lines.append((name, rows[name]))
        same = reported_as(name, rows)
        lines += [(f"{same} (paper)", left.pop(same))] if same in left else []
    lines += [(f"{name} (paper)", row) for name, row in left.items()]
    lines.append(("floor", table["floor"]))
    keys = [column.key for column in COLUMNS if column.part == part]
    used = [k for k in keys if any(_mean(row, k) is not None for _, row in lines)]
    filled = [(n, row) for n, row in lines if any(_mean(row, k) is not None for k in used)]
    headings = ["method", *(table["columns"][key] for key in used)]
    return headings, [[name, *(_entry(row, key) for key in used)] for name, row in filled]


def as_markdown(table: dict[str, Any]) -> str:
    """The table with the command that made it above."""
    counts = table["counts"]
    text = [f"# {table['system']}", "", f"    {table['command']}", "", table["budget"], ""]
    if counts:
        molecules = table["molecules"]
        of, over = ("training frames", "seeds")
        if molecules:
            of = f"frames of each molecule never trained on ({', '.join(molecules)})"
            of += f", {_JUDGED[judged]}" if (judged := table["judged"]) else ""
            over = "these molecules and seeds"
        text += [
            f"{counts['training']:,} {of}, {counts['iid']:,} samples, "
            f"{counts['sim']:,} frames of {counts['chains']:,} chains x "
            f"{counts['simulated_steps']:,} steps. Mean ± standard deviation over {over}. The "
            "floor is what a perfect model would score at these counts. Training time is that of "
            "the optimiser's blocks; sampling and simulation include what had to be compiled. "
            "JS is on bins between edges of the data; the paper's edges span both sets, so that a "
            "few outliers dilute it. FP residual: root mean square of R / D, of every row at the "
            f"time that the column names. Rows marked paper: {table['citation']}, at its own "
            "counts and training.",
            "",
        ]
    for part in PARTS:
        headings, lines = as_text(table, part)
        rows = [headings, ["---"] + ["---:"] * (len(headings) - 1), *lines]
        text += [f"## {part.capitalize()}", ""]
        text += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return "\n".join(text)


def _as_csv(table: dict[str, Any]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    keys = list(table["columns"])
    writer.writerow(["method", *(f"{key}_{part}" for key in keys for part in ("mean", "std"))])
    for name, row in (*table["rows"].items(), ("floor", table["floor"])):
        cells = [row.get(key, {}).get(part) for key in keys for part in ("mean", "std")]
        writer.writerow([name, *("" if cell is None else repr(cell) for cell in cells)])
    return out.getvalue()


def _mean_curve(curves: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Mean over seeds and molecules at each time, of those in which it could be computed."""
    found: dict[float, list[float]] = {}
    for curve in curves:
        for t, rms in zip(curve["t"], curve["rms"], strict=True):
            found.setdefault(t, []).append(rms)
    times = sorted(found)
    return {"t": times, "rms": [statistics.fmean(found[t]) for t in times]}


def _row(cells: list[Values]) -> Row:
    row: Row = {}
    for key in dict.fromkeys(key for cell in cells for key in cell):
        values = [cell.get(key) for cell in cells]  # an earlier version knew fewer
        known = [value for value in values if value is not None]
        row[key] = {
            "mean": statistics.fmean(known) if known else None,
            "std": statistics.stdev(known) if len(known) > 1 else None,
            "values": values,
        }
    return row


def _mean(row: Row, key: str) -> float | None:
    return row.get(key, {}).get("mean")


def _entry(row: Row, key: str) -> str:
    mean, std = _mean(row, key), row.get(key, {}).get("std")
    if mean is None:
        return ""
    if key == "force_time":
        return f"{mean:g}"
    if key == "steps":
        return f"{mean:,.0f}"  # seeds differ by what rounding left
    return spread(mean, std) if std else number(mean)
