"""`fokker benchmark`: the paper's table as one command."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..errors import FokkerError
from ..runtime.interruption import Stop
from ..runtime.parallel import start
from . import settings
from .display import Bar, console, told

EPILOG = (
    "**Examples:** `fokker benchmark mueller-brown --seeds 1`; `fokker benchmark "
    "alanine-dipeptide --methods both,fokker --budget 10m --out runs/table`; "
    "`fokker benchmark mueller-brown --methods both --variant strong=strong.toml`; "
    "`fokker benchmark dipeptides --folder data/train --test data/test --seeds 1`"
)


def benchmark(
    system: settings.System,
    methods: Annotated[
        str | None, typer.Option(help="Rows, separated by commas; default: the paper's and ours.")
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="One more row: a TOML file with `method`, the preset that it changes, and the "
            "changes. Repeatable.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each row.")] = 3,
    first_seed: Annotated[
        int,
        typer.Option(
            min=0, help="First seed. With it three machines can do one of three seeds each."
        ),
    ] = 0,
    budget: Annotated[
        str | None,
        typer.Option(help="Training time of each run, for example 60s or 5m; default 60s."),
    ] = None,
    effort: Annotated[
        float | None,
        typer.Option(min=0.001, help="Instead of --budget: multiply the presets' steps."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; default runs/benchmark-SYSTEM.")
    ] = None,
    config: settings.File = None,
    change: settings.Changes = None,
    trajectory: settings.TrajectoryFiles = None,
    topology: settings.Topology = None,
    select: settings.Select = None,
    temperature: settings.Temperature = None,
    stride: settings.Stride = None,
    allow_cut: settings.AllowCut = None,
    folder: settings.Folder = None,
    validation: settings.Validation = None,
    test: settings.Test = None,
) -> None:
    """Train and judge several methods on one system, several seeds of each; print the table.

    Every cell is a run folder, OUT/METHOD-SEED; many molecules are judged by those of --test
    or, without them, of --validation, which then choose the weights as well. Ctrl-C saves; the same
    command continues, and a finished cell is never done again. The table is made of the cell.json
    of each cell alone: those of several machines, put in one folder with the plan.json and
    calibration.json of one of them, are one benchmark. Writes table.json, table.csv, table.md,
    table.svg and table.png. In `--set`, `experts.*` means every expert.
    """
    stop = Stop()
    command = shlex.join(["fokker", *sys.argv[1:]])
    with told(stop, command):
        start(None, {})
        from ..benchmark import ROWS, Budget, Plan, run
        from ..benchmark.table import PARTS, as_text

        if budget is not None and effort is not None:
            raise FokkerError("--budget and --effort: give one of the two.")
        rows: dict[str, Any] = {}
        if methods or not variant:
            rows = {n.strip(): n.strip() for n in (methods or ",".join(ROWS)).split(",")}
        rows |= dict(_variant(text) for text in variant or ())
        configs = {
            name: settings.configuration(
                system,
                method,
                file=config,
                changes=change,
                effort=1.0,
                seed=None,
                trajectory=trajectory,
                topology=topology,
                select=select,
                temperature=temperature,
                stride=stride,
                allow_cut=allow_cut,
                folder=folder,
                validation=validation,
                test=test,
            )
            for name, method in rows.items()
        }
        length = Budget(effort=effort) if effort else Budget.parse(budget or "60s")
        where = out or Path("runs") / f"benchmark-{system}"
        with _Bars() as bars:
            table = run(
                Plan(where, system, configs, seeds, length, command, first_seed),
                stop=stop,
                show=bars.show,
                say=bars.say,
            )
        for part in PARTS:
            for piece in _pieces(f"{system}: {part}", *as_text(table, part), console.width):
                console.print(piece)
        console.print(table["budget"])
        console.print(f"table: {where / 'table.md'}")


def _variant(text: str) -> tuple[str, dict[str, Any]]:
    """Name and content of `name=file.toml`."""
    from ..config import read_toml

    name, separator, path = text.partition("=")
    if not separator or not name or "/" in name:
        raise FokkerError(f"--variant {text!r}: write it as name=file.toml.")
    return name, {**read_toml(Path(path)), "name": name}


def _pieces(title: str, headings: list[str], lines: list[list[str]], width: int) -> list[Table]:
    """Tables of as many columns as fit into the width beside the first one, so no number is cut."""
    columns = list(zip(headings, *lines, strict=True))
    needed = [2 + max(map(len, column)) for column in columns]
    pieces, used = [[columns[0]]], needed[0]
    for column, more in zip(columns[1:], needed[1:], strict=True):
        if used + more > width and len(pieces[-1]) > 1:
            pieces.append([columns[0]])
            used = needed[0]
        pieces[-1].append(column)
        used += more
    return [_screen(title, piece) for piece in pieces]


def _screen(title: str, columns: list[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for index, (heading, *_) in enumerate(columns):
        first = index == 0
        table.add_column(heading, justify="left" if first else "right", no_wrap=first)
    for line in zip(*(cells for _, *cells in columns), strict=True):
        table.add_row(*line)
    return table


class _Bars:
    """One progress bar at a time, replaced when the label changes."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._label = ""

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def show(self, label: str, done: int, total: int, note: str) -> None:
        if self._bar is None or label != self._label:
            self._close()
            self._bar, self._label = Bar().__enter__(), label
        self._bar.show(label, done, total, note)

    def say(self, text: str) -> None:
        self._close()
        console.print(text)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
