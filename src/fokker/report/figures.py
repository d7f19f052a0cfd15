"""The figures of a report, one function each, drawn from the numbers of `plots.json`.

Every function returns a `Picture`, or None where the run has nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from . import panels, surfaces
from .formats import percent, whole
from .palette import RULE, SERIES, SET_NAMES
from .records import Density, Plots, Profile, Relaxation, TrainingStep
from .style import Figure, Picture, array, draw, log_ticks

WIDTH = 10.0
"""Inches; the page shows it about 1000 pixels wide."""

PANELS_SHOWN = 24
"""Bonds or angles drawn; of a larger molecule those where a set differs most from the data."""


def training_curves(steps: Iterable[TrainingStep]) -> Picture | None:
    """Every term of the objective against the optimiser step, one panel a term."""
    steps = list(steps)
    names = list(dict.fromkeys(name for step in steps for name in step.terms))
    curves = {name: [step.terms.get(name) for step in steps] for name in names}
    if any(step.gradient_norm is not None for step in steps):
        curves["gradient norm"] = [step.gradient_norm for step in steps]
    if any(step.learning_rate is not None for step in steps):
        curves["learning rate"] = [step.learning_rate for step in steps]
    if not curves:
        return None
    columns = min(len(curves), 2)
    rows = -(-len(curves) // columns)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for axes, (name, values) in zip(grid.flat, curves.items(), strict=False):
            panels.training_curve(axes, name, steps, array(values))
        for axes in grid.flat[len(curves) :]:
            axes.set_visible(False)
        for axes in grid[-1]:
            axes.set_xlabel("optimiser step")
        panels.legend(figure, grid.flat[0])

    caption = (
        "Each term of the objective under its key in the configuration: batch values (thin) and "
        "their running median. Circles: frames held out of training, with the averaged weights."
    )
    return draw("training", "Training curves", caption, paint, (WIDTH, 0.6 + 2.5 * rows))


def free_energy_surfaces(plots: Plots) -> Picture | None:
    """Free energies over the first two collective variables, and how they differ from the data."""
    record = plots.surfaces
    if record is None or not record.energy:
        return None
    energies = {name: array(energy) for name, energy in record.energy.items()}
    shown = [name for name in ("data", "iid", "sim") if name in energies] or list(energies)
    compared = [n for n in ("reference", "iid", "sim") if n in energies and "data" in energies]

    def paint(figure: Figure) -> None:
        # Room for the last tick of one panel beside the first of the next.
        figure.get_layout_engine().set(wspace=0.08, hspace=0.04)
        grid = figure.subplots(2 if compared else 1, 3, squeeze=False, sharex=True, sharey=True)
        surfaces.energy_row(figure, grid[0], record, {name: energies[name] for name in shown})
        if compared:
            # A column is a set; the first one pairs the data with the reference.
            first = [] if "reference" in compared else [None]
            surfaces.difference_row(
                figure, grid[1], record, energies, first + compared, plots.frames
            )

    caption = "Free energy in kT, lowest bin at zero; bins never visited are left empty."
    if compared:
        caption += (
            " Below, the difference from the data on bins twice as wide: red where a set goes too "
            "rarely, blue where too often, grey where only the data went, purple where only the "
            "other set went. The rms is weighted by population; noise is what counting independent "
            "frames alone gives."
        )
    if "reference" in compared:
        caption += " Reference frames show how much two true trajectories differ."
    axes = [plots.profiles[a.name] for a in (record.x, record.y) if a.name in plots.profiles]
    caption += _beyond(axes) + _not_shown(plots)
    return draw(
        "surfaces", "Free-energy surfaces", caption, paint, (WIDTH, 6.5 if compared else 3.5)
    )


def free_energy_profiles(plots: Plots) -> Picture | None:
    """Free energy along each collective variable, all sets in one panel."""
    profiles = {name: profile for name, profile in plots.profiles.items() if profile.energy}
    if not profiles:
        return None
    columns = min(len(profiles), 2)
    rows = -(-len(profiles) // columns)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[3.0, 1.2] * rows)
        for index, (name, profile) in enumerate(profiles.items()):
            row, column = 2 * (index // columns), index % columns
            panels.profile(grid[row, column], grid[row + 1, column], name, profile, plots.frames)
        for index in range(len(profiles), rows * columns):
            for axes in grid[2 * (index // columns) :, index % columns]:
                axes.set_visible(False)
        panels.legend(figure, grid[0, 0])

    caption = (
        "Free energy in kT along each collective variable, lowest bin at zero. Below it the "
        "difference from the data; the grey band is twice the error of counting independent frames."
    )
    caption += _beyond(profiles.values()) + _not_shown(plots)
    return draw("profiles", "Free-energy profiles", caption, paint, (WIDTH, 0.4 + 4.2 * rows))


def bond_distributions(plots: Plots) -> Picture | None:
    """Distribution of every bond length."""
    return _distributions("bonds", "Bond lengths", "bond length", plots, plots.bonds)


def angle_distributions(plots: Plots) -> Picture | None:
    """Distribution of every angle between two bonds."""
    return _distributions("angles", "Bond angles", "angle", plots, plots.angles)


def fokker_planck_residual(plots: Plots) -> Picture | None:
    """Residual of the Fokker-Planck equation against diffusion time."""
    residual = plots.residual
    if residual is None or not residual.t:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        t = array(residual.t)
        axes.loglog(t, array(residual.rms), "o-", ms=4, color=SERIES[0], label="root mean square")
        if residual.median is not None:
            median = array(residual.median)
            axes.loglog(t, median, "s--", ms=3.5, color=SERIES[1], label="median magnitude")
            axes.legend()
        for boundary in residual.boundaries:
            axes.axvline(boundary, color=RULE, linestyle=(0, (2, 2)), linewidth=1)
        axes.set_xlabel("diffusion time t")
        axes.set_ylabel(f"residual {residual.unit}" if residual.unit else "residual R")
        log_ticks(axes.xaxis)
        log_ticks(axes.yaxis)

    caption = (
        "How far the model is from solving the Fokker-Planck equation at diffusion time t. "
        "Simulation uses the left end: a residual that rises there is a force that disagrees with "
        "the samples."
    )
    if residual.boundaries:
        caption += " Dotted lines: one expert hands over to the next."
    return draw("residual", "Fokker-Planck residual", caption, paint, (WIDTH, 3.6))


def relaxation(plots: Plots) -> Picture | None:
    """Approach to equilibrium of an ensemble that starts from one structure."""
    record = plots.relaxation
    if record is None or not record.time or not (record.curves or record.judged[0]):
        return None

    def paint(figure: Figure) -> None:
        count = bool(record.curves) + bool(record.judged[0])
        rest = list(figure.subplots(1, count, squeeze=False)[0])
        if record.curves:
            panels.relaxation_curves(rest.pop(0), record, _common_unit(plots, record))
        if record.judged[0]:
            panels.relaxation_js(rest.pop(0), record)

    chains = f"{whole(record.chains)} chains" if record.chains else "Chains"
    start = record.start or "one structure"
    caption = f"{chains}, all started from {start}. Dashed: the equilibrium values to be reached."
    if record.failed_fraction is not None:
        caption += f" {percent(record.failed_fraction)} of their frames failed."
    return draw("relaxation", "Relaxation from one structure", caption, paint, (WIDTH, 3.8))


def _common_unit(plots: Plots, record: Relaxation) -> str:
    """Unit of the curves, if each is the mean of a collective variable and all units are one."""
    means = [name.removeprefix("mean ") for name in record.curves if name.startswith("mean ")]
    units = {plots.profiles[name].unit for name in means if name in plots.profiles}
    return units.pop() if len(means) == len(record.curves) and len(units) == 1 else ""


def _beyond(records: Iterable[Density | Profile]) -> str:
    """Sentence on the frames that lie beyond the axes, if there are any."""
    shares = ((part or 0.0, name) for record in records for name, part in record.beyond.items())
    worst, name = max(shares, default=(0.0, "data"))
    if not worst:
        return ""
    return f" Up to {percent(worst, 2)} of the frames ({SET_NAMES[name]}) lie beyond an axis."


def _not_shown(plots: Plots) -> str:
    lost = [f"{whole(n)} frames ({SET_NAMES[s]})" for s, n in plots.not_finite.items() if n]
    return f" Not shown, because they failed: {', '.join(lost)}." if lost else ""


def _distributions(
    name: str, title: str, quantity: str, plots: Plots, densities: dict[str, Density]
) -> Picture | None:
    if not densities:
        return None
    chosen = _most_different(densities)
    columns = 4 if len(chosen) in (4, 8) else 3
    rows = -(-len(chosen) // columns)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, (label, density) in zip(grid.flat, chosen.items(), strict=False):
            panels.density(axes, label, density, quantity)
        for axes in grid.flat[len(chosen) :]:
            axes.set_visible(False)
        for axes in grid[:, 1:].flat:
            axes.set_ylabel("")
        panels.legend(figure, grid[0, 0])

    caption = "Distributions of every set on common bins."
    if len(chosen) < len(densities):
        caption = (
            f"The {len(chosen)} of {len(densities)} distributions where a set differs most from "
            f"the data; the tables list all."
        )
    caption += _beyond(densities.values())
    caption += _not_shown(plots)
    return draw(name, title, caption, paint, (WIDTH, 0.5 + 2.4 * rows))


def _most_different(densities: dict[str, Density]) -> dict[str, Density]:
    if len(densities) <= PANELS_SHOWN:
        return densities

    def distance(density: Density) -> float:
        sets = [array(values) for values in density.density.values()]
        width = density.edges[1] - density.edges[0]
        return max((float(np.abs(s - sets[0]).sum()) * width for s in sets[1:]), default=0.0)

    ranked = sorted(densities, key=lambda label: -distance(densities[label]))
    kept = set(ranked[:PANELS_SHOWN])
    return {label: density for label, density in densities.items() if label in kept}
