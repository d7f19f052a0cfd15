"""Single panels: each draws one thing into given axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .differences import difference
from .formats import whole
from .palette import RULE, SERIES, SET_COLOURS, SET_LINES, SET_NAMES, TEXT
from .records import Density, Profile, Relaxation, TrainingStep
from .style import Axes, Figure, angle_ticks, array, axis_label, log_ticks, pretty, shown_in


def profile(
    above: Axes, below: Axes, name: str, record: Profile, frames: Mapping[str, int]
) -> None:
    """Free-energy profiles of all sets, and below them their differences from the data."""
    scale, unit = shown_in(record.unit)
    edges = array(record.edges) * scale
    centres = 0.5 * (edges[1:] + edges[:-1])
    energies = {key: array(values) for key, values in record.energy.items()}
    for key, energy in energies.items():
        above.plot(centres, energy, **_line(key))
        alone = _alone(energy)
        above.plot(centres[alone], energy[alone], "o", ms=3, color=SET_COLOURS[key])
    above.set_ylabel("free energy (kT)")
    above.set_ylim(bottom=min(above.get_ylim()[0], 0.0))
    above.tick_params(labelbottom=False)
    _profile_differences(below, centres, energies, frames)
    below.set_xlabel(axis_label(name, unit))
    below.set_ylabel("− data (kT)")
    for axes in (above, below):
        axes.set_xlim(edges[0], edges[-1])
        angle_ticks(axes.xaxis, edges, unit)


def density(axes: Axes, label: str, record: Density, quantity: str) -> None:
    """Distributions of one bond or angle in all sets."""
    scale, unit = shown_in(record.unit)
    edges = array(record.edges) * scale
    centres = 0.5 * (edges[1:] + edges[:-1])
    for name, values in record.density.items():
        heights = array(values) / scale
        if name == "data":
            axes.fill_between(centres, heights, color=SET_COLOURS[name], alpha=0.16, linewidth=0)
        axes.plot(centres, heights, **_line(name))
    axes.set_title(label.replace(" ", " – "))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(axis_label(quantity, unit))
    axes.set_ylabel(f"density (1/{unit})" if unit else "density")
    axes.locator_params(axis="both", nbins=5)


def training_curve(
    axes: Axes, name: str, steps: Sequence[TrainingStep], values: Float[np.ndarray, " steps"]
) -> None:
    """One logged quantity against the optimiser step, one colour a stage.

    A dashed line stands where the weights are from that a stage keeps, if these are not its last.
    """
    x = np.array([step.step for step in steps])
    owner = [step.name or f"stage {step.stage}" for step in steps]
    held_out = array([(step.validation or {}).get(name) for step in steps])
    for index, title in enumerate(dict.fromkeys(owner)):
        mine = np.array([each == title for each in owner])
        colour = SERIES[index % len(SERIES)]
        if np.isfinite(values[mine]).any():
            axes.plot(x[mine], values[mine], color=colour, alpha=0.35, linewidth=0.9)
            axes.plot(x[mine], running_median(values[mine]), color=colour, label=title)
        seen = mine & np.isfinite(held_out)
        if seen.any():
            axes.plot(x[seen], held_out[seen], "o", ms=4, mfc="none", mec=colour, label="held out")
        last = steps[int(np.flatnonzero(mine)[-1])]
        if last.kept is not None and last.kept < last.step:
            axes.axvline(last.kept, color=colour, linestyle=(0, (4, 2)), linewidth=1.2)
    axes.set_ylabel(name)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda step, _: whole(step))
    shown = np.concatenate([values[np.isfinite(values)], held_out[np.isfinite(held_out)]])
    if len(shown) and shown.min() > 0 and shown.max() > 3.0 * shown.min():
        axes.set_yscale("log")
        log_ticks(axes.yaxis)


def running_median(values: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    """Median over a window of about a twentieth of the run, nan where nothing was logged."""
    half = max(len(values) // 40, 1)
    windows = [values[max(i - half, 0) : i + half + 1] for i in range(len(values))]
    finite = [window[np.isfinite(window)] for window in windows]
    return np.array([np.median(window) if len(window) else np.nan for window in finite])


def relaxation_curves(axes: Axes, record: Relaxation, unit: str) -> None:
    """Observables of the ensemble against time, with their equilibrium values."""
    scale, unit = shown_in(unit)
    for index, (name, values) in enumerate(record.curves.items()):
        colour = SERIES[index % len(SERIES)]
        axes.plot(record.time, scale * array(values), "o-", ms=4, color=colour, label=pretty(name))
        target = record.targets.get(name)
        if target is not None:
            axes.axhline(scale * target, color=colour, linestyle=(0, (4, 2)), linewidth=1.2)
    only = next(iter(record.curves)) if len(record.curves) == 1 else "value"
    axes.set_ylabel(axis_label(only, unit))
    if len(record.curves) > 1:
        axes.legend()
    axes.set_xlabel(_time(record))


def relaxation_js(axes: Axes, record: Relaxation) -> None:
    """Jensen-Shannon divergence of the ensemble from the data against time."""
    js, floor = record.judged
    axes.plot(record.time, array(js), "o-", ms=4, color=SERIES[0])
    if floor is not None:
        axes.axhline(floor, color=RULE, linestyle=(0, (4, 2)), linewidth=1.2)
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate("floor", (0.01, floor), (0, 4), color=TEXT, fontsize=10, **place)
    axes.set_yscale("log")
    log_ticks(axes.yaxis)
    axes.set_ylabel("JS from the data")
    axes.set_xlabel(_time(record))


def legend(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, above them, if there is more than one thing to tell apart."""
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    if len(unique) > 1:
        figure.legend(unique.values(), unique, loc="outside upper left", ncols=6, handlelength=2.4)


def _time(record: Relaxation) -> str:
    # A model potential has a time of its own, without a unit.
    return "time" if record.unit == "time" else axis_label("time", record.unit)


def _profile_differences(
    axes: Axes,
    centres: np.ndarray,
    energies: Mapping[str, np.ndarray],
    frames: Mapping[str, int],
) -> None:
    others = [name for name in energies if name != "data"]
    if "data" not in energies or not others:
        axes.set_visible(False)
        return
    parts = {name: difference(energies[name], energies["data"]) for name in others}
    counted = [name for name in others if name in frames and "data" in frames]
    if counted:
        smallest = min(counted, key=lambda name: frames[name])
        part = parts[smallest]
        with np.errstate(divide="ignore"):
            error = np.sqrt(1.0 / (frames[smallest] * part.q) + 1.0 / (frames["data"] * part.q))
        error = np.where(np.isfinite(error), error, np.nan)
        axes.fill_between(centres, -2 * error, 2 * error, color=RULE, alpha=0.25, linewidth=0)
    for name, part in parts.items():
        axes.plot(centres, part.delta, **_line(name))
    sizes = np.concatenate([np.abs(part.delta[part.both]) for part in parts.values()])
    limit = float(np.clip(np.quantile(sizes, 0.98), 0.3, 3.0)) if len(sizes) else 1.0
    axes.set_ylim(-1.2 * limit, 1.2 * limit)


def _alone(energy: np.ndarray) -> np.ndarray:
    """Populated bins between two empty ones, which a line does not show."""
    padded = np.isfinite(np.pad(energy, 1, constant_values=np.nan))
    return padded[1:-1] & ~padded[:-2] & ~padded[2:]


def _line(name: str) -> dict[str, Any]:
    return {
        "color": SET_COLOURS[name],
        "linestyle": SET_LINES[name],
        "linewidth": 2.6 if name == "data" else 1.6,
        "label": SET_NAMES[name],
    }
