"""What the page needs to show moving structures: data, scripts, and the hashes that admit them.

The page's policy admits exactly these scripts by their SHA-256 and no connection of any kind, so
that nothing can leave the page, whatever the scripts would try.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any, NamedTuple

from .palette import SET_NAMES
from .records import Movie, Plots
from .sketch import CARBON, ELEMENT_COLOURS, label, value_text
from .style import pretty, shown_in

_MAP_SIZE = 100.0


class Scene(NamedTuple):
    """Moving structures of a page."""

    data: dict[str, Any]
    """For the script, as JSON."""

    labels: list[str]
    """Of the states."""

    shares: list[str]
    """Populations of the states, a sentence each."""

    path: MapPath | None
    library: str
    script: str
    licence: str


class MapPath(NamedTuple):
    """The moving chain over two collective variables, on a square of 100 by 100."""

    x: str
    y: str
    limits: tuple[str, str, str, str]
    points: list[tuple[float, float]]


def scene(plots: Plots | None) -> Scene | None:
    """Moving structures, or None where a run has none."""
    record = plots.structures if plots else None
    if plots is None or record is None or not (record.states or record.movie):
        return None
    variables = [{"name": pretty(name), **_shown(plots, name)} for name in record.variables]
    data = {
        **record.model_dump(),
        "variables": variables,
        "colours": {**ELEMENT_COLOURS, "": CARBON},
    }
    return Scene(
        data,
        [label(plots, state) for state in record.states],
        [_shares(state.share) for state in record.states],
        _path(plots, record.variables, record.movie) if record.movie else None,
        _file("vendor/3Dmol-min.js"),
        _file("scene.js"),
        _file("vendor/3Dmol-LICENSE.txt"),
    )


def policy(found: Scene | None) -> str:
    """Content-security policy of the page."""
    scripts = [found.library, found.script] if found else []
    admitted = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    parts = ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data:"]
    return "; ".join([*parts, f"script-src {admitted}"] if admitted else parts)


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _file(name: str) -> str:
    return resources.files("fokker.report").joinpath(name).read_text(encoding="utf-8")


def _shares(share: dict[str, float]) -> str:
    return ", ".join(f"{100.0 * part:.3g} % of {SET_NAMES[name]}" for name, part in share.items())


def _shown(plots: Plots, name: str) -> dict[str, Any]:
    scale, unit = shown_in(plots.profiles[name].unit if name in plots.profiles else "")
    return {"scale": scale, "unit": unit}


def _path(plots: Plots, names: list[str], movie: Movie) -> MapPath | None:
    if len(names) != 2 or any(name not in plots.profiles for name in names):
        return None
    edges = [plots.profiles[name].edges for name in names]
    places = [
        tuple(
            round(_MAP_SIZE * (value - edge[0]) / (edge[-1] - edge[0]), 1)
            for value, edge in zip(row, edges, strict=True)
        )
        for row in movie.values
    ]
    (x, y) = names
    limits = [
        value_text(plots, name, edge[at])
        for name, edge in zip(names, edges, strict=True)
        for at in (0, -1)
    ]
    return MapPath(
        pretty(x),
        pretty(y),
        (limits[0], limits[1], limits[2], limits[3]),
        [(px, round(_MAP_SIZE - py, 1)) for px, py in places],
    )
