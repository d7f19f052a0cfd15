"""The states as plain drawings: what a page shows without WebGL, on paper and in a talk."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .formats import number, percent
from .palette import RULE, SET_COLOURS, SET_NAMES
from .records import Plots, State, Structures
from .style import Axes, Figure, Picture, draw, pretty, shown_in

ELEMENT_COLOURS = {"N": "#3d6fd6", "O": "#d8362a", "S": "#c9a400", "P": "#d9822b", "H": "#c9ced4"}
CARBON = "#7b838c"
"""Grey of carbon and of what is not in the table; moving structures have the same colours."""

_ANGSTROM = 0.01


def states(plots: Plots) -> Picture | None:
    """Most populated states, one column each, and one row a set."""
    record = plots.structures
    if record is None or not record.states:
        return None
    names = [n for n in ("data", "iid", "sim") if any(n in s.frames for s in record.states)]
    frames = [_positions(f) for state in record.states for f in state.frames.values()]
    x, y, _ = np.abs(np.concatenate(frames)).max(axis=0) + 0.5

    def paint(figure: Figure) -> None:
        grid = figure.subplots(len(names), len(record.states), squeeze=False)
        for row, name in zip(grid, names, strict=True):
            for axes, state in zip(row, record.states, strict=True):
                _panel(axes, record, state, name, (float(x), float(y)))
            row[0].annotate(
                SET_NAMES[name],
                (0.0, 0.5),
                (-6, 0),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="right",
                va="center",
                rotation=90,
                color=SET_COLOURS[name],
            )
        for index, (axes, state) in enumerate(zip(grid[0], record.states, strict=True)):
            axes.set_title(f"{index + 1}: {label(plots, state)}")

    caption = (
        "Cells of 1/12 of the range of the first two collective variables that hold more of the "
        "data than the cells around them; of each set the frame nearest to the middle of the data "
        "in the cell, superposed, and below it the share of the set in the cell."
    )
    return draw(
        "states",
        "Common states",
        caption,
        paint,
        (10.0, 0.5 + len(names) * min(2.2, 0.4 + 2.4 * float(y / x))),
    )


def label(plots: Plots, state: State) -> str:
    """Collective variables of a state: ``φ −72°, ψ 151°``."""
    record = plots.structures
    names = record.variables if record else []
    return ", ".join(
        f"{pretty(name)} {value_text(plots, name, value)}"
        for name, value in zip(names, state.values, strict=True)
    )


def value_text(plots: Plots, name: str, value: float) -> str:
    """Value of a collective variable with its unit; angles in whole degrees."""
    unit = plots.profiles[name].unit if name in plots.profiles else ""
    scale, unit = shown_in(unit)
    if unit == "°":
        return f"{round(scale * value)}°".replace("-", "−")
    return f"{number(scale * value)} {unit}".strip()


def _panel(
    axes: Axes, record: Structures, state: State, name: str, reach: tuple[float, float]
) -> None:
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-reach[0], reach[0])
    axes.set_ylim(-reach[1] - 0.8, reach[1])
    share = state.share.get(name)
    axes.text(0.0, -reach[1] - 0.8, percent(share, 2), ha="center", va="bottom", fontsize=9.5)
    if name not in state.frames:
        axes.text(0.0, 0.0, "never visited", ha="center", va="center", color=RULE)
        return
    x = _positions(state.frames[name])
    for i, j in record.bonds:
        depth = 0.5 * (x[i, 2] + x[j, 2])
        axes.plot(
            x[[i, j], 0],
            x[[i, j], 1],
            color=SET_COLOURS[name],
            linewidth=3.4,
            zorder=2 + depth / 99,
        )
    colours = [ELEMENT_COLOURS.get(element, CARBON) for element in record.elements]
    for at, colour in zip(x, colours, strict=True):
        axes.plot(*at[:2], "o", ms=9.0, color=colour, zorder=3 + at[2] / 99)


def _positions(frame: list[int]) -> Float[np.ndarray, "beads 3"]:
    return _ANGSTROM * np.array(frame, dtype=float).reshape(-1, 3)
