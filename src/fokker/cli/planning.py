"""A configuration by effort or by time, and what to expect of a time on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from ..errors import FokkerError
from ..runtime.interruption import Stop
from .display import console
from .work import do_make_data

EXPECTED = (600.0, 3600.0, 14400.0)
"""Times that `fokker inspect --budget` speaks of, seconds."""


def settled(
    at: Callable[[float], Any],
    effort: float | None,
    budget: str | None,
    out: Path,
    resume: bool,
    stop: Stop,
) -> Any:
    """Configuration of an effort, or of the effort that a time affords.

    Raises
    ------
    FokkerError
        If both are given, or the time is none or too short.
    """
    if budget is None:
        return at(1.0 if effort is None else effort)
    if effort is not None:
        raise FokkerError(
            f"--budget {budget!r} and --effort {effort:g} both say how long to train: leave out "
            "one of them."
        )
    from ..workflow.budget import parse_duration, plan

    parse_duration(budget)  # before any data are made
    do_make_data(at(1.0), stop)
    with stop.immediate():
        return plan(at, budget, out, resume=resume, say=console.print)


def expectations(at: Callable[[float], Any]) -> Table:
    """What ten minutes, one hour and four afford on this machine."""
    from ..workflow.budget import affordable, measured, said, steps_by_name

    speeds, spent = measured(at, console.print)
    table = Table(title="training on this machine", title_justify="left", box=None)
    for name in ("--budget", "effort", *steps_by_name(at(1.0))):
        table.add_column(name, justify="right")
    for seconds in EXPECTED:
        try:
            found = affordable(at, speeds, seconds, spent)
        except FokkerError:
            table.add_row(said(seconds), "too short")
            continue
        steps = steps_by_name(found.config).values()
        table.add_row(said(seconds), f"{found.effort:.2g}", *(f"{n:,}" for n in steps))
    return table
