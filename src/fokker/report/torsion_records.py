"""The plane of the metrics and every torsion, as metrics.json has them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, model_validator

_RECORD = ConfigDict(frozen=True, extra="ignore")
"""What a newer version writes besides is not an error."""


class Torsion(BaseModel):
    """One torsion or pair of them, as from `fokker.metrics.torsion_metrics`."""

    model_config = _RECORD

    js: float | None = None
    error: float | None = None
    floor: float | None = None
    floor_std: float | None = None
    ratio: float | None = None
    ratio_error: float | None = None
    noise: float | None = None

    @property
    def beyond(self) -> float | None:
        """Multiple of the floor without what may be noise."""
        return None if self.ratio is None else self.ratio - (self.noise or 0.0)


class Torsions(BaseModel):
    """All of them; `worst` is the label of one."""

    model_config = _RECORD

    motions: dict[str, Torsion]
    worst: str | None = None
    mean: float | None = None

    @model_validator(mode="after")
    def _known(self) -> Torsions:
        if self.worst is not None and self.motions.get(self.worst, Torsion()).ratio is None:
            raise ValueError(f"the worst torsion {self.worst!r} has no ratio in the table")
        return self


class Plane(BaseModel):
    """Variables that span the plane of the metrics, and why."""

    model_config = _RECORD

    variables: list[str] = []
    why: str = ""
