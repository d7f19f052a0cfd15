"""The commands."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .. import __version__
from ..errors import FokkerError
from ..runtime.interruption import Stop
from ..runtime.parallel import is_primary, start
from . import settings
from .backmap import EPILOG as BACKMAP_EPILOG
from .backmap import backmap
from .benchmark import EPILOG as BENCHMARK_EPILOG
from .benchmark import benchmark
from .display import console, told
from .export import OPENMM_EXAMPLE, WEIGHTS_EXAMPLE, export_openmm, export_weights
from .files import repeated
from .inspect import inspect
from .likelihood import likelihood
from .planning import settled
from .settings import configuration
from .work import (
    do_evaluate,
    do_relax,
    do_report,
    do_sample,
    do_simulate,
    do_summary,
    do_train,
    one_file,
    targets,
)

app = typer.Typer(
    name="fokker",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train one diffusion model on a molecular trajectory; draw equilibrium samples and run "
    "molecular dynamics with it.\n\n**Example:** `fokker run alanine-dipeptide --out runs/ala`",
)

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a trained model.")]
Quiet = Annotated[bool, typer.Option("--version", help="Show the version and end.", is_eager=True)]


@app.callback(invoke_without_command=True)
def version(show: Quiet = False) -> None:
    """Show the version."""
    if show:
        console.print(f"fokker {__version__}")
        raise typer.Exit


@app.command(epilog="**Example:** `fokker presets --show alanine-dipeptide --method both`")
def presets(
    show: Annotated[
        str | None, typer.Option(help="Print the whole configuration of this system.")
    ] = None,
    method: settings.Method = "fokker",
) -> None:
    """List systems and methods, or show a preset's configuration with every key."""
    from ..config.presets import combine, methods, systems, takes_files

    if show is not None:
        with told(_stop()):
            from ..config import parse, to_toml

            raw = combine(show, method)
            if takes_files(show):
                raw["system"] |= {"trajectory": ["md.xtc"], "topology": "md.pdb"}
            if raw["system"]["kind"] == "molecules":
                raw["system"] |= {"folder": "molecules"}
            if raw["system"]["kind"] != "toy":
                raw["system"].setdefault("temperature", 300.0)
            sys.stdout.write(to_toml(parse(raw, show)))
        return
    for title, found in (("Systems", systems()), ("Methods", methods())):
        table = Table(title=title, title_justify="left", show_header=False, box=None)
        for name, text in found.items():
            table.add_row(f"[bold]{name}[/]", text)
        console.print(table)


@app.command(
    epilog="**Examples:** `fokker train alanine-dipeptide --out runs/ala`; your own molecule: "
    "`fokker train molecule -f md.xtc -p md.pdb --select 'not element H' --temperature 300 "
    "-o runs/mine`",
)
def train(
    system: settings.System,
    out: settings.Out,
    method: settings.Method = "fokker",
    config: settings.File = None,
    change: settings.Changes = None,
    effort: settings.Effort = None,
    budget: settings.Budget = None,
    seed: settings.Seed = None,
    trajectory: settings.TrajectoryFiles = None,
    topology: settings.Topology = None,
    select: settings.Select = None,
    temperature: settings.Temperature = None,
    stride: settings.Stride = None,
    frame_time: settings.FrameTime = None,
    allow_cut: settings.AllowCut = None,
    mapping: settings.BeadMapping = None,
    variables: settings.Variables = None,
    folder: settings.Folder = None,
    validation: settings.Validation = None,
    test: settings.Test = None,
    forces: settings.Forces = None,
    weights: settings.Weights = None,
    log_weights: settings.LogWeights = None,
    bias: settings.FrameBias = None,
    pretrained: settings.Pretrained = None,
    resume: settings.Resume = False,
    devices: settings.Devices = None,
) -> None:
    """Train a model into a run folder.

    The folder then holds `config.toml`, `checkpoint/`, `training.jsonl` and `topology.pdb`. Ctrl-C
    saves and ends; the same command with `--resume` continues.
    """
    stop = _stop()
    with told(stop, _again()):
        _join(devices)
        at = partial(
            configuration,
            system,
            method,
            file=config,
            changes=change,
            seed=seed,
            trajectory=trajectory,
            topology=topology,
            select=select,
            temperature=temperature,
            stride=stride,
            frame_time=frame_time,
            allow_cut=allow_cut,
            mapping=mapping,
            variables=variables,
            folder=folder,
            validation=validation,
            test=test,
            forces=forces,
            weights=weights,
            log_weights=log_weights,
            bias=bias,
            pretrained=pretrained,
        )
        chosen = settled(lambda e: at(effort=e), effort, budget, out, resume, stop)
        do_train(chosen, out, resume, stop)


