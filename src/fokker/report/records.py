"""The files of a run folder that a report is made of, checked while they are read."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from ..errors import FokkerError

SetName: TypeAlias = Literal["data", "reference", "iid", "sim"]
Edges: TypeAlias = Annotated[list[FiniteFloat], Field(min_length=2)]
Curve: TypeAlias = list[float | None]


class _Record(BaseModel):
    """Part of a file; what a newer version writes besides is not an error."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Distribution(_Record):
    """One bond, angle or collective variable against the frames it is compared with."""

    w1: float | None = None
    w1_relative: float | None = None
    floor: float | None = None
    mean: float | None = None
    std: float | None = None
    training_mean: float | None = None
    training_std: float | None = None


class Comparison(_Record):
    """Metrics of one set of frames, as from `fokker.metrics.compare`."""

    n: int | None = None
    n_training: int | None = None
    failed_fraction: float | None = None
    nan_fraction: float | None = None
    js: float | None = None
    js_standard_error: float | None = None
    js_floor: float | None = None
    js_floor_std: float | None = None
    js_ratio: float | None = None
    pmf: float | None = None
    pmf_floor: float | None = None
    pmf_floor_std: float | None = None
    pmf_ratio: float | None = None
    bonds: dict[str, Distribution] = {}
    angles: dict[str, Distribution] = {}
    collective_variables: dict[str, Distribution] = {}
    chirality: dict[str, float | None] = {}


class Held(_Record):
    """Metrics against reference frames that were never trained on."""

    training: Comparison | None = None
    iid: Comparison | None = None
    sim: Comparison | None = None


class Metrics(_Record):
    """metrics.json, as from `fokker.metrics.evaluate`."""

    iid: Comparison | None = None
    sim: Comparison | None = None
    reference: Held | None = None


class Temperature(_Record):
    """Kinetic temperature of a simulation."""

    mean: float | None = None
    standard_error: float | None = None
    target: float | None = None
    unit: str = "K"


class Training(_Record):
    """What training took."""

    seconds: float | None = None
    steps: int | None = None


class Sampling(_Record):
    """How independent samples were drawn; `evaluations` of the network a sample."""

    n: int | None = None
    seconds: float | None = None
    evaluations: int | None = None
    sampler: str | None = None


class Simulation(_Record):
    """How the simulation was run; `diverged_at` holds the step at which each chain was lost."""

    chains: int | None = None
    steps: int | None = None
    stride: int | None = None
    start: str | None = None
    seconds: float | None = None
    steps_per_second: float | None = None
    temperature: Temperature | None = None
    diverged: int | None = None
    diverged_at: list[float | None] = []


class Run(_Record):
    """run.json: what was run, and what it took. Every part is optional."""

    fokker: str | None = None
    system: str | None = None
    method: str | None = None
    command: str | None = None
    training: Training | None = None
    sampling: Sampling | None = None
    simulation: Simulation | None = None


class TrainingStep(_Record):
    """One line of training.jsonl."""

    step: int
    stage: int = 0
    expert: int | str = 0
    loss: float | None = None
    terms: dict[str, float | None] = {}
    validation: dict[str, float | None] | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    seconds: float | None = None


class Axis(_Record):
    """One axis of a free-energy surface."""

    name: str
    unit: str = ""
    edges: Edges


class Surfaces(_Record):
    """Free energies in kT over two collective variables, by set."""

    x: Axis
    y: Axis
    energy: dict[SetName, list[Curve]]

    @model_validator(mode="after")
    def _shapes(self) -> Surfaces:
        for energy in self.energy.values():
            _same(len(energy), len(self.x.edges) - 1, "rows of a surface")
            for row in energy:
                _same(len(row), len(self.y.edges) - 1, "columns of a surface")
        return self


