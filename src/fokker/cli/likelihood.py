"""`fokker likelihood`: the log density of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..runtime.interruption import Stop
from . import settings
from .display import console, told

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained run.")]
Frames = Annotated[
    Path, typer.Argument(metavar="FRAMES", help="Trajectory of the run's beads or its atoms.")
]


def likelihood(
    run: Run,
    frames: Frames,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="CSV file; default RUN/log-density.csv."),
    ] = None,
    particles: Annotated[
        int, typer.Option(min=2, help="Particles that the normalisation is estimated by.")
    ] = 8192,
    flow: Annotated[
        bool,
        typer.Option(
            "--flow",
            help="The density of the probability flow as well, as a check; slow, for small "
            "molecules.",
        ),
    ] = False,
    seed: settings.Seed = None,
    overwrite: settings.Overwrite = False,
) -> None:
    """Log density of each frame under the energy that the run simulates with.

    Normalised: the constant is estimated by annealed sampling, with its error. The unit is that of
    a density of D lengths, nm^-D, where D = 3 (beads - 1) for a molecule.
    """
    from ..workflow.likelihood import likelihood as work

    stop = Stop()
    with told(stop), stop.immediate():
        target = out or run / "log-density.csv"
        found = work(
            run,
            frames,
            out=target,
            particles=particles,
            flow=flow,
            seed=seed,
            overwrite=overwrite,
        )
        values = found.log_density
        console.print(
            f"log density of {len(values):,} frames: mean {np.mean(values):.3f}, from "
            f"{np.min(values):.3f} to {np.max(values):.3f}; all +- {found.error:.3f} by the "
            f"normalisation, {found.log_normalisation:.3f}, that {found.effective:,.0f} "
            "independent samples tell"
        )
        if found.flow is not None:
            apart = found.flow - values
            good = np.isfinite(apart)
            console.print(
                f"probability flow minus energy: median {np.median(apart[good]):.3f}, half of the "
                f"frames within {np.median(np.abs(apart[good] - np.median(apart[good]))):.3f}; "
                f"{int(np.sum(~good))} could not be followed"
            )
        console.print(f"written: {target}")
