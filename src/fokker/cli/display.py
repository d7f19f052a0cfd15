"""What a terminal shows: progress with rates and time left, tables, one-sentence errors."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import jax
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from ..errors import FokkerError
from ..metrics.judged import judged_js, worst_torsion
from ..runtime import parallel
from ..runtime.interruption import Interrupted, Stop

if TYPE_CHECKING:
    from ..workflow.simulate import SimulationProgress

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)
QUIET_SECONDS = 20.0
GRACE_SECONDS = 3.0


class Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """Show the speed of a task."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else _per_second(speed), style="cyan")


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 or not rate else f"{rate:.2g}/s"


class Bar:
    """One progress bar; in a log file, a line every 20 seconds instead."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            Rate(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._said = 0.0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, name: str, done: int, total: int, note: str = "") -> None:
        """Move the bar of a name, made at its first mention."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, note="")
            self._began[name] = time.monotonic(), done
        self._progress.update(self._tasks[name], completed=done, total=total, note=note)
        now = time.monotonic()
        if console.is_terminal or (now - self._said < QUIET_SECONDS and done < total):
            return
        self._said = now
        began, first = self._began[name]
        rate = (done - first) / (now - began) if now > began and done > first else 0.0
        left = f", {(total - done) / rate:,.0f} s left" if rate else ""
        console.print(f"{name}  {done:,}/{total:,}  {_per_second(rate)}{left}  {note}")


@contextlib.contextmanager
def told(stop: Stop, resume_command: str = "") -> Iterator[None]:
    """Turn expected failures into one sentence and an exit code.

    Bad input exits with 2; Ctrl-C with 130 and SIGTERM with 0, both with the command to continue.
    """
    try:
        with stop.listening():
            yield
    except FokkerError as error:
        _end(2, Text.assemble(("error: ", "bold red"), _of_process(str(error))))
    except OSError as error:
        full = error.errno == errno.ENOSPC
        remedy = "free some space" if full else "check the path and its permissions"
        text = f"{error.filename or 'a file'}: {error.strerror or error}; {remedy}."
        _end(2, Text.assemble(("error: ", "bold red"), _of_process(text)))
    except (Interrupted, KeyboardInterrupt) as end:
        code = 130 if stop.signal == signal.SIGINT else 0
        text = f"stopped; everything so far is saved. Continue with: {resume_command}"
        _end(code, text, together=isinstance(end, Interrupted))
    except (RuntimeError, MemoryError) as error:
        sentence = parallel.lost_process(error) or parallel.no_memory(error)
        if sentence is None:
            raise
        # of two, one has gone: waiting for it would end in the abort of this one
        _end(2, Text.assemble(("error: ", "bold red"), str(sentence)), alone=_number() == 2)


def _of_process(text: str) -> str:
    """Say which process speaks, where there are several."""
    return f"process {jax.process_index()}: {text}" if _joined() else text


def _joined() -> bool:
    """Whether processes are joined; asks without starting a device."""
    return jax.distributed.is_initialized() and parallel.several_processes()


def _number() -> int:
    """How many processes are joined."""
    return jax.process_count() if _joined() else 1


def _end(code: int, text: Text | str, *, together: bool = False, alone: bool = False) -> NoReturn:
    """Say why and exit; `together` if all processes do, `alone` if no other is left."""
    errors.print(text)
    if _joined() and not together:
        # an orderly exit would wait for the others, who wait for this one in the middle of a sum
        if parallel.is_primary() and not alone:
            # the others are aborted as soon as it goes; they may have the same thing to say
            time.sleep(GRACE_SECONDS)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise typer.Exit(code) from None


def monitor(progress: SimulationProgress) -> str:
    """What a simulation shows while it runs: temperature, energies, diverged chains."""
    shown = {
        "T": progress.temperature,
        "E_kin": progress.kinetic,
        "E_pot": progress.potential,
    }
    parts = [f"{name} {value:.1f}" for name, value in shown.items() if value is not None]
    return "  ".join([*parts, f"diverged {progress.diverged}"])


def metrics_table(metrics: dict[str, Any]) -> Table:
    """JS (that a model is judged by) and PMF error of both sets, with floors and failures.

    Where there are reference frames the training frames are compared with them too: what frames of
    the same dynamics score, a yardstick that owes nothing to the model.
    """
    table = Table(title=f"{metrics['system']}, {metrics['method']}", show_edge=False)
    for name in ("", "against", "frames", "JS", "floor", "ratio", "PMF", "floor", "failed"):
        table.add_column(name, justify="left" if name in ("", "against") else "right")
    reference = metrics.get("reference", {})
    for against, rows in ((metrics.get("against", "training"), metrics), ("reference", reference)):
        for kind in ("training", "iid", "sim"):
            row = rows.get(kind)
            found = judged_js(row or {})
            if row and found.js is not None:
                table.add_row(
                    "data" if kind == "training" else kind,
                    against,
                    f"{row['n']:,}",
                    f"{found.js:.4f}",
                    _decimals(found.floor),
                    f"{found.ratio:.2f}" if found.ratio else "",
                    f"{row['pmf']:.3f}",
                    f"{row['pmf_floor']:.3f}",
                    f"{row['failed_fraction']:.2%}",
                )
    return table


def worst_torsions(metrics: dict[str, Any]) -> list[str]:
    """One line each for samples and simulation: the torsion furthest above its floor."""
    found = {name: worst_torsion((metrics.get(name) or {}).get("torsions")) for name in _SETS}
    return [f"{name} {worst.told()}" for name, worst in found.items() if worst is not None]


_SETS = ("iid", "sim")


def few_chains(metrics: dict[str, Any]) -> str | None:
    """How much of the simulation's multiple of the floor few chains make; None if unseen."""
    from ..metrics.noise import seen_noise

    sim = judged_js(metrics.get("sim") or {})
    share = seen_noise(sim.noise, sim.floor)
    if share is None:
        return None
    of = f"{share:.2f} of the simulation's {sim.ratio:.2f}"
    return f"{of} is that its chains are few: more or longer ones lower it"


_JUDGED = {
    "test": "test molecules, which training never looked at",
    "validation": "validation molecules, which also chose the weights",
}


def molecules_table(summary: dict[str, Any]) -> Table:
    """JS of samples and simulation of every molecule, and mean and spread over them."""
    table = Table(title=_JUDGED.get(summary["judged"], "molecules"))
    columns = (
        "",
        "against",
        "iid JS",
        "floor",
        "sim JS",
        "floor",
        "chirality kept",
        "failed",
        "diverged",
    )
    for name in columns:
        table.add_column(name, justify="left" if name in ("", "against") else "right")

    def cells(tables: dict[str, Any]) -> list[str]:
        iid, sim = (tables.get(kind) or {} for kind in ("iid", "sim"))
        return [
            *(_decimals(value) for each in (iid, sim) for value in _pair(each)),
            " / ".join(_percent(each.get("chirality")) for each in (iid, sim)),
            " / ".join(_percent(each.get("failed_fraction")) for each in (iid, sim)),
        ]

    for name, row in summary["molecules"].items():
        chains = f"{row['diverged_chains']} of {row['chains']}" if row["chains"] else ""
        table.add_row(name, row["against"], *cells(row), chains)
    for name in ("mean", "std"):
        table.add_row(name, "", *cells(summary[name]), "")
    return table


def _pair(table: dict[str, Any]) -> tuple[float | None, float | None]:
    found = judged_js(table)
    return found.js, found.floor


def _decimals(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"