class Profile(_Record):
    """Free energies in kT along one collective variable, and the share beyond the edges, by set."""

    unit: str = ""
    edges: Edges
    energy: dict[SetName, Curve]
    beyond: dict[SetName, float | None] = {}

    @model_validator(mode="after")
    def _shapes(self) -> Profile:
        for energy in self.energy.values():
            _same(len(energy), len(self.edges) - 1, "bins of a profile")
        return self


class Density(_Record):
    """Densities of one bond or angle, and the share of frames beyond the edges, by set."""

    unit: str = ""
    edges: Edges
    density: dict[SetName, Curve]
    beyond: dict[SetName, float | None] = {}

    @model_validator(mode="after")
    def _shapes(self) -> Density:
        for density in self.density.values():
            _same(len(density), len(self.edges) - 1, "bins of a density")
        return self


class Residual(_Record):
    """Root mean square of the Fokker-Planck residual against diffusion time."""

    t: Curve
    rms: Curve
    label: str | None = None
    boundaries: list[float] = []

    @model_validator(mode="after")
    def _shapes(self) -> Residual:
        _same(len(self.rms), len(self.t), "values of the residual")
        return self


class Relaxation(_Record):
    """Approach of an ensemble that starts from one structure to equilibrium."""

    time: list[FiniteFloat]
    unit: str = "ps"
    start: str | None = None
    curves: dict[str, Curve] = {}
    targets: dict[str, float | None] = {}
    js: Curve | None = None
    js_floor: float | None = None

    @model_validator(mode="after")
    def _shapes(self) -> Relaxation:
        for curve in (*self.curves.values(), self.time if self.js is None else self.js):
            _same(len(curve), len(self.time), "values of a relaxation curve")
        return self


class Plots(_Record):
    """plots.json, as from `fokker.report.gather`."""

    frames: dict[SetName, int] = {}
    not_finite: dict[SetName, int] = {}
    surfaces: Surfaces | None = None
    profiles: dict[str, Profile] = {}
    bonds: dict[str, Density] = {}
    angles: dict[str, Density] = {}
    residual: Residual | None = None
    relaxation: Relaxation | None = None


def _same(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise ValueError(f"{wanted} {what} wanted, {found} found")


Record = TypeVar("Record", bound=_Record)


def read_json(file: Path, kind: type[Record]) -> Record | None:
    """Read one file; None if there is none.

    Raises
    ------
    FokkerError
        If the file is not JSON or not of this kind.
    """
    text = read_text(file)
    return None if text is None else _validate(kind, _parse(text, str(file)), str(file))


def read_training(file: Path) -> list[TrainingStep]:
    """Read training.jsonl, one step a line; an empty list if there is none.

    Raises
    ------
    FokkerError
        If a line is not JSON or not a training step; the message has the line's number.
    """
    return list(_training_steps(file, read_text(file) or ""))


def read_config(file: Path) -> str | None:
    """Read config.toml verbatim; None if there is none.

    Raises
    ------
    FokkerError
        If the file is not TOML.
    """
    text = read_text(file)
    try:
        tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as error:
        raise FokkerError(
            f"{file}: not valid TOML ({error}); restore the run's own file."
        ) from error
    return text


def read_text(file: Path) -> str | None:
    """Read a text file; None if there is none.

    Raises
    ------
    FokkerError
        If it exists but is not readable, or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FokkerError(f"{file}: not readable ({error.strerror}); check the file.") from error
    except UnicodeDecodeError as error:
        raise FokkerError(f"{file}: not text in UTF-8; write the file again.") from error


def _training_steps(file: Path, text: str) -> Iterator[TrainingStep]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            where = f"{file}, line {number}"
            yield _validate(TrainingStep, _parse(line, where), where)


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise FokkerError(f"{where}: not valid JSON ({error}); write the file again.") from error


def _validate(kind: type[Record], value: Any, where: str) -> Record:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        found = f"{first['input']!r:.40}"
        raise FokkerError(
            f"{where}: entry {place} is {found} ({first['msg']}); write the file again."
        ) from error
