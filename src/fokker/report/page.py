"""The page: one HTML file that needs nothing beside it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from ..errors import FokkerError
from . import contacts, content, figures, formats, kinetics, sketch
from .reading import read_config, read_json, read_training
from .records import Comparison, Metrics, Plots, Run, TrainingStep
from .scene import policy, scene
from .style import Picture, file_names, pretty
from .torsions import torsion_table

FIGURE_NAMES = (
    "surfaces",
    "profiles",
    "states",
    "bonds",
    "angles",
    "training",
    "residual",
    "relaxation",
    "folding",
    "contacts",
    "timescales",
    "chapman-kolmogorov",
)


def write_report(run: Path) -> Path:
    """Write `report.html` and `figures/` of a run folder from its saved results.

    Parameters
    ----------
    run
        Folder with `metrics.json` and, as far as there are, `run.json`, `plots.json`,
        `training.jsonl` and `config.toml`. What is missing is said on the page.

    Returns
    -------
    Path
        The page. It is the same, byte for byte, for the same results.

    Raises
    ------
    FokkerError
        If there is no `metrics.json`, if a file is corrupt, or if the page cannot be written.
    """
    metrics = read_json(run / "metrics.json", Metrics)
    if metrics is None:
        raise FokkerError(f"{run}: no metrics.json here; run `fokker evaluate {run}` first.")
    record = read_json(run / "run.json", Run) or Run()
    plots = read_json(run / "plots.json", Plots)
    # one of many molecules, whose model is that of the run it belongs to
    home = run.parent.parent if (run / "molecule.json").exists() else run
    steps = read_training(home / "training.jsonl")
    config = read_config(home / "config.toml")
    pictures = _pictures(metrics, plots, steps)
    page = render(run.resolve().name, metrics, record, plots, steps, config, pictures)
    target = run / "report.html"
    try:
        _write_figures(run / "figures", pictures)
        _write(target, page.encode("utf-8"))
    except OSError as error:
        raise FokkerError(
            f"{target}: could not be written ({error.strerror}); free some space or permissions "
            f"and run `fokker report {run}` again."
        ) from error
    return target


def render(
    name: str,
    metrics: Metrics,
    run: Run,
    plots: Plots | None,
    steps: list[TrainingStep],
    config: str | None,
    pictures: dict[str, Picture],
) -> str:
    """Text of the page.

    Parameters
    ----------
    name
        Of the run.
    metrics, run, plots, steps, config
        What was read from the run folder.
    pictures
        Figures by name.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fokker.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        formats.number,
        formats.whole,
        formats.measured,
        formats.ratio,
        formats.percent,
        formats.duration,
        kinetics.timespan,
        content.level,
        pretty,
    ):
        environment.filters[function.__name__] = function
    moving = scene(plots)
    return environment.get_template("template.html.j2").render(
        name=name,
        policy=policy(moving),
        scene=moving,
        title=run.system or (plots.system if plots else None) or name,
        metrics=metrics,
        run=run,
        plots=plots,
        config=config,
        pictures=pictures,
        verdict=content.verdict(metrics, run),
        tiles=content.tiles(metrics, run, steps),
        temperature=content.temperature_tile(run),
        tables=content.tables(metrics, plots),
        torsions=torsion_table(metrics),
        kinetics=kinetics.rows(metrics),
        chirality=content.chirality(metrics),
        chirality_sets=content.set_names(metrics),
        comparisons=_comparisons(metrics),
        data_name=_DATA.get(metrics.against or "", "training frames"),
        unseen=metrics.against in _DATA or metrics.reference is not None,
        ended=[step for step in steps if step.ended is not None],
    )


def _pictures(
    metrics: Metrics, plots: Plots | None, steps: list[TrainingStep]
) -> dict[str, Picture]:
    drawn = [figures.training_curves(steps), contacts.folded_fraction(metrics, plots)]
    drawn += [kinetics.implied_timescales(metrics), kinetics.chapman_kolmogorov(metrics)]
    if plots is not None:
        drawn += [
            figures.free_energy_surfaces(plots),
            figures.free_energy_profiles(plots),
            sketch.states(plots),
            figures.bond_distributions(plots),
            figures.angle_distributions(plots),
            figures.fokker_planck_residual(plots),
            figures.relaxation(plots),
            contacts.contact_maps(plots),
        ]
    return {picture.name: picture for picture in drawn if picture is not None}


_DATA = {
    "test": "molecule's own frames",
    "validation": "molecule's own frames",
    "unseen": "molecule's own frames",
    "given": "frames given",
}
"""What was never trained on and yet stands in the place of the training frames."""


def _comparisons(metrics: Metrics) -> list[tuple[str, list[tuple[str, Comparison | None]]]]:
    """Rows of the table of metrics, grouped by what they are compared with."""
    data = _DATA.get(metrics.against or "")
    name = f"the {data}, never trained on" if data else "the training frames"
    if metrics.against == "validation":
        name += ", which chose the weights"
    groups = [(name, [("iid samples", metrics.iid), ("simulation", metrics.sim)])]
    held_out = metrics.reference
    if held_out is not None:
        rows = [
            ("training frames", held_out.training),
            ("iid samples", held_out.iid),
            ("simulation", held_out.sim),
        ]
        groups.append(("reference frames, never trained on", rows))
    return groups


def _write_figures(folder: Path, pictures: dict[str, Picture]) -> None:
    folder.mkdir(exist_ok=True)
    files = {file: data for picture in pictures.values() for file, data in picture.files.items()}
    for file, data in files.items():
        _write(folder / file, data)
    # A figure of an earlier report would contradict a page that says there is none.
    for name in FIGURE_NAMES:
        for file in file_names(name):
            if file not in files:
                (folder / file).unlink(missing_ok=True)


def _write(target: Path, data: bytes) -> None:
    """Replace a file at once: a reader sees the old one or the new one."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