@app.command(
    epilog="**Example:** `fokker sample runs/ala -n 20000 -o samples.xtc`",
)
def sample(
    run: RunPath,
    topology: settings.NewMolecule = None,
    n: Annotated[int | None, typer.Option("-n", min=1, help="Number of samples.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="XTC, DCD or NPY; default RUN/samples.xtc.")
    ] = None,
    sampler: settings.Sampler = None,
    bias: settings.Bias = None,
    center: settings.Center = None,
    k: settings.Stiffness = None,
    change: settings.Changes = None,
    seed: settings.Seed = None,
    resume: settings.Resume = False,
    overwrite: settings.Overwrite = False,
) -> None:
    """Draw independent equilibrium samples.

    `--sampler annealed` draws from the very density that the simulation has, at some more cost, and
    says how many independent samples they are worth. With `--bias` it draws near a value of a
    collective variable; `NAME.weights.npy` beside the samples leads back to equilibrium.

    Keys for `--set` are those of the `sampling` table, with or without its name, for example
    `-s sampler.steps=60` or `-s sampling.sampler.name=euler-maruyama`.
    """
    stop = _stop()
    with told(stop, _again()):
        change = settings.sampling_changes(sampler, bias, center, k) + list(change or ())
        folders = targets(run, topology)
        one_file(out, folders)
        for folder in folders:
            do_sample(folder, n, out, change, seed, resume, overwrite, stop)


@app.command(
    epilog="**Examples:** `fokker simulate runs/ala --chains 100 --steps 50000 --stride 50 "
    "-o sim.xtc`; from one structure: `fokker simulate runs/ala --start start.pdb -o sim.xtc`"
)
def simulate(
    run: RunPath,
    topology: settings.NewMolecule = None,
    chains: Annotated[int | None, typer.Option(min=1, help="Chains side by side.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each chain.")] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Steps between stored frames.")] = None,
    start: Annotated[
        str | None,
        typer.Option(help="training, samples, or the path of one structure for all chains."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="XTC, DCD or NPY; default RUN/simulation.xtc."),
    ] = None,
    change: settings.Changes = None,
    seed: settings.Seed = None,
    resume: settings.Resume = False,
    overwrite: settings.Overwrite = False,
    devices: settings.Devices = None,
) -> None:
    """Run Langevin dynamics with the model's force.

    The trajectory holds all chains at the first stored time, then all at the second, and so on.
    Keys for `--set` are those of the `simulation` table, with or without its name, for example
    `-s integrator.dt=0.004` or `-s simulation.t=1e-4`.
    """
    stop = _stop()
    with told(stop, _again()):
        _join(devices)
        flags = {"chains": chains, "steps": steps, "stride": stride, "start": start}
        folders = targets(run, topology)
        one_file(out, folders)
        for folder in folders:
            do_simulate(folder, flags, out, change, seed, resume, overwrite, stop)


@app.command(epilog="**Example:** `fokker evaluate runs/ala --reference other.dcd`")
def evaluate(
    run: RunPath,
    topology: settings.NewMolecule = None,
    samples: Annotated[
        Path | None, typer.Option(help="Independent samples; default RUN/samples.xtc.")
    ] = None,
    simulation: Annotated[
        Path | None, typer.Option(help="Simulation frames; default RUN/simulation.xtc.")
    ] = None,
    reference: settings.Reference = None,
    frame_time: settings.FrameTime = None,
    allow_cut: settings.AllowCut = None,
) -> None:
    """Compare samples and simulation with the training (and reference) frames.

    Writes `metrics.json`: JS, PMF error, bond and angle distances, each with its floor (what a
    perfect model would score at these counts), and the fraction of failed frames. With
    --frame-time, here or in training, also the timescales of both and the speed-up.
    """
    from ..run.molecule import is_many

    stop = _stop()
    with told(stop, _command()), stop.immediate():
        folders = targets(run, topology)
        if len(folders) > 1 and (samples or simulation or reference or frame_time):
            raise FokkerError(
                f"{run}: these files are of one molecule; name it with --topology, or give its "
                "folder."
            )
        for folder in folders:
            do_evaluate(folder, samples, simulation, reference, bool(allow_cut), frame_time)
        if topology is None and is_many(run):
            do_summary(run, folders)


app.command(
    epilog="**Example:** `fokker likelihood runs/ala md.xtc -o log-density.csv`",
)(likelihood)

app.command(
    epilog="**Example:** `fokker inspect molecule -f md.xtc -p md.pdb --temperature 300`",
)(inspect)


@app.command(epilog="**Example:** `fokker report runs/ala`, then open runs/ala/report.html")
def report(run: RunPath, topology: settings.NewMolecule = None) -> None:
    """Write one self-contained HTML page about a run."""
    stop = _stop()
    with told(stop, _command()), stop.immediate():
        for folder in targets(run, topology):
            do_report(folder)


@app.command(
    epilog="**Examples:** `fokker run alanine-dipeptide --out runs/ala`; in half an hour of "
    "training: `fokker run alanine-dipeptide --budget 30m --out runs/ala`",
)
def run(
    system: settings.System,
    out: settings.Out,
    method: settings.Method = "fokker",
    config: settings.File = None,
    change: settings.Changes = None,
    effort: settings.Effort = None,
    budget: settings.Budget = None,
    seed: settings.Seed = None,
    trajectory: settings.TrajectoryFiles = None,
    topology: settings.Topology = None,
    select: settings.Select = None,
    temperature: settings.Temperature = None,
    stride: settings.Stride = None,
    frame_time: settings.FrameTime = None,
    allow_cut: settings.AllowCut = None,
    mapping: settings.BeadMapping = None,
    variables: settings.Variables = None,
    folder: settings.Folder = None,
    validation: settings.Validation = None,
    test: settings.Test = None,
    forces: settings.Forces = None,
    weights: settings.Weights = None,
    log_weights: settings.LogWeights = None,
    bias: settings.FrameBias = None,
    pretrained: settings.Pretrained = None,
    reference: settings.Reference = None,
    resume: settings.Resume = False,
    devices: settings.Devices = None,
) -> None:
    """Train, sample, simulate, evaluate and report, in turn.

    Ctrl-C saves and ends; the same command with `--resume` continues where it was.
    """
    from ..run.folder import RunFolder
    from ..run.molecule import default_molecules, is_many

    stop = _stop()
    with told(stop, _again()):
        _join(devices)
        at = partial(
            configuration,
            system,
            method,
            file=config,
            changes=change,
            seed=seed,
            trajectory=trajectory,
            topology=topology,
            select=select,
            temperature=temperature,
            stride=stride,
            frame_time=frame_time,
            allow_cut=allow_cut,
            mapping=mapping,
            variables=variables,
            folder=folder,
            validation=validation,
            test=test,
            forces=forces,
            weights=weights,
            log_weights=log_weights,
            bias=bias,
            pretrained=pretrained,
        )
        chosen = settled(lambda e: at(effort=e), effort, budget, out, resume, stop)
        do_train(chosen, out, resume, stop)
        RunFolder(out).note(command=_command())
        several = is_many(out)
        folders = default_molecules(out) if several else (out,)
        for each in folders:
            record = RunFolder(each).read_record()
            if "sampling" not in record:
                do_sample(each, None, None, None, None, resume, resume, stop, chosen)
            if "simulation" not in record:
                do_simulate(each, {}, None, None, None, resume, resume, stop, chosen)
        if not is_primary():
            return
        with stop.immediate():
            for each in folders:
                if not several and not (out / "relaxation.json").exists():
                    do_relax(out)
                do_evaluate(each, None, None, reference, bool(allow_cut))
                do_report(each)
            if several and folders:
                do_summary(out, folders)


app.command(epilog=BACKMAP_EPILOG)(backmap)
app.command(epilog=BENCHMARK_EPILOG)(benchmark)
app.command("export-openmm", epilog=OPENMM_EXAMPLE)(export_openmm)
app.command("export-weights", epilog=WEIGHTS_EXAMPLE)(export_weights)


def _join(devices: int | None) -> None:
    """Set up devices and processes; process 0 alone shows progress."""
    start(devices)
    console.quiet = not is_primary()


def _stop() -> Stop:
    return Stop()


def _command() -> str:
    return shlex.join(["fokker", *sys.argv[1:]])


def _again() -> str:
    command = _command()
    return command if "--resume" in command else f"{command} --resume"


def main() -> None:
    """Entry point of the command `fokker`."""
    app(args=repeated(sys.argv[1:]))
