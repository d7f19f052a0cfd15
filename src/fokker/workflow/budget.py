"""A time in place of a number of steps: the effort that this machine affords in it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..dataset.subject import load_subject
from ..errors import FokkerError
from ..run.folder import RunFolder
from ..runtime import checkpoint, parallel
from ..training.speed import Speed, measure_speeds, seconds_of

_DURATION = re.compile(
    r"(?:(\d{1,6}(?:\.\d+)?)h)?(?:(\d{1,6}(?:\.\d+)?)m)?(?:(\d{1,6}(?:\.\d+)?)s)?", re.ASCII
)

LEAST = 0.01
"""Effort below which nothing useful is learned: a hundredth of the presets' steps."""

MOST = 1000.0
"""Effort above which a budget is not used up."""

MARGIN = 0.95
"""Share of the time that is planned; the rest is for checkpoints and what else may come."""

FINEST = 10**6
"""Efforts are whole multiples of one by this."""

HALVINGS = 30


@dataclass(frozen=True)
class Planned:
    """What a budget affords.

    Attributes
    ----------
    effort
        Multiple of the presets' steps.
    config
        With the steps of this effort.
    seconds
        Expected time of training, the measurement before it left out.
    """

    effort: float
    config: Config
    seconds: float


def parse_duration(text: str) -> float:
    """Read a time such as ``90s``, ``30m`` or ``1h30m``, in seconds.

    Raises
    ------
    FokkerError
        If it is not a time above zero with its unit.
    """
    found = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else [0.0] * 3
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise FokkerError(f"--budget {text!r}: write a time with its unit, such as 90s, 30m or 2h.")
    return total


def said(seconds: float) -> str:
    """A time as one would say it: ``45s``, ``12m`` or ``1h30m``; not rounded down."""
    if seconds < 120:
        return f"{max(1, -int(-seconds // 1))}s"
    minutes = -int(-seconds // 60)
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def affordable(
    at: Callable[[float], Config], speeds: dict[int, Speed], seconds: float, spent: float = 0.0
) -> Planned:
    """Return the most effort whose training ends in time.

    Parameters
    ----------
    at
        Configuration of an effort.
    speeds
        Cost of every stage.
    seconds
        The whole time.
    spent
        What has passed of it, seconds.

    Raises
    ------
    FokkerError
        If the time is too short for the least effort; it says what is the least time.
    """
    left = MARGIN * seconds - spent

    def cost(effort: float) -> float:
        return seconds_of(at(effort), speeds)

    low, high = LEAST, LEAST
    if (least := cost(low)) > left:
        raise FokkerError(
            f"--budget {said(seconds)!r} is too short to learn anything on this machine: give at "
            f"least {said((least + spent) / MARGIN)}."
        )
    while high < MOST and cost(high) <= left:
        low, high = high, min(2 * high, MOST)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cost(middle) <= left else (low, middle)
    low = math.floor(low * FINEST) / FINEST
    return Planned(low, at(low), cost(low))


def measured(
    at: Callable[[float], Config], say: Callable[[str], None] = lambda _: None
) -> tuple[dict[int, Speed], float]:
    """Measure the stages; returns their costs and how long that took.

    Programs that are compiled now need not be compiled again in this process.
    """
    began = time.monotonic()
    config = at(1.0)
    speeds = measure_speeds(config, load_subject(config), say)
    # what is compiled stays so, but for a reweighting: its program holds the length of a round
    warm = {i: s if len(s.steps) > 1 else Speed(s.steps, s.look) for i, s in speeds.items()}
    return warm, time.monotonic() - began


def plan(
    at: Callable[[float], Config],
    budget: str,
    out: Path,
    *,
    resume: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Config:
    """Configuration that trains within a time; the plan is kept in the run folder.

    Parameters
    ----------
    at
        Configuration of an effort.
    budget
        A time such as ``30m``, for measuring, compiling and training.
    out
        Run folder.
    resume
        Take the plan of the run in `out`, if there is one; nothing is measured again.
    say
        Told what is measured and planned.

    Raises
    ------
    FokkerError
        If the time is none or too short, or the run to be resumed was planned otherwise.
    """
    seconds, folder = parse_duration(budget), RunFolder(out)
    kept = folder.read_record().get("plan") if resume else None
    if kept is not None:
        if kept["budget"] != seconds:
            raise FokkerError(
                f"--budget {budget!r}: {out} was planned for {said(kept['budget'])}; give that to "
                "continue it, or choose another --out."
            )
        return at(kept["effort"])
    if checkpoint.exists(folder.checkpoint):
        raise FokkerError(
            f"--budget {budget!r}: {out} already holds a run; continue it with its own command "
            "and --resume, or choose another --out."
        )
    speeds, spent = measured(at, say)
    found = affordable(at, speeds, seconds, spent)
    effort = parallel.of_primary(round(found.effort * FINEST)) / FINEST
    config = at(effort)
    steps = steps_by_name(config)
    say(
        f"budget {said(seconds)}: effort {effort:.3g}, "
        + ", ".join(f"{name} {n:,} steps" for name, n in steps.items())
        + f"; about {said(spent + found.seconds)} in all"
    )
    with folder.locked():
        folder.note(
            plan={
                "budget": seconds,
                "effort": effort,
                "measuring": round(spent, 1),
                "expected": round(found.seconds, 1),
                "steps": steps,
            }
        )
    return config


def steps_by_name(config: Config) -> dict[str, int]:
    """Steps of every stage that has some."""
    stages = filter(config.steps_of, range(config.n_stages))
    return {config.name_of(i): config.steps_of(i) for i in stages}
