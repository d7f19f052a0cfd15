"""What the commands do once their options are known: the work, with a bar and a last line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..errors import FokkerError
from ..runtime.interruption import Stop
from .display import (
    Bar,
    console,
    few_chains,
    metrics_table,
    molecules_table,
    monitor,
    worst_torsions,
)


def targets(run: Path, topology: Path | None) -> tuple[Path, ...]:
    """Folders that a command is for: of the molecule given, of all it is judged by, or RUN."""
    from ..run.loaded import unfinished
    from ..run.molecule import default_molecules, is_many, molecule

    if topology is not None:
        found = (molecule(run, topology),)
    elif not is_many(run):
        found = (run,)
    else:
        found = default_molecules(run)
    if not found:
        raise FokkerError(f"{run}: has no test or validation molecules; name one with --topology.")
    if (so_far := unfinished(run)) is not None:
        console.print(f"note: {run}: {so_far}")
    return found


def one_file(out: Path | None, folders: tuple[Path, ...]) -> None:
    """Refuse one file for several molecules."""
    if out is not None and len(folders) > 1:
        raise FokkerError(
            f"{out}: one file for {len(folders)} molecules; name one with --topology, or leave out "
            "--out."
        )


def do_train(config: Any, out: Path, resume: bool, stop: Stop) -> None:
    """Train, with a bar."""
    from ..workflow.train import train as work

    do_make_data(config, stop)
    stages = [
        f"{config.name_of(i)}, t in [{e.interval[0]:g}, {e.interval[1]:g}]"
        for i, e in enumerate(config.experts)
    ]
    stages += [
        f"{config.name_of(i)}, t = {config.simulation.t:g}"
        for i in range(len(stages), config.n_stages)
    ]
    began = time.monotonic()
    with Bar() as bar:
        work(
            config,
            out,
            resume=resume,
            stop=stop,
            on_progress=lambda p: bar.show(
                stages[p.stage],
                p.step,
                p.n_steps,
                "  ".join(f"{name} {value:.4f}" for name, value in p.terms.items()),
            ),
            on_message=console.print,
        )
    console.print(f"trained in {time.monotonic() - began:,.0f} s: {out}")


def do_make_data(config: Any, stop: Stop) -> None:
    """Make generated data that are not there yet, with a bar."""
    from ..dataset.generated import make_data

    with Bar() as bar, stop.immediate():
        make_data(config, bar.show)


def do_sample(
    run: Path,
    n: int | None,
    out: Path | None,
    change: list[str] | None,
    seed: int | None,
    resume: bool,
    overwrite: bool,
    stop: Stop,
    config: Any = None,
) -> None:
    """Draw samples, with a bar; settings are those of the configuration, by default the run's."""
    from ..run.molecule import run_config
    from ..workflow.sample import sample as work

    options = _changed(config or run_config(run), "sampling", change, {"n": n})
    notes: list[str] = []
    with Bar() as bar:
        target = work(
            run,
            n=n,
            out=out,
            options=options,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            stop=stop,
            on_progress=lambda done, total: bar.show("sampling", done, total),
            on_note=notes.append,
        )
    console.print(f"samples: {target}")
    for note in notes:
        console.print(note)


def do_simulate(
    run: Path,
    flags: dict[str, Any],
    out: Path | None,
    change: list[str] | None,
    seed: int | None,
    resume: bool,
    overwrite: bool,
    stop: Stop,
    config: Any = None,
) -> None:
    """Simulate, with a bar; settings are those of the configuration, by default the run's."""
    from ..run.molecule import run_config
    from ..workflow.simulate import simulate as work

    options = _changed(config or run_config(run), "simulation", change, flags)
    with Bar() as bar:
        record = work(
            run,
            options=options,
            out=out,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            stop=stop,
            on_progress=lambda p: bar.show(
                f"simulating {options.chains} chains",
                p.step,
                p.n_steps,
                monitor(p),
            ),
        )
    if not record["conservative"]:
        console.print("note: the force is not the gradient of an energy; expect a drift.")
    speed = record["steps_per_second"]
    console.print(
        f"simulation: {record['chains']} chains x {record['steps']:,} steps from "
        f"{record['start']}; {speed or 0:,.0f} chain-steps/s, {record['diverged']} diverged"
    )


def do_evaluate(
    run: Path,
    samples: Path | None,
    simulation: Path | None,
    reference: list[Path] | None,
    allow_cut: bool = False,
    frame_time: str | None = None,
) -> None:
    """Evaluate and show the table."""
    from ..workflow.evaluate import evaluate as work

    with console.status("evaluating") as status:
        metrics = work(
            run,
            samples=samples,
            simulation=simulation,
            reference=reference,
            allow_cut=allow_cut,
            frame_time=frame_time,
            on_message=lambda text: status.update(text),
            on_note=lambda text: console.print(f"note: {text}"),
        )
    console.print(metrics_table(metrics))
    for line in worst_torsions(metrics):
        console.print(line)
    if note := few_chains(metrics):
        console.print(note)
    console.print(f"metrics: {run / 'metrics.json'}")


def do_summary(run: Path, folders: tuple[Path, ...]) -> None:
    """Show all molecules of a run in one table, with their mean."""
    from ..workflow.summary import summarise

    console.print(molecules_table(summarise(run, folders)))
    console.print(f"molecules: {run / 'molecules.json'}")


def do_relax(run: Path) -> None:
    """Simulate from a single rare structure, with a bar."""
    from ..workflow.relaxation import relax

    with Bar() as bar:
        relax(
            run,
            on_progress=lambda done, n: bar.show("relaxation from a rare structure", done, n),
        )


def do_report(run: Path) -> None:
    """Write the report."""
    from ..report import write_report

    with console.status("drawing the report"):
        page = write_report(run)
    console.print(f"report: {page}")


def _changed(config: Any, section: str, change: list[str] | None, flags: dict[str, Any]) -> Any:
    """Options of one section with `--set` and flags put in; keys may begin with the section."""
    from ..config import changed
    from ..config.presets import assignment, merge

    values = getattr(config, section).model_dump(mode="json")
    for text in change or ():
        values = merge(values, assignment(text.removeprefix(f"{section}.")))
    given = {key: value for key, value in flags.items() if value is not None}
    return changed(config, section, merge(values, given))
