"""`fokker inspect`: what was understood of a molecule, before anything is trained."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..config.presets import takes_folder
from ..errors import FokkerError
from ..runtime.interruption import Stop
from . import settings
from .display import console, told
from .planning import expectations
from .settings import configuration
from .work import do_make_data

_SHOWN = 24
"""Beads or bonds listed on the screen; the JSON file has all."""

Target = Annotated[
    str,
    typer.Argument(
        metavar="SYSTEM|RUN", help="`molecule` with --trajectory ..., a system preset, or a run."
    ),
]


def inspect(
    system: Target = "molecule",
    config: settings.File = None,
    change: settings.Changes = None,
    trajectory: settings.TrajectoryFiles = None,
    topology: settings.Topology = None,
    select: settings.Select = None,
    temperature: settings.Temperature = None,
    stride: settings.Stride = None,
    allow_cut: settings.AllowCut = None,
    mapping: settings.BeadMapping = None,
    variables: settings.Variables = None,
    forces: settings.Forces = None,
    budget: Annotated[
        bool,
        typer.Option(
            "--budget",
            help="Measure the speed of training on this machine and say how many steps ten "
            "minutes, one hour and four hours afford.",
        ),
    ] = False,
    weights: settings.Weights = None,
    log_weights: settings.LogWeights = None,
    bias: settings.FrameBias = None,
    out: Annotated[
        Path | None, typer.Option("--json", help="Write everything to this file as JSON.")
    ] = None,
) -> None:
    """Show how a molecule and its trajectory are understood: nothing is trained.

    Files, beads, bonds, frames, correlation time, collective variables, and what looks wrong.
    """
    from ..run.folder import write_atomically
    from ..workflow.inspect import inspect as work

    stop = Stop()
    with told(stop):
        target: Any = Path(system)
        at = None
        if (target / "checkpoint").is_dir() and budget:
            raise FokkerError(
                f"--budget: {system} is a run, whose steps are fixed; name the system in its place."
            )
        if not (target / "checkpoint").is_dir():
            if takes_folder(system):
                raise FokkerError(
                    f"{system!r} is many molecules; inspect one of them, for example fokker "
                    "inspect molecule -f KL.dcd -p KL.pdb --temperature 310."
                )
            at = partial(
                configuration,
                system,
                "fokker",
                file=config,
                changes=change,
                seed=None,
                trajectory=trajectory,
                topology=topology,
                select=select,
                temperature=temperature,
                stride=stride,
                allow_cut=allow_cut,
                mapping=mapping,
                variables=variables,
                forces=forces,
                weights=weights,
                log_weights=log_weights,
                bias=bias,
            )
            target = at(effort=1.0)
            do_make_data(target, stop)
        with console.status("inspecting") as status:
            found = work(target, on_message=status.update)
        for part in (_facts(found), _beads(found), _bonds(found), _variables(found)):
            if part.row_count:
                console.print(part)
        for warning in found["warnings"]:
            console.print(Text.assemble(("warning: ", "bold yellow"), warning))
        if not found["warnings"]:
            console.print("nothing looks wrong.")
        if at is not None and budget:
            with stop.immediate():
                console.print(expectations(lambda effort: at(effort=effort)))
        if out is not None:
            write_atomically(out, json.dumps(found, indent=1, allow_nan=False))
            console.print(f"written: {out}")


def _facts(found: dict[str, Any]) -> Table:
    table = Table(title=found["system"], title_justify="left", show_header=False, box=None)
    for file in found["files"]:
        table.add_row("trajectory", f"{file['path']}: {file['frames']:,} frames read")
    if found["topology"] is not None:
        table.add_row("topology", f"{found['topology']}: {found['atoms']:,} atoms")
        if len(found["chains"]) > 1:
            table.add_row("chains", _listed(found["chains"]))
        of = "" if found["mapping"].endswith(".toml") else f" of {found['select']!r}"
        table.add_row("mapping", found["mapping"] + of)
        table.add_row("temperature", f"{found['temperature']:g} K (kT = {found['kT']:.4g} kJ/mol)")
        box = found["box"]
        edges = "none" if box is None else " x ".join(f"{edge:.3g}" for edge in box) + " nm"
        table.add_row("box", edges)
    table.add_row(
        "split",
        f"{found['training_frames']:,} training, {found['validation_frames']:,} validation frames, "
        f"in blocks of time",
    )
    table.add_row(
        "correlation",
        f"{found['correlation_time']:,.1f} frames to an independent one: about "
        f"{found['effective_frames']:,.0f} independent training frames",
    )
    if found["weights"] is not None:
        table.add_row(
            "weights",
            f"worth {found['weights']['effective_number']:,.0f} frames that count alike; the "
            f"largest is {found['weights']['largest_share']:.2%} of all",
        )
    plane = found["plane"]
    table.add_row("plane", f"{', '.join(plane['variables'])}: {plane['why']}".lstrip(": "))
    chiral = ", ".join(found["chiral_centres"]) or "none"
    table.add_row("chirality", chiral)
    return table


def _listed(chains: list[dict[str, Any]]) -> str:
    shown = [
        f"{chain['name']} ({chain['first']} to {chain['last']}, {chain['beads']} beads)"
        for chain in chains[:_SHOWN]
    ]
    return ", ".join(shown) + (", ..." if len(chains) > _SHOWN else "")


def _beads(found: dict[str, Any]) -> Table:
    table = Table(title=f"{len(found['beads'])} beads", title_justify="left", box=None)
    for name in ("", "bead", "amu", "atoms (from 0)"):
        table.add_column(name, justify="right" if name in ("", "amu") else "left")
    for number, bead in enumerate(found["beads"][:_SHOWN]):
        atoms = ", ".join(map(str, bead["atoms"][:8])) + (", ..." if len(bead["atoms"]) > 8 else "")
        table.add_row(str(number), bead["label"], f"{bead['mass']:.3f}", atoms)
    return _cut(table, len(found["beads"]))


def _bonds(found: dict[str, Any]) -> Table:
    unit = found["length_unit"]
    table = Table(title=f"{len(found['bonds'])} bonds", title_justify="left", box=None)
    for name in ("bond", f"mean ({unit})", "std", "min", "max"):
        table.add_column(name, justify="left" if name == "bond" else "right")
    for bond in found["bonds"][:_SHOWN]:
        table.add_row(bond["label"], *(f"{bond[k]:.4f}" for k in ("mean", "std", "min", "max")))
    return _cut(table, len(found["bonds"]))


def _variables(found: dict[str, Any]) -> Table:
    title = "collective variables; the first two span the plane of JS and PMF"
    table = Table(title=title, title_justify="left", box=None)
    for name in ("name", "kind", "unit", "min", "max", "correlation (frames)"):
        table.add_column(name, justify="left" if name in ("name", "kind", "unit") else "right")
    for row in found["collective_variables"]:
        table.add_row(
            row["name"],
            row["kind"],
            row["unit"],
            f"{row['min']:.3f}",
            f"{row['max']:.3f}",
            f"{row['correlation_time']:,.1f}",
        )
    return table


def _cut(table: Table, n: int) -> Table:
    if n > _SHOWN:
        table.add_row(*["..."] * len(table.columns))
    return table
