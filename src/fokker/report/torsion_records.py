"""The plane of the metrics and every torsion, as metrics.json has them."""

from __future__ import annotations

from pydantic import model_validator

from .base import AbstractRecord


class Torsion(AbstractRecord):
    """One torsion or pair of them, as from `fokker.metrics.torsion_metrics`."""

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


class Torsions(AbstractRecord):
    """All of them; `worst` is the label of one."""

    motions: dict[str, Torsion]
    worst: str | None = None
    mean: float | None = None

    @model_validator(mode="after")
    def _known(self) -> Torsions:
        if self.worst is not None and self.motions.get(self.worst, Torsion()).ratio is None:
            raise ValueError(f"the worst torsion {self.worst!r} has no ratio in the table")
        return self


class Plane(AbstractRecord):
    """Variables that span the plane of the metrics, and why."""

    variables: list[str] = []
    why: str = ""
