"""The Jensen-Shannon divergence that a model is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Judged(NamedTuple):
    """A divergence with its error, its floor, its multiple of that, and the noise of few chains."""

    js: float | None
    error: float | None
    floor: float | None
    floor_std: float | None
    ratio: float | None
    noise: float | None


def judged_js(table: Mapping[str, Any]) -> Judged:
    """`js_data` of a table as from `compare`; `js` of one written before there was another."""
    name = "js" if table.get("js_data") is None else "js_data"
    error = table.get(f"{name}_bootstrap_error") or table.get(f"{name}_standard_error")
    floor, std, ratio, noise = (
        table.get(f"{name}_{key}") for key in ("floor", "floor_std", "ratio", "noise")
    )
    return Judged(table.get(name), error, floor, std, ratio, noise)
