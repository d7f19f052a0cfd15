"""Kinetics of data and simulation: rows of the tables, and the figures."""

from __future__ import annotations

from typing import Any

from .formats import NOTHING, number
from .kinetic_records import Estimate, KineticSide
from .palette import RULE, SERIES, SET_COLOURS, TEXT
from .records import Metrics
from .style import Axes, Figure, Picture, array, draw, log_ticks

WIDTH = 10.0
"""Inches, as of every figure."""

_UNITS = ((1e9, "ms"), (1e6, "µs"), (1e3, "ns"), (1.0, "ps"), (1e-3, "fs"))
SET_LETTERS = "ABCDEFGH"
_STYLES = ("-", "--", ":")


def timespan(picoseconds: float | None) -> str:
    """Time in the largest unit of which it is at least one: ``1.25 ns``."""
    if picoseconds is None:
        return NOTHING
    size, unit = next((u for u in _UNITS if abs(picoseconds) >= u[0]), _UNITS[-1])
    return f"{number(picoseconds / size)}\u00a0{unit}"


def rows(metrics: Metrics) -> dict[str, Any] | None:
    """Rows of the tables; None without kinetics."""
    record = metrics.kinetics
    if record is None:
        return None
    data, other = record.data, record.simulation
    pairs = {p.data: p for p in record.speed_up.processes} if record.speed_up else {}
    processes = []
    for k, found in enumerate(data.timescales):
        pair = pairs.get(k)
        theirs = other.timescales if other else []
        processes.append(
            {
                "number": k + 1,
                "data": found,
                "simulation": theirs[pair.simulation]
                if pair and pair.simulation < len(theirs)
                else None,
                "ratio": pair.ratio if pair else None,
                "overlap": pair.overlap if pair else None,
            }
        )
    n = len(data.populations)
    name = SET_LETTERS
    mean = record.speed_up.mean if record.speed_up else None
    return {
        "sides": [(t, s) for t, s in (("data", data), ("simulation", other)) if s is not None],
        "processes": processes,
        "passages": [
            {
                "start": name[i],
                "end": name[j],
                "data": _cell(data, i, j),
                "simulation": _cell(other, i, j),
            }
            for i in range(n)
            for j in range(n)
            if i != j
        ],
        "sets": [
            {
                "name": name[k],
                "data": data.populations[k],
                "simulation": other.populations[k] if other else None,
            }
            for k in range(n)
        ],
        "one_ps": mean,
    }


def implied_timescales(metrics: Metrics) -> Picture | None:
    """Implied timescales against the lag, data beside simulation."""
    record = metrics.kinetics
    if record is None:
        return None
    sides = _sides(record.data, record.simulation)

    def paint(figure: Figure) -> None:
        for axes, (name, title, side) in zip(
            figure.subplots(1, len(sides), squeeze=False)[0], sides, strict=True
        ):
            _paint_timescales(axes, side, SET_COLOURS[name], len(record.data.timescales))
            axes.set_title(title)

    caption = (
        "Timescales of the slowest processes against the lag of the model, with intervals of 68 %. "
        "They should not rise beyond the lag that was chosen (vertical line); below the slanted "
        "line a process is faster than the lag, and its timescale is noise. Each side has its own "
        "time."
    )
    return draw("timescales", "Implied timescales", caption, paint, (WIDTH, 3.8))


def chapman_kolmogorov(metrics: Metrics) -> Picture | None:
    """What the model at the chosen lag predicts, and what models at longer lags find."""
    record = metrics.kinetics
    if record is None:
        return None
    sides = [s for s in _sides(record.data, record.simulation) if s[2].chapman_kolmogorov.times]
    if not sides:
        return None

    def paint(figure: Figure) -> None:
        for axes, (_, title, side) in zip(
            figure.subplots(1, len(sides), squeeze=False)[0], sides, strict=True
        ):
            _paint_test(axes, side)
            axes.set_title(title)
            axes.legend(ncols=2)

    caption = (
        "Test of Chapman and Kolmogorov: probability of being in the set where one was a time ago. "
        "Lines: predicted by the model at the chosen lag; points: models at multiples of it, with "
        "intervals of 68 %."
    )
    return draw("chapman-kolmogorov", "Chapman-Kolmogorov test", caption, paint, (WIDTH, 3.8))


def _sides(data: KineticSide, other: KineticSide | None) -> list[tuple[str, str, KineticSide]]:
    found = (("data", "data", data), ("sim", "simulation", other))
    return [(name, title, side) for name, title, side in found if side is not None]


def _cell(side: KineticSide | None, i: int, j: int) -> Estimate | None:
    if side is None or i >= len(side.passage) or j >= len(side.passage[i]):
        return None
    return side.passage[i][j]


def _unit_of(values: list[float]) -> tuple[float, str]:
    largest = max(values, default=1.0)
    return next((u for u in _UNITS if largest >= u[0]), _UNITS[-1])


def _paint_timescales(axes: Axes, side: KineticSide, colour: str, n: int) -> None:
    size, unit = _unit_of([t.value or 0.0 for each in side.implied.timescales for t in each])
    lags = array(side.implied.lags) / size
    for k in range(n):
        found = [each[k] if k < len(each) else Estimate() for each in side.implied.timescales]
        value, low, high = (
            array([getattr(f, a) for f in found]) / size for a in ("value", "low", "high")
        )
        axes.plot(lags, value, _STYLES[k % 3], marker="o", ms=3.5, color=colour)
        axes.fill_between(lags, low, high, color=colour, alpha=0.14, linewidth=0)
    axes.plot(lags, lags, color=RULE, linewidth=1.0)
    if side.lag is not None:
        axes.axvline(side.lag / size, color=TEXT, linestyle=(0, (4, 2)), linewidth=1.0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"lag ({unit})")
    axes.set_ylabel(f"timescale ({unit})")
    log_ticks(axes.xaxis)
    log_ticks(axes.yaxis)


def _paint_test(axes: Axes, side: KineticSide) -> None:
    test = side.chapman_kolmogorov
    size, unit = _unit_of(test.times)
    times = array(test.times) / size
    for k in range(max(map(len, test.predicted), default=0)):
        colour = SERIES[k % len(SERIES)]
        axes.plot(
            times, array([row[k] for row in test.predicted]), color=colour, label="ABCDEFGH"[k]
        )
        found = [row[k] for row in test.estimated]
        value, low, high = (array([getattr(f, a) for f in found]) for a in ("value", "low", "high"))
        bars = [value - low, high - value]
        axes.errorbar(times, value, bars, fmt="o", ms=4.5, linewidth=1.2, color=colour)
    axes.set_ylim(-0.05, 1.08)
    axes.set_xlabel(f"time ({unit})")
    axes.set_ylabel("probability to be there")
