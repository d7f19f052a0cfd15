"""From choices to variables, and from the words of a command line to choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import FokkerError
from .base import AbstractChoice, CollectiveVariable, Context

_WORDS: dict[str, tuple[str, int]] = {
    "dihedral": ("beads", 4),
    "angle": ("beads", 3),
    "distance": ("beads", 2),
    "end-to-end": ("", 0),
    "radius-of-gyration": ("", 0),
    "rmsd": ("reference", 1),
    "native-contacts": ("reference", 1),
    "tica": ("features", 1),
    "automatic": ("", 0),
}
"""Kind, the key that its other words are for, and how many of them there are."""


def choose(choices: Sequence[AbstractChoice], context: Context) -> tuple[CollectiveVariable, ...]:
    """Variables in the order of the choices, the first two of which span the plane of the metrics.

    Raises
    ------
    FokkerError
        If two variables have one name, or a choice does not fit the molecule.
    """
    found = [variable for choice in choices for variable in choice.build(context)]
    names = [variable.name for variable in found]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise FokkerError(f"collective variable {double!r} is chosen twice; choose it once.")
    return tuple(found) or context.automatic


def parse_choice(text: str) -> dict[str, Any]:
    """Table of the configuration for words such as ``distance ALA1-CA ALA5-CA``.

    What does not start with a kind is the name of an automatic variable: ``phi ALA2``.

    Raises
    ------
    FokkerError
        If a kind has the wrong number of words after it.
    """
    kind, *words = text.split() or [""]
    if kind not in _WORDS:
        return {"kind": "automatic", "name": text.strip()}
    key, wanted = _WORDS[kind]
    if kind == "tica" and not words:
        return {"kind": kind}
    if len(words) != wanted:
        what = f"{wanted} {key} after it" if key else "nothing after it"
        raise FokkerError(f"collective variable {text!r}: {kind} takes {what}.")
    if not key:
        return {"kind": kind}
    return {"kind": kind, key: words if key == "beads" else words[0]}
