"""The Jensen-Shannon divergences that a model is judged by."""

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


class Worst(NamedTuple):
    """The torsion, or pair of them, that is furthest above its floor.

    Attributes
    ----------
    label
        What it is.
    ratio, error
        Multiple of its floor.
    noise
        What the largest ratio of a perfect model may be above 1 by; see `torsion_metrics`.
    of
        Number of torsions and pairs.
    """

    label: str
    ratio: float
    error: float | None
    noise: float
    of: int

    @property
    def beyond(self) -> float:
        """What is left of the ratio without the noise; this is what is judged."""
        return self.ratio - self.noise

    def told(self) -> str:
        """One clause for the terminal and the page."""
        error = "" if self.error is None else f" ± {self.error:.1f}"
        noise = f"up to {1 + self.noise:.1f} may be noise"
        among = f"the worst of {self.of}; {noise}" if self.of > 1 else noise
        return f"worst: {self.label}, {self.ratio:.1f}{error} times its floor ({among})"


def worst_torsion(torsions: Mapping[str, Any] | None) -> Worst | None:
    """Worst of a table as from `torsion_metrics`; None without one, or without a floor."""
    label = (torsions or {}).get("worst")
    if not torsions or label is None:
        return None
    rows = torsions["motions"]
    row = rows[label]
    return Worst(label, row["ratio"], row["ratio_error"], row["noise"] or 0.0, len(rows))
