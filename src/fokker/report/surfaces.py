"""Rows of free-energy surfaces and of their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .differences import difference, rms
from .palette import SET_NAMES
from .records import Surfaces
from .style import (
    DIFFERENCE_MAP,
    ENERGY_MAP,
    ONLY_DATA,
    ONLY_OTHER,
    Axes,
    Figure,
    angle_ticks,
    array,
    axis_label,
    shown_in,
)


def energy_row(
    figure: Figure, row: np.ndarray, surfaces: Surfaces, energies: Mapping[str, np.ndarray]
) -> None:
    """Free-energy surfaces side by side, with common colours."""
    finite = np.concatenate([e[np.isfinite(e)] for e in energies.values()])
    highest = max(float(finite.max(initial=0.0)), 1.0)
    mesh = None
    for axes, (name, energy) in zip(row, energies.items(), strict=False):
        mesh = _mesh(axes, surfaces, energy, ENERGY_MAP, (0.0, highest))
        axes.set_title(SET_NAMES[name])
    _finish_row(figure, row, surfaces, len(energies), mesh, "free energy (kT)", "neither")


def difference_row(
    figure: Figure,
    row: np.ndarray,
    surfaces: Surfaces,
    energies: Mapping[str, np.ndarray],
    columns: Sequence[str | None],
    frames: Mapping[str, int],
) -> None:
    """Differences from the data side by side, with common colours; None leaves a gap."""
    from matplotlib.colors import ListedColormap

    parts = {n: difference(energies[n], energies["data"], join=2) for n in columns if n}
    sizes = np.concatenate([np.abs(part.delta[part.both]) for part in parts.values()])
    limit = float(np.clip(np.quantile(sizes, 0.95), 0.5, 3.0)) if len(sizes) else 1.0
    mesh = None
    for axes, name in zip(row, columns, strict=False):
        if name is None:
            axes.set_visible(False)
            continue
        part = parts[name]
        alone = np.where(part.both | (part.p + part.q == 0), np.nan, part.p > 0)
        _mesh(axes, surfaces, alone, ListedColormap([ONLY_DATA, ONLY_OTHER]), (0.0, 1.0))
        mesh = _mesh(axes, surfaces, part.delta, DIFFERENCE_MAP, (-limit, limit))
        size = rms(part, frames.get(name, 0), frames.get("data", 0))
        note = f"\nrms {size[0]:.2f} kT, noise {size[1]:.2f} kT" if size else ""
        axes.set_title(f"{SET_NAMES[name]} − data{note}")
    _finish_row(figure, row, surfaces, len(columns), mesh, "difference (kT)", "both")


def _mesh(
    axes: Axes,
    surfaces: Surfaces,
    values: np.ndarray,
    colours: Any,
    limits: tuple[float, float],
) -> Any:
    x, y = (
        _joined(array(axis.edges) * shown_in(axis.unit)[0], size)
        for axis, size in zip((surfaces.x, surfaces.y), values.shape, strict=True)
    )
    masked = np.ma.masked_invalid(values).T
    return axes.pcolormesh(
        x, y, masked, cmap=colours, vmin=limits[0], vmax=limits[1], rasterized=True
    )


def _joined(edges: np.ndarray, bins: int) -> np.ndarray:
    """Edges of the bins that are left after joining."""
    join = -(-(len(edges) - 1) // bins)
    return np.append(edges[:-1:join], edges[-1])


def _finish_row(
    figure: Figure,
    row: np.ndarray,
    surfaces: Surfaces,
    used: int,
    mesh: Any,
    title: str,
    extend: str,
) -> None:
    for axes in row[used:]:
        axes.set_visible(False)
    shown = [axes for axes in row[:used] if axes.get_visible()]
    for axis, direction in ((surfaces.x, "x"), (surfaces.y, "y")):
        scale, unit = shown_in(axis.unit)
        edges = array(axis.edges) * scale
        for axes in shown:
            getattr(axes, f"set_{direction}lim")(edges[0], edges[-1])
            angle_ticks(getattr(axes, f"{direction}axis"), edges, unit)
            if direction == "x" or axes is shown[0]:
                getattr(axes, f"set_{direction}label")(axis_label(axis.name, unit))
            axes.tick_params(labelbottom=True, labelleft=axes is shown[0])
    for axes in shown:
        axes.grid(False)
        axes.set_box_aspect(1)
    bar = figure.colorbar(mesh, ax=list(row), extend=extend, pad=0.015, aspect=18)
    bar.set_label(title)
    bar.outline.set_visible(False)
