"""Colours of the figures, and the same figures for a dark ground.

The colours of the sets are those of Okabe and Ito, which people with any common colour deficiency
can tell apart; on a dark ground each is a lighter shade of itself.
"""

from __future__ import annotations

from typing import Any

TEXT = "#1b1f24"
RULE = "#8b929b"
SET_COLOURS = {"data": "#3f464e", "reference": "#009e73", "iid": "#0072b2", "sim": "#d55e00"}
SET_NAMES = {
    "data": "data",
    "reference": "reference",
    "iid": "iid samples",
    "sim": "simulation",
}
SET_LINES = {"data": "-", "reference": (0, (1, 1)), "iid": "-", "sim": (0, (4, 1.5))}
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b38600", "#56b4e9")

DARK_GROUND = "#14171a"
DARK = {
    TEXT: "#e7eaed",
    SET_COLOURS["data"]: "#d3d9df",
    "#0072b2": "#5fb0e6",
    "#d55e00": "#f0894a",
    "#009e73": "#3cc79c",
    "#cc79a7": "#e29bc3",
    "#b38600": "#d9b13b",
    "#56b4e9": "#9ad4f5",
}
"""Colour on a dark ground in place of one on a white ground; the page has the same ones."""

_COLOURED = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


def dark_svg(svg: str) -> bytes:
    """Text of an SVG file for a dark ground."""
    for light, dark in DARK.items():
        svg = svg.replace(light, dark)
    return svg.encode("utf-8")


def darken(figure: Any) -> None:
    """Change every colour of a drawn figure to the one for a dark ground."""
    for artist in figure.findobj():
        for name in _COLOURED:
            get, set_ = (getattr(artist, f"{verb}_{name}", None) for verb in ("get", "set"))
            if get is not None and set_ is not None:
                _replace(get(), set_)


def _replace(colour: Any, set_: Any) -> None:
    from matplotlib.colors import to_hex, to_rgba_array

    if isinstance(colour, str) and colour in ("none", "auto"):
        return
    rows = to_rgba_array(colour)
    found = [DARK.get(to_hex(row)) for row in rows]
    if any(found):
        changed = [
            (*to_rgba_array(dark)[0, :3], row[3]) if dark else tuple(row)
            for dark, row in zip(found, rows, strict=True)
        ]
        set_(changed[0] if len(changed) == 1 else changed)
