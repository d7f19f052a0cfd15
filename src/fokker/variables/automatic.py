"""Variables that the topology suggests, all of them or one by its name."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..errors import FokkerError
from .base import AbstractChoice, CollectiveVariable, Context


class AutomaticChoice(AbstractChoice):
    """All variables that are taken if none are chosen, or one of them."""

    kind: Literal["automatic"] = "automatic"
    name: str = Field(default="", description="for example `phi ALA2`; empty for all")

    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Pick by name."""
        found = tuple(v for v in context.automatic if self.name in ("", v.name))
        if not found:
            raise FokkerError(
                f"collective variable {self.name!r}: the beads do not define it; there are "
                f"{', '.join(v.name for v in context.automatic)}."
            )
        return found
