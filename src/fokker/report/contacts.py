"""Contacts and folding of a chain: what the figures hold, and the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ..metrics import (
    compute,
    contact_pairs,
    contact_probabilities,
    contact_reach,
    lost_frames,
    native_contacts,
)
from ..system import System
from .palette import RULE, SERIES, SET_COLOURS, SET_NAMES, TEXT
from .records import Comparison, Contacts, Folding, Metrics, Plots, Traces
from .structures import Chains
from .style import DIFFERENCE_MAP, Axes, Figure, Picture, array, axis_label, draw

WIDTH = 10.0
"""Inches, as of every figure."""

TRACES, POINTS = 3, 400
"""Chains shown over time, and points of each at most."""


def contacts(
    system: System, sets: Mapping[str, Float[np.ndarray, "_frames beads dim"]]
) -> dict[str, Any] | None:
    """Contact probabilities of every set that has any; None without native contacts."""
    variable = native_contacts(system)
    if variable is None:
        return None
    return {
        "beads": system.n_beads,
        "pairs": contact_pairs(system).ravel().tolist(),
        "native": list(variable.indices),
        "reach": contact_reach(system),
        "unit": system.length_unit,
        "probability": {
            name: contact_probabilities(system, frames).round(4).tolist()
            for name, frames in sets.items()
            if not lost_frames(frames).all()
        },
    }


def traces(
    system: System, frames: Float[np.ndarray, "frames beads dim"] | None, chains: Chains | None
) -> dict[str, Any] | None:
    """Share of native contacts along the first chains of the simulation."""
    variable = native_contacts(system)
    if variable is None or frames is None or chains is None or len(frames) % chains.count:
        return None
    shown = min(TRACES, chains.count)
    by_chain = frames.reshape(-1, chains.count, *frames.shape[1:])[:, :shown]
    every = -(-len(by_chain) // POINTS)
    part = by_chain[::every]
    values = compute(variable, part.reshape(-1, *part.shape[2:])).reshape(-1, shown)
    finite = [[round(q, 4) if np.isfinite(q) else None for q in row] for row in values.T.tolist()]
    return {"interval": every * chains.interval, "values": finite}


def contact_maps(plots: Plots) -> Picture | None:
    """Contact probability of every pair of beads: data above the diagonal, a set below."""
    record = plots.contacts
    if record is None:
        return None
    others = [name for name in ("iid", "sim", "reference") if name in record.probability][:2]
    if "data" not in record.probability or not others:
        return None

    def paint(figure: Figure) -> None:
        grid = figure.subplots(1, 2 * len(others), squeeze=False)[0]
        for k, name in enumerate(others):
            data, other = (array(record.probability[s]) for s in ("data", name))
            _map(figure, grid[2 * k], record, data, other, name)
            _difference(figure, grid[2 * k + 1], record, other - data, name)

    caption = (
        f"Share of frames in which two beads are closer than {record.reach:.2f} {record.unit}: the "
        "data above the diagonal, the other set below; dots are the native contacts. Beside it the "
        "difference from the data, red where a set has a contact too often."
    )
    return draw("contacts", "Contact maps", caption, paint, (WIDTH, 3.2))


def folded_fraction(metrics: Metrics, plots: Plots | None) -> Picture | None:
    """Folded fraction of every set with its error, and native contacts over time."""
    rows = _fractions(metrics)
    if not rows:
        return None
    record = plots.traces if plots else None

    def paint(figure: Figure) -> None:
        grid = figure.subplots(
            1, 2 if record else 1, squeeze=False, width_ratios=[1.0, 2.2] if record else None
        )[0]
        _paint_fractions(grid[0], rows)
        if record is not None:
            _paint_traces(grid[1], record, next(iter(rows.values())))

    caption = (
        "Share of folded frames with one (thick) and two standard errors by the block bootstrap; "
        "the band is that of the training frames."
    )
    if record is not None:
        caption += " Share of native contacts along chains of the simulation; dashed: folded above."
    return draw("folding", "Folding", caption, paint, (WIDTH, 3.4))


def _fractions(metrics: Metrics) -> dict[str, Folding]:
    """Sets with a folded fraction; of the data it is the one that others are compared with."""
    found: dict[str, Folding] = {}
    held = metrics.reference
    given: dict[str, Comparison | None] = {
        "reference": held.training if held else None,
        "iid": metrics.iid,
        "sim": metrics.sim,
    }
    for name, comparison in given.items():
        record = comparison.folding if comparison else None
        if record is None:
            continue
        if name == "reference":
            # Compared with the held-out frames, which are its "training" side.
            found["data"] = record
            found["reference"] = _other_side(record)
        else:
            found.setdefault("data", _other_side(record))
            found[name] = record
    return found


def _other_side(record: Folding) -> Folding:
    return record.model_copy(
        update={
            "fraction": record.training_fraction,
            "fraction_error": record.training_fraction_error,
        }
    )


def _paint_fractions(axes: Axes, rows: Mapping[str, Folding]) -> None:
    data = rows["data"]
    if data.fraction is not None and data.fraction_error is not None:
        low, high = (data.fraction + k * data.fraction_error for k in (-1, 1))
        axes.axhspan(low, high, color=RULE, alpha=0.25, linewidth=0)
    for x, (name, row) in enumerate(rows.items()):
        if row.fraction is None:
            continue
        colour = SET_COLOURS[name]
        for k, width in ((2, 1.4), (1, 4.0)):
            error = k * (row.fraction_error or 0.0)
            axes.errorbar(x, row.fraction, error, color=colour, linewidth=width)
        axes.plot(x, row.fraction, "o", ms=7, color=colour)
    axes.set_xticks(range(len(rows)), [SET_NAMES[name].replace(" ", "\n") for name in rows])
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylabel("folded fraction")


def _paint_traces(axes: Axes, record: Traces, row: Folding) -> None:
    for k, values in enumerate(record.values):
        time = record.interval * np.arange(1, len(values) + 1)
        axes.plot(time, array(values), color=SERIES[k], linewidth=0.9, alpha=0.85)
    if row.threshold is not None:
        axes.axhline(row.threshold, color=TEXT, linestyle=(0, (4, 2)), linewidth=1.0)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(axis_label("time", "ps"))
    axes.set_ylabel("native contacts")


def _map(
    figure: Figure,
    axes: Axes,
    record: Contacts,
    data: np.ndarray,
    other: np.ndarray,
    name: str,
) -> None:
    square = np.full((record.beads, record.beads), np.nan)
    i, j = np.array(record.pairs).reshape(-1, 2).T
    square[i, j], square[j, i] = data, other
    # Turned over, so that the data lie above the diagonal of a plot whose y axis points up.
    image = axes.imshow(
        square.T, origin="lower", cmap="Greys", vmin=0.0, vmax=1.0, interpolation="nearest"
    )
    a, b = np.array(record.native).reshape(-1, 2).T
    size = min(9.0, 60.0 / record.beads)
    axes.plot(a, b, "o", ms=size, mfc="none", mew=0.6, color=SERIES[1])
    axes.plot(b, a, "o", ms=size, mfc="none", mew=0.6, color=SERIES[1])
    axes.set_title(f"data / {SET_NAMES[name]}")
    _finish(figure, axes, image)


def _difference(
    figure: Figure, axes: Axes, record: Contacts, difference: np.ndarray, name: str
) -> None:
    square = np.full((record.beads, record.beads), np.nan)
    i, j = np.array(record.pairs).reshape(-1, 2).T
    square[i, j] = square[j, i] = difference
    limit = max(float(np.abs(difference).max(initial=0.0)), 0.01)
    image = axes.imshow(
        square,
        origin="lower",
        cmap=DIFFERENCE_MAP,
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    axes.set_title(f"{SET_NAMES[name]} − data")
    _finish(figure, axes, image)


def _finish(figure: Figure, axes: Axes, image: Any) -> None:
    axes.grid(False)
    axes.set_xlabel("bead")
    axes.locator_params(axis="both", nbins=5, integer=True)
    bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.03, aspect=16)
    bar.outline.set_visible(False)
