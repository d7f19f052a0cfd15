"""What every part of a file has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class AbstractRecord(BaseModel):
    """Part of a file; what a newer version writes besides is not an error."""

    model_config = ConfigDict(frozen=True, extra="ignore")
