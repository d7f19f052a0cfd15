"""Metrics of a run: samples and simulation against training and reference frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..config import MoleculesOptions
from ..dataset.corpus import entries, read_entry
from ..dataset.frames import centre
from ..dataset.source import dataset_of, load_reference, load_trajectory
from ..errors import FokkerError
from ..metrics import effective_number, evenly, plane_of
from ..metrics import evaluate as compare_sets
from ..report import Chains, gather
from ..run.folder import write_atomically
from ..run.loaded import LoadedRun, load_run
from ..run.weights import read_weights
from ..trajectory import Trajectory, read_frames, read_trajectory
from .kinetics import Interval, compare_kinetics
from .residual import residual_against_time


def evaluate(
    run: Path,
    *,
    samples: Path | None = None,
    simulation: Path | None = None,
    reference: list[Path] | None = None,
    allow_cut: bool = False,
    frame_time: str | None = None,
    on_message: Callable[[str], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compare, and write `metrics.json` and the data of the figures.

    Parameters
    ----------
    run
        Folder of a trained run.
    samples, simulation
        Trajectories to evaluate; by default those of the run folder, whichever exist.
    reference
        Independent frames, never trained on; by default those of the configuration.
    allow_cut
        Use the whole frames of files that end early.
    frame_time
        If the frames are dynamics: time between two of the files, such as 0.1ns, or `file`; by
        default that of the configuration, and no kinetics without one.
    on_message
        Told what is being done.
    on_note
        Told what is to be said of the files.

    Returns
    -------
    dict
        `iid` and `sim` against the training frames or a molecule's own; `against` says which and,
        of many molecules, what these were for: `training`, `validation` or `test`. `plane`: which
        variables span the plane of the metrics, and why. `reference`: against the reference frames.
        `residual`: the Fokker-Planck residual against time. `kinetics`: as from
        `fokker.metrics.kinetics`, or None without a time between frames.

    Raises
    ------
    FokkerError
        If there is nothing to evaluate or a file is bad.
    """
    loaded = load_run(run)
    system = loaded.system
    default_simulation = loaded.folder.simulation(system)
    files = {
        "iid": samples or _if_exists(loaded.folder.samples(system)),
        "sim": simulation or _if_exists(default_simulation),
    }
    interval = Interval.of(loaded.config.system, frame_time)
    given = {name: path for name, path in files.items() if path is not None}
    if not given:
        raise FokkerError(
            f"{run}: neither samples nor a simulation here; run `fokker sample {run}` or "
            f"`fokker simulate {run}` first."
        )
    baseline = baseline_of(loaded, reference, allow_cut=allow_cut, on_note=on_note)
    sets, worth = {}, 1.0
    for name, path in given.items():
        on_message(f"reading {path}")
        frames = read_frames(path, system, allow_failed=True, allow_cut=allow_cut, on_note=on_note)
        weights = read_weights(path, len(frames))
        sets[name] = frames if weights is None else frames[evenly(weights)]
        if name == "iid" and samples is None:
            worth = _worth(loaded, weights)
    on_message("comparing distributions")
    simulated = loaded.folder.read_record().get("simulation", {})
    tables = compare_sets(
        system,
        baseline.frames,
        sets.get("iid"),
        sets.get("sim"),
        baseline.reference,
        training_weights=baseline.weights,
        iid_worth=worth,
        sim_chains=(simulated.get("chains") or 1) if simulation is None else 1,
    )
    residual = residual_against_time(loaded, baseline.scaled, on_message)
    chains = _chains(simulated) if given.get("sim") == default_simulation else None
    compared = None
    if interval is not None:
        on_message("comparing kinetics")
        compared = compare_kinetics(interval, baseline.trajectory, sets.get("sim"), chains, on_note)
    metrics = {
        "system": system.name,
        "method": loaded.config.method,
        "against": baseline.name,
        "plane": plane_of(system),
        "files": {name: path.name for name, path in given.items()},
        **tables,
        "residual": residual,
        "sampling": loaded.folder.read_record().get("sampling") if samples is None else None,
        "kinetics": compared,
        "temperature": simulated.get("temperature"),
        "diverged_chains": simulated.get("diverged"),
        "chains": simulated.get("chains"),
    }
    write_atomically(loaded.folder.metrics, json.dumps(metrics, indent=1, allow_nan=False))
    shown = {"data": baseline.alike, **sets}
    if baseline.reference is not None:
        shown["reference"] = baseline.reference
    relaxation = _if_exists(loaded.folder.path / "relaxation.json")
    plots = gather(
        system,
        shown,
        residual=residual,
        relaxation=json.loads(relaxation.read_bytes()) if relaxation else None,
        chains=chains,
    )
    write_atomically(loaded.folder.plots, json.dumps(plots, allow_nan=False))
    return metrics


