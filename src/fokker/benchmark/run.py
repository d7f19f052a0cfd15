"""Work through the cells of a plan and write the table after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..config import Config
from ..errors import FokkerError
from ..run.folder import RunFolder
from ..runtime.interruption import Interrupted, Stop
from .calibration import calibrate, steps_factor
from .cell import Show, run_cell
from .numbers import finished
from .plan import Plan, same_weights, with_steps
from .reference import NAME as REFERENCE
from .reference import POTENTIALS, run_reference
from .table import collect, write, write_numbers


def run(
    plan: Plan,
    *,
    stop: Stop | None = None,
    show: Show = lambda label, done, total, note: None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Do what is left of a benchmark; a finished cell is never done again.

    Seeds are the outer loop, so that whole tables of fewer seeds come first.

    Parameters
    ----------
    plan
        Rows, seeds, budget, folder.
    stop
        Ends the work at the next block; the same plan continues it.
    show, say
        For a display.

    Returns
    -------
    dict
        The table, as in `table.json`.

    Raises
    ------
    FokkerError
        On bad input, naming the cell.
    Interrupted
        If stopped.
    """
    with RunFolder(plan.folder).locked():
        plan.record()
        collect(plan)  # numbers that cannot be read are better known before than after training
        factors = _factors(plan, say)
        for seed in plan.all_seeds:
            for name, config in _rows(plan):
                cell = plan.cell(name, seed)
                if finished(cell):
                    continue
                if stop is not None and stop():
                    raise Interrupted
                say(f"{name}, seed {seed}")
                settled = with_steps(config, factors.get(name, 1.0), seed)
                try:
                    _one(plan, name, seed, settled, stop, show)
                except FokkerError as error:
                    raise FokkerError(f"{name}, seed {seed}: {error}") from error
                write_numbers(plan, collect(plan))
        table = collect(plan)
        write(plan, table)
    return table


def _rows(plan: Plan) -> Iterator[tuple[str, Config]]:
    """Rows with their configurations; true dynamics first, where the truth is known."""
    first = next(iter(plan.configs.values()))
    if first.system.name in POTENTIALS:
        yield REFERENCE, first
    yield from plan.configs.items()


def _one(plan: Plan, name: str, seed: int, config: Config, stop: Stop | None, show: Show) -> None:
    cell = plan.cell(name, seed)
    if name == REFERENCE:
        run_reference(cell, config, show)
        return
    owner = plan.cell(_owner(plan.configs, name), seed)
    shared = owner if owner != cell and RunFolder(owner).checkpoint.is_dir() else None
    run_cell(cell, config, shared=shared, stop=stop, show=show)


def _owner(configs: Mapping[str, Config], name: str) -> str:
    """The first row with the same weights; it trains them, and its cells are finished before.

    Where its numbers alone are left, the weights are trained again.
    """
    return next(other for other, c in configs.items() if same_weights(c, configs[name]))


def _factors(plan: Plan, say: Callable[[str], None]) -> dict[str, float]:
    """Multiple of its configured steps that each row trains."""
    if plan.budget.seconds is None:
        return dict.fromkeys(plan.configs, plan.budget.effort or 1.0)
    speeds = calibrate(plan.configs.values(), plan.folder / "calibration.json", say)
    return {n: steps_factor(c, speeds, plan.budget.seconds) for n, c in plan.configs.items()}
