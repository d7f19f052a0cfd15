"""One cell: train, sample, simulate and evaluate one method with one seed; resumable."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..config import T_MIN, Config, SimulationOptions
from ..dataset.subject import NO_START_FRAMES
from ..metrics import compare, judged_js
from ..run.folder import RunFolder
from ..run.loaded import load_run, save_config
from ..run.molecule import choosing_molecules, default_molecules
from ..run.weights import weights_file
from ..runtime import checkpoint
from ..runtime.interruption import Interrupted, Stop
from ..training import inference_group
from ..trajectory import read_frames
from ..workflow.evaluate import baseline_of, evaluate
from ..workflow.sample import sample
from ..workflow.simulate import simulate
from ..workflow.summary import summarise
from ..workflow.train import train
from .numbers import judged, keep

Show = Callable[[str, int, int, str], None]
"""Told a label, units done, units in total and a note."""

SCAN_TIMES = (0.002, 0.005, 0.01, 0.02, 0.04)
"""Evaluation times tried for a force at t > 0."""

SCAN_SHARE = 5
"""A trial simulates this part of the steps."""


def run_cell(
    cell: Path, config: Config, *, shared: Path | None, stop: Stop | None, show: Show
) -> None:
    """Do what is left to do of a cell.

    Parameters
    ----------
    cell
        Its run folder.
    config
        Its configuration.
    shared
        Finished cell whose weights (and, if drawn alike, samples) are these; None trains.
    stop, show
        For a display.

    Raises
    ------
    Interrupted
        If stopped; the same call continues.
    """
    folder = RunFolder(cell)
    if shared is None:
        _train(cell, config, stop, show)
    elif not folder.checkpoint.is_dir():
        _adopt(folder, config, RunFolder(shared))
    molecules = default_molecules(cell)
    for target in molecules or (cell,):
        _check(stop)
        if shared is not None:
            _take_samples(RunFolder(target), RunFolder(shared / target.relative_to(cell)))
        _sample(target, stop, show)
    options = config.simulation
    if options.t > T_MIN:
        options = _scan(choosing_molecules(cell) or (cell,), options, stop, show)
    for target in molecules or (cell,):
        _check(stop)
        _use(target, options, stop, show)
    if molecules:
        summarise(cell, molecules)
    keep(cell)


def _sample(target: Path, stop: Stop | None, show: Show) -> None:
    """Samples of one molecule, or of the only one, where there are none."""
    if "sampling" not in RunFolder(target).read_record():
        sample(
            target,
            resume=True,
            overwrite=True,
            stop=stop,
            on_progress=lambda done, n: show(f"samples{_of(target)}", done, n, ""),
        )


def _use(target: Path, options: SimulationOptions, stop: Stop | None, show: Show) -> None:
    """Simulate and evaluate: one molecule, or the only one."""
    if "simulation" not in RunFolder(target).read_record():
        _simulate(target, options, None, stop, show, f"simulation{_of(target)}")
    _check(stop)
    show(f"evaluation{_of(target)}", 0, 1, "")
    evaluate(target)


def _of(target: Path) -> str:
    return f" of {target.name}" if RunFolder(target).molecule.exists() else ""


def _train(cell: Path, config: Config, stop: Stop | None, show: Show) -> None:
    """Train, or continue training; a finished training is left as it is."""
    if RunFolder(cell).read_record().get("trained"):
        return
    train(
        config,
        cell,
        resume=True,
        stop=stop,
        on_progress=lambda p: show(
            f"training {p.stage + 1}/{p.n_stages}",
            p.step,
            p.n_steps,
            "  ".join(f"{name} {value:.4f}" for name, value in p.terms.items()),
        ),
    )
    RunFolder(cell).note(trained=True)


def _adopt(folder: RunFolder, config: Config, source: RunFolder) -> None:
    """Take over weights under another configuration."""
    loaded = load_run(judged(source.path)[0])  # of many molecules, any has the weights
    several = loaded.vocabulary is not None
    manifest = checkpoint.read_manifest(checkpoint.latest(source.checkpoint))
    metadata = {k: v for k, v in manifest.items() if k not in ("format", "version", "files")}
    metadata["config"] = config.model_dump(mode="json")
    record = source.read_record()
    with folder.locked():
        save_config(folder, config)
        shutil.copy2(source.training_log, folder.training_log)
        if source.topology.exists():
            shutil.copy2(source.topology, folder.topology)
        training = {**record["training"], "shared_with": source.path.name}
        folder.note(system=record["system"], method=config.method, training=training)
        start = NO_START_FRAMES if several else loaded.start_frames
        groups = {"model": inference_group(loaded.model, start)}
        checkpoint.save(folder.checkpoint, manifest["progress"]["counter"], groups, metadata)


def _take_samples(folder: RunFolder, source: RunFolder) -> None:
    """Copy the samples of the same weights, where they would be drawn alike."""
    if "sampling" in folder.read_record():
        return
    own, other = load_run(folder.path), load_run(source.path)
    if own.config.sampling == other.config.sampling:
        with folder.locked():
            samples = source.samples(other.system), folder.samples(own.system)
            shutil.copy2(*samples)
            weights = weights_file(samples[0])
            if weights.exists():
                shutil.copy2(weights, weights_file(samples[1]))
            folder.note(sampling=source.read_record()["sampling"])


def _simulate(
    cell: Path,
    options: SimulationOptions,
    out: Path | None,
    stop: Stop | None,
    show: Show,
    label: str,
) -> dict[str, Any]:
    return simulate(
        cell,
        options=options,
        out=out,
        resume=True,
        overwrite=True,
        stop=stop,
        on_progress=lambda p: show(label, p.step, p.n_steps, f"diverged {p.diverged}"),
    )


def _scan(
    targets: tuple[Path, ...], options: SimulationOptions, stop: Stop | None, show: Show
) -> SimulationOptions:
    """Simulation options with the evaluation time of least mean JS over molecules, or the only one.

    They are those that may choose, see `choosing_molecules`: a time chosen for each molecule that
    is judged would be part of the judgement.
    """
    found = []
    for target in targets:
        _sample(target, stop, show)
        found.append(_trials(target, options, stop, show))
    mean = {t: sum(tried[t] for tried in found) for t in found[0]}
    return options.model_copy(update={"t": float(min(mean, key=lambda t: mean[t]))})


def _trials(
    target: Path, options: SimulationOptions, stop: Stop | None, show: Show
) -> dict[str, float]:
    """JS of one molecule by evaluation time, by trials of a part of the steps."""
    folder, stride = RunFolder(target), options.stride
    steps = max(stride, options.steps // SCAN_SHARE // stride * stride)
    tried: dict[str, float] = folder.read_record().get("scan", {})
    loaded, data = load_run(target), None
    for t in SCAN_TIMES:
        if f"{t:g}" in tried:
            continue
        trial = options.model_copy(update={"t": t, "steps": steps})
        out = target / "scan.npy"
        for file in (out, out.with_name(f".{out.name}.restart")):
            shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
        _simulate(target, trial, out, stop, show, f"scan{_of(target)} t = {t:g}")
        data = data or baseline_of(loaded)
        found = read_frames(out, loaded.system, allow_failed=True)
        table = compare(loaded.system, data.frames, found, training_weights=data.weights)
        js = judged_js(table).js
        tried = {**tried, f"{t:g}": 1.0 if js is None else js}
        folder.note(scan=tried)
        out.unlink()
        shutil.rmtree(out.with_name(f".{out.name}.restart"), ignore_errors=True)
        _check(stop)
    return tried


def _check(stop: Stop | None) -> None:
    if stop is not None and stop():
        raise Interrupted