@dataclass(frozen=True)
class Baseline:
    """Frames to compare with, nm and scaled, and others to compare with besides.

    Attributes
    ----------
    name
        What the frames were for.
    frames, weights
        In nm, and what they count for; None if all count alike.
    scaled
        As many that count alike.
    reference
        Others, in nm, which count alike.
    trajectory
        All frames in order, of a run of one molecule.
    """

    name: str
    frames: Float[np.ndarray, "frames beads dim"]
    scaled: Float[np.ndarray, "frames beads dim"]
    reference: Float[np.ndarray, "others beads dim"] | None
    trajectory: Trajectory | None = None
    weights: Float[np.ndarray, " frames"] | None = None

    @property
    def alike(self) -> Float[np.ndarray, "frames beads dim"]:
        """As many frames that count alike, in nm."""
        return self.frames if self.weights is None else self.frames[evenly(self.weights)]


def baseline_of(
    loaded: LoadedRun,
    reference: list[Path] | None = None,
    *,
    allow_cut: bool = False,
    on_note: Callable[[str], None] = lambda _: None,
) -> Baseline:
    """Frames that a run is compared with: its training frames, or the molecule's own.

    Raises
    ------
    FokkerError
        On a bad file, or if a molecule has no frames.
    """
    how = _How(allow_cut, on_note)
    return _of_molecule(loaded, reference, how) or _of_training(loaded, reference, how)


class _How(NamedTuple):
    """How files are read."""

    allow_cut: bool
    on_note: Callable[[str], None]


def _of_training(loaded: LoadedRun, reference: list[Path] | None, how: _How) -> Baseline:
    trajectory = load_trajectory(loaded.config, loaded.system)
    dataset = dataset_of(loaded.config, trajectory, loaded.scaling)
    frames = trajectory.positions[dataset.training_index]
    held_out = load_reference(
        loaded.config, trajectory, reference, allow_cut=how.allow_cut, on_note=how.on_note
    )
    return Baseline("training", frames, dataset.alike, held_out, trajectory, dataset.weights)


def _of_molecule(loaded: LoadedRun, reference: list[Path] | None, how: _How) -> Baseline | None:
    """A molecule's own trajectory, if the run has many: the files given, or those of its entry.

    All frames of one that was never trained on; None if the run is of one molecule.
    """
    options, system = loaded.config.system, loaded.system
    if not isinstance(options, MoleculesOptions):
        return None
    if reference:
        name = "given"
        found = read_trajectory(reference, system, allow_cut=how.allow_cut)
        for note in found.notes:
            how.on_note(note)
        frames = found.positions
    else:
        known = entries(options)
        name = known.purpose(system.name)
        if name is None:
            raise FokkerError(
                f"{loaded.folder.path}: the run has no trajectory of {system.name!r} to compare "
                "with; give one with --reference."
            )
        entry = next(e for own in known for e in own if e.name == system.name)
        frames = read_entry(options, entry, system)[1]
    return Baseline(name, frames, loaded.scaling.apply(centre(frames)), None)


def _chains(simulated: dict[str, Any]) -> Chains | None:
    """How the frames of the run's own simulation follow each other, if it was recorded."""
    try:
        interval = simulated["integrator"]["dt"] * simulated["stride"]
        return Chains(int(simulated["chains"]), float(interval))
    except (KeyError, TypeError):
        return None


def _worth(loaded: LoadedRun, weights: Float[np.ndarray, " frames"] | None) -> float:
    """Share of the run's own samples that are independent; less than 1 of annealed ones."""
    sampling = loaded.folder.read_record().get("sampling", {})
    try:
        share = min(1.0, float(sampling["effective"]) / int(sampling["n"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 1.0
    return share if weights is None else share * effective_number(weights) / len(weights)


def _if_exists(path: Path) -> Path | None:
    return path if path.exists() else None
