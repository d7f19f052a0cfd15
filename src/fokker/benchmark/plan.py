"""What a benchmark is: rows, seeds and how long each row trains."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..config import Config, MoleculesOptions
from ..errors import FokkerError
from ..run.folder import write_atomically
from ..workflow.budget import parse_duration


@dataclass(frozen=True)
class Budget:
    """How long every row trains: for the same time, or for the same share of its own steps.

    Attributes
    ----------
    seconds
        Training time of one run on a quiet machine, compilation left out; None if `effort` rules.
    effort
        Multiple of the presets' steps; None if `seconds` rules.
    """

    seconds: float | None = None
    effort: float | None = None

    @staticmethod
    def parse(text: str) -> Budget:
        """Read a time such as ``90``, ``60s``, ``5m`` or ``1h30m``.

        Raises
        ------
        FokkerError
            If it is not a time above zero.
        """
        bare = re.fullmatch(r".*\d", text.strip(), re.ASCII)
        return Budget(seconds=parse_duration(f"{text.strip()}s" if bare else text))

    @property
    def sentence(self) -> str:
        """What the table says about it."""
        if self.seconds is not None:
            return (
                f"Every method trains for the same time, {self.seconds:g} s a run: its steps are "
                "set from its own measured time per step (the least of several, compilation left "
                "out), all experts scaled alike, so that its cosine schedule ends with the budget."
            )
        return f"Every method trains for {self.effort:g} times the steps of its preset."


@dataclass(frozen=True)
class Plan:
    """A whole benchmark.

    Attributes
    ----------
    folder
        Where its cells lie.
    system
        Name of the system preset.
    configs
        Configuration of each row, with the preset's steps and seed 0, in order.
    seeds
        Number of seeds.
    budget
        Length of training.
    command
        The command that made it, printed above the table.
    first_seed
        Seeds count from it.
    """

    folder: Path
    system: str
    configs: Mapping[str, Config]
    seeds: int
    budget: Budget
    command: str
    first_seed: int = 0

    @property
    def all_seeds(self) -> range:
        """Every seed, in order."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def cell(self, name: str, seed: int) -> Path:
        """Run folder of a row and seed."""
        return self.folder / f"{name.replace(' ', '-')}-{seed}"

    def record(self) -> None:
        """Write `plan.json`, or check that a benchmark to be continued was planned the same.

        Rows and seeds may be added; the rows that are there must be the same.

        Raises
        ------
        FokkerError
            If the budget or a row differs, or there are no molecules to judge by.
        """
        for config in self.configs.values():
            own = config.system
            if isinstance(own, MoleculesOptions) and not (own.test or own.validation):
                raise FokkerError(
                    f"{self.system}: many molecules are judged by those never trained on; "
                    "give --validation, and --test if these are not to choose the weights as well."
                )
        file = self.folder / "plan.json"
        old = read_json(file)
        budget = {"seconds": self.budget.seconds, "effort": self.budget.effort}
        if old and old["budget"] != budget:
            raise FokkerError(
                f"{self.folder}: its cells were trained with another budget, {old['budget']}; "
                "repeat that one, or choose another --out."
            )
        rows = dict(old.get("rows", {}))
        for name, config in self.configs.items():
            dumped = config.model_dump(mode="json")
            if _completed(rows.setdefault(name, dumped)) != dumped:
                raise FokkerError(
                    f"{self.folder}: the row {name!r} was begun with other settings; repeat those, "
                    "or choose another --out."
                )
        write_atomically(file, json.dumps({"budget": budget, "rows": rows}, indent=1))


def _scaled(steps: int, factor: float) -> int:
    return max(1, round(factor * steps)) if steps else 0


def _completed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the defaults of options that came after it was begun."""
    try:
        return Config.model_validate(row).model_dump(mode="json")
    except ValidationError:
        return row


def same_weights(a: Config, b: Config) -> bool:
    """Whether two rows are one trained model, used differently."""
    return a.trained_by == b.trained_by


def with_steps(config: Config, factor: float, seed: int) -> Config:
    """Configuration of a cell: the steps of all stages times a factor, and its seed."""
    experts = [
        expert.model_copy(
            update={
                "training": expert.training.model_copy(
                    update={"steps": _scaled(expert.training.steps, factor)}
                )
            }
        )
        for expert in config.experts
    ]
    refined = _scaled(config.refinement.steps, factor)
    refinement = config.refinement.model_copy(update={"steps": refined})
    lengths = {
        "frames": max(2, _scaled(config.reweighting.frames, factor)),
        "steps": _scaled(config.reweighting.steps, factor),
    }
    reweighting = config.reweighting
    if reweighting.rounds:
        reweighting = reweighting.model_copy(update=lengths)
    after = {"refinement": refinement, "reweighting": reweighting}
    return config.model_copy(update={"experts": tuple(experts), **after, "seed": seed})


def read_json(file: Path) -> dict[str, Any]:
    """Read a file of a benchmark's folder; empty if there is none.

    Raises
    ------
    FokkerError
        If it is not readable.
    """
    if not file.exists():
        return {}
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise FokkerError(f"{file}: not valid JSON; choose another --out.") from error
