"""What a report needs of the kinetics in `metrics.json`; all times in ps."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, model_validator

Curve: TypeAlias = list[float | None]


class _Record(BaseModel):
    """Part of a file; what a newer version writes besides is not an error."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def same(found: int, wanted: int, what: str) -> None:
    """Refuse another number of values than wanted.

    Raises
    ------
    ValueError
        If they differ.
    """
    if found != wanted:
        raise ValueError(f"{wanted} {what} wanted, {found} found")


class Estimate(_Record):
    """A number with an interval that holds 68 per cent."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Implied(_Record):
    """Implied timescales against the lag, ps."""

    lags: list[FiniteFloat] = []
    timescales: list[list[Estimate]] = []

    @model_validator(mode="after")
    def _shapes(self) -> Implied:
        same(len(self.timescales), len(self.lags), "lags of implied timescales")
        return self


class ChapmanKolmogorov(_Record):
    """Probability of being in a set after a time, of the model and of longer lags."""

    times: list[FiniteFloat] = []
    predicted: list[Curve] = []
    estimated: list[list[Estimate]] = []
    largest_deviation: float | None = None

    @model_validator(mode="after")
    def _shapes(self) -> ChapmanKolmogorov:
        for rows in (self.predicted, self.estimated):
            same(len(rows), len(self.times), "times of a Chapman-Kolmogorov test")
        return self


class KineticSide(_Record):
    """Kinetics of data or simulation, ps."""

    interval: float | None = None
    pieces: int | None = None
    frames: int | None = None
    failed_frames: int | None = None
    lag: float | None = None
    lag_converged: bool | None = None
    connected_states: int | None = None
    connected_share: float | None = None
    timescales: list[Estimate] = []
    implied: Implied = Implied()
    populations: list[Estimate] = []
    passage: list[list[Estimate | None]] = []
    chapman_kolmogorov: ChapmanKolmogorov = ChapmanKolmogorov()


class Unvisited(_Record):
    """States that the simulation never visits, and frames where the data hardly ever are."""

    states: int | None = None
    share: float | None = None
    beyond: float | None = None


class Pair(_Record):
    """A process of the data, the one of the simulation, and the ratio of their timescales."""

    data: NonNegativeInt
    simulation: NonNegativeInt
    overlap: float | None = None
    ratio: Estimate = Estimate()


class SpeedUp(_Record):
    """Time of the data over that of the simulation."""

    processes: list[Pair] = []
    mean: Estimate | None = None
    unevenness: Estimate | None = None


class Kinetics(_Record):
    """As from `fokker.metrics.kinetics`."""

    states: int | None = None
    data: KineticSide
    simulation: KineticSide | None = None
    without_simulation: str | None = None
    unvisited: Unvisited | None = None
    speed_up: SpeedUp | None = None
