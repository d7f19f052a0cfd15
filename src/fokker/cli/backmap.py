"""The command that puts atoms to beads."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..runtime.interruption import Stop
from . import settings
from .display import Bar, console, told

EPILOG = (
    "**Examples:** `fokker backmap runs/ala`; other frames: `fokker backmap runs/ala "
    "runs/ala/simulation.xtc -o simulation-atoms.xtc`"
)


def backmap(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Run folder of a trained model; of many molecules, that of one."
        ),
    ],
    frames: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FRAMES]", help="Frames of beads; default the run's samples or simulation."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="XTC, DCD or NPY; default RUN/atoms.xtc.")
    ] = None,
    trajectory: Annotated[
        list[Path] | None,
        typer.Option(
            "--trajectory", "-f", help="Trajectory of all atoms; default what RUN was trained on."
        ),
    ] = None,
    topology: Annotated[
        Path | None, typer.Option("--topology", "-p", help="Topology of all its atoms.")
    ] = None,
    minimise: Annotated[
        bool,
        typer.Option(
            "--minimise/--no-minimise", help="Minimise the energy in OpenMM with the beads held."
        ),
    ] = True,
    resume: settings.Resume = False,
    overwrite: settings.Overwrite = False,
) -> None:
    """Rebuild all atoms of frames of beads.

    Each residue is taken from the frame of the training trajectory whose beads there are most
    alike; OpenMM then minimises the energy with the beads held. Beside the trajectory the topology
    (`.pdb`) and a count of broken bonds, clashes and lost chirality (`.json`) are written. A frame
    without a structure is written as one that failed, and listed.
    """
    from ..workflow.backmap import Files
    from ..workflow.backmap import backmap as work

    stop = Stop()
    command = shlex.join(["fokker", *sys.argv[1:]])
    with told(stop, command if "--resume" in command else f"{command} --resume"):
        with Bar() as bar:
            result = work(
                run,
                Files(frames, out, tuple(trajectory or ()), topology),
                minimise=minimise,
                resume=resume,
                overwrite=overwrite,
                stop=stop,
                on_progress=lambda done, total: bar.show("rebuilding", done, total),
                on_message=console.print,
            )
        console.print(_table(result))
        own = result["rebuilt"]
        if own["bond_outliers_of_beads"] or own["mirrored_of_beads"]:
            console.print(
                f"of these the beads themselves had {own['bond_outliers_of_beads']:.3f} bond "
                f"outliers a frame, and the wrong hand in {own['mirrored_of_beads']:.2%} of the "
                "frames: faults of the model."
            )
        for key, what in _LISTED.items():
            if result[key]:
                console.print(f"{len(result[key]):,} frames {what}, from 0: {_few(result[key])}")
        each = result["seconds"] / max(1, result["frames"])
        console.print(f"atoms: {result['file']}, {each:.3f} s a frame; {result['topology']}")


_LISTED = {
    "failed": "hold no structure and have no atoms",
    "not_minimised": "could not be minimised and stay as they were joined",
    "broken_bonds": "have a bond of a wrong length",
    "mirrored": "have a chiral centre of the wrong hand",
}


def _table(result: dict[str, Any]) -> Table:
    table = Table(title="atoms", show_edge=False)
    for name in ("", "frames", "bond outliers a frame", "clashes a frame", "chirality kept"):
        table.add_column(name, justify="right" if name else "left")
    for kind in ("training", "rebuilt"):
        row = result[kind]
        cells = [
            "-" if row[key] is None else f"{row[key]:{form}}"
            for key, form in (
                ("bond_outliers", ".3f"),
                ("clashes", ".3f"),
                ("chirality_kept", ".2%"),
            )
        ]
        table.add_row("data" if kind == "training" else kind, f"{row['frames']:,}", *cells)
    return table


def _few(numbers: list[int], most: int = 8) -> str:
    return ", ".join(map(str, numbers[:most])) + (", ..." if len(numbers) > most else "")
