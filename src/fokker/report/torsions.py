"""What the page says of every torsion: one table for samples and simulation."""

from __future__ import annotations

from typing import NamedTuple

from .records import Comparison, Metrics
from .style import pretty
from .torsion_records import Torsion


class TorsionTable(NamedTuple):
    """Rows of one torsion or pair each, with a cell for each set; None where a set has none."""

    sets: list[str]
    rows: list[tuple[str, list[Torsion | None]]]
    notes: list[str]


def torsion_table(metrics: Metrics) -> TorsionTable | None:
    """Table of all torsions against the training frames; None if nothing was judged by them."""
    named: dict[str, Comparison | None] = {"iid": metrics.iid, "simulation": metrics.sim}
    found = {name: c for name, c in named.items() if c is not None and c.torsions is not None}
    if not found:
        return None
    motions = {name: c.torsions.motions for name, c in found.items() if c.torsions is not None}
    labels = dict.fromkeys(label for of_set in motions.values() for label in of_set)
    rows = [(label, [of_set.get(label) for of_set in motions.values()]) for label in labels]
    return TorsionTable(list(found), rows, [_note(name, c) for name, c in found.items()])


def _note(name: str, comparison: Comparison) -> str:
    worst = comparison.worst
    mean = comparison.torsions.mean if comparison.torsions else None
    told = "no floor to compare with" if worst is None else pretty(worst.told())
    return f"{name} {told}" + ("" if mean is None else f", {mean:.1f} on average")
