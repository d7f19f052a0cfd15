"""Commands that take a trained run to other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..runtime.interruption import Stop
from . import settings
from .display import console, told

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a trained model.")]

OPENMM_EXAMPLE = (
    "**Example:** `fokker export-openmm runs/ala -o ala-openmm`, then "
    "`python ala-openmm/simulate.py`"
)
WEIGHTS_EXAMPLE = "**Example:** `fokker export-weights runs/ala -o weights.safetensors`"


def export_openmm(
    run: RunPath,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder, made if need be.")],
    overwrite: settings.Overwrite = False,
) -> None:
    """Write a folder from which OpenMM simulates.

    It holds `topology.pdb`, `start.pdb` and `simulate.py`, a script to run or to change. The script
    reads the model from RUN and needs OpenMM: `pip install 'fokker[openmm]'`.
    """
    from ..adapters.openmm_script import export_openmm as work

    with told(Stop()):
        work(run, out, overwrite=overwrite, on_message=console.print)
        console.print(f"ready: python {out / 'simulate.py'}")


def export_weights(
    run: RunPath,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .safetensors file.")],
    overwrite: settings.Overwrite = False,
) -> None:
    """Write the weights as safetensors, for other frameworks.

    The file also holds, as JSON, all that a forward pass needs: process, scale, time and networks.
    `fokker.adapters.weights` documents the layout and the equations.
    """
    from ..adapters.weights import export_weights as work

    with told(Stop()):
        work(run, out, overwrite=overwrite)
        console.print(f"weights: {out}")
