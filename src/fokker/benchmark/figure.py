"""The table as figures: JS of every row with the floor, and the Fokker-Planck residuals."""

from __future__ import annotations

from typing import Any

from ..report.palette import RULE, SERIES, SET_COLOURS, SET_NAMES
from ..report.style import Figure, draw, log_ticks
from .paper import reported_as

WIDEST = 13.0
"""Inches."""

LINES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


def draw_table(table: dict[str, Any]) -> tuple[str, bytes]:
    """SVG and PNG of the bars of a table (see `table.collect`), with the paper's as points."""
    rows = table["rows"]
    width = min(max(6.0, 1.1 * len(rows) + 1.5), WIDEST)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for offset, kind in ((-0.2, "iid"), (0.2, "sim")):
            places = [i + offset for i in range(len(rows))]
            found = [row[f"{kind}_js"] for row in rows.values()]
            heights = [entry["mean"] or 0.0 for entry in found]
            errors = [entry["std"] or 0.0 for entry in found]
            colour = SET_COLOURS[kind]
            axes.bar(places, heights, 0.36, yerr=errors, color=colour, label=SET_NAMES[kind])
            names = [reported_as(name, rows) for name in rows]
            reported = [table["paper"].get(name, {}).get(f"{kind}_js") for name in names]
            given = [(p, entry["mean"]) for p, entry in zip(places, reported, strict=True) if entry]
            if given:
                axes.plot(*zip(*given, strict=True), "D", color="white", mec=RULE, ms=5)
            floor = table["floor"][f"{kind}_js"]["mean"]
            if floor:
                axes.axhline(floor, color=colour, lw=1.0, ls=(0, (3, 2)))
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
        axes.set_ylabel("JS")
        axes.set_xticks(
            range(len(rows)), list(rows), rotation=20 if len(rows) < 10 else 40, ha="right"
        )
        axes.grid(axis="x", visible=False)
        axes.legend()

    title = f"{table['system']}: JS by method; dashed: floors; diamonds: the paper"
    picture = draw("table", title, title, paint, (width, 3.6))
    return picture.svg, picture.png or b""


def draw_residuals(table: dict[str, Any]) -> tuple[str, bytes] | None:
    """SVG and PNG of the Fokker-Planck residual of every row against diffusion time.

    Rows with the same weights are one line. None if no row has a residual.
    """
    curves: dict[str, dict[str, Any]] = {}
    for name, curve in table["residuals"].items():
        if curve not in curves.values():
            curves[name] = curve
    if not curves:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for index, (name, curve) in enumerate(curves.items()):
            colour = SERIES[index % len(SERIES)]
            style = LINES[index // len(SERIES) % len(LINES)]
            axes.loglog(curve["t"], curve["rms"], color=colour, ls=style, label=name)
        log_ticks(axes.xaxis)
        log_ticks(axes.yaxis)
        axes.set_xlabel("diffusion time t")
        axes.set_ylabel("residual R / D, root mean square")
        figure.legend(loc="outside right upper")

    title = f"{table['system']}: Fokker-Planck residual by method"
    picture = draw("residuals", title, title, paint, (8.0, max(3.6, 0.24 * len(curves))))
    return picture.svg, picture.png or b""
