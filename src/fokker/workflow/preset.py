"""A configuration from presets, in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import Config, parse
from ..config.presets import DEFAULT_METHOD, combine


def preset(
    system: str,
    method: str = DEFAULT_METHOD,
    changes: Mapping[str, Any] | None = None,
    *,
    effort: float = 1.0,
) -> Config:
    """Configuration of a system and a method.

    Parameters
    ----------
    system, method
        Preset names, as `fokker presets` lists them.
    changes
        Nested tables put on top, for example ``{"seed": 1}``.
    effort
        Multiplies the training steps of every expert.

    Raises
    ------
    FokkerError
        On an unknown preset, key or value.
    """
    return parse(combine(system, method, [changes or {}], effort=effort), f"{system}, {method}")
