"""Metrics of a run: samples and simulation against training and reference frames."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..config import T_MIN, MoleculesOptions
from ..dataset.corpus import entries, read_entry
from ..dataset.frames import centre
from ..dataset.source import dataset_of, load_reference, load_trajectory
from ..errors import FokkerError
from ..metrics import evaluate as compare_sets
from ..model import AbstractEnergy
from ..objective import Noised, exact_residual
from ..process import AbstractProcess
from ..report import Chains, gather
from ..run.folder import write_atomically
from ..run.loaded import LoadedRun, load_run
from ..trajectory import read_frames, read_trajectory
from ..types import Features

RESIDUAL_PER_DECADE = 3
"""Times of the residual, whole powers of ten among them: the same whatever the experts' ranges."""
RESIDUAL_FRAMES = 512
RESIDUAL_SIZE = 12
"""Degrees of freedom, those of five beads, up to which there are so many."""
RESIDUAL_LEAST = 4
RESIDUAL_BATCH = 64

MOLECULES_RESIDUAL_PER_DECADE = 1
MOLECULES_RESIDUAL_FRAMES = 32
"""For each of many molecules: their networks are large, and D second derivatives a frame add up."""


def evaluate(
    run: Path,
    *,
    samples: Path | None = None,
    simulation: Path | None = None,
    reference: list[Path] | None = None,
    allow_cut: bool = False,
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
    on_message
        Told what is being done.
    on_note
        Told what is to be said of the files.

    Returns
    -------
    dict
        `iid` and `sim` against the training frames or a molecule's own; `against` says which and,
        of many molecules, what these were for: `training`, `validation` or `test`. `reference`:
        against the reference frames.
        `residual`: the Fokker-Planck residual against time.

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
    given = {name: path for name, path in files.items() if path is not None}
    if not given:
        raise FokkerError(
            f"{run}: neither samples nor a simulation here; run `fokker sample {run}` or "
            f"`fokker simulate {run}` first."
        )
    baseline = baseline_of(loaded, reference, allow_cut=allow_cut, on_note=on_note)
    sets = {}
    for name, path in given.items():
        on_message(f"reading {path}")
        sets[name] = read_frames(
            path, system, allow_failed=True, allow_cut=allow_cut, on_note=on_note
        )
    on_message("comparing distributions")
    simulated = loaded.folder.read_record().get("simulation", {})
    tables = compare_sets(
        system,
        baseline.frames,
        sets.get("iid"),
        sets.get("sim"),
        baseline.reference,
        sim_chains=(simulated.get("chains") or 1) if simulation is None else 1,
    )
    residual = residual_against_time(loaded, baseline.scaled, on_message)
    metrics = {
        "system": system.name,
        "method": loaded.config.method,
        "against": baseline.name,
        "files": {name: path.name for name, path in given.items()},
        **tables,
        "residual": residual,
        "temperature": simulated.get("temperature"),
        "diverged_chains": simulated.get("diverged"),
        "chains": simulated.get("chains"),
    }
    write_atomically(loaded.folder.metrics, json.dumps(metrics, indent=1, allow_nan=False))
    shown = {"data": baseline.frames, **sets}
    if baseline.reference is not None:
        shown["reference"] = baseline.reference
    relaxation = _if_exists(loaded.folder.path / "relaxation.json")
    plots = gather(
        system,
        shown,
        residual=residual,
        relaxation=json.loads(relaxation.read_bytes()) if relaxation else None,
        chains=_chains(simulated) if given.get("sim") == default_simulation else None,
    )
    write_atomically(loaded.folder.plots, json.dumps(plots, allow_nan=False))
    return metrics


@dataclass(frozen=True)
class Baseline:
    """Frames to compare with, nm and scaled, and others to compare with besides."""

    name: str
    frames: Float[np.ndarray, "frames beads dim"]
    scaled: Float[np.ndarray, "frames beads dim"]
    reference: Float[np.ndarray, "others beads dim"] | None


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
    return Baseline("training", frames, dataset.training, held_out)


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


def residual_against_time(
    loaded: LoadedRun,
    frames: Float[np.ndarray, "frames beads dim"],
    on_message: Callable[[str], None] = lambda _: None,
) -> dict[str, Any] | None:
    """Exact Fokker-Planck residual, R / D, of every conservative expert, on noised frames.

    Parameters
    ----------
    loaded
        The run.
    frames
        Scaled training frames.
    on_message
        Told the time that is next.

    Returns
    -------
    dict or None
        `t`, and the root mean square, the median magnitude and the mean of R / D at each, over the
        same frames; `not_finite`, the times at which it could not be computed. None if no expert
        has an energy or no time gave a number.
    """
    n_frames, per_decade = residual_frames(loaded.system.degrees_of_freedom), RESIDUAL_PER_DECADE
    if loaded.vocabulary is not None:
        n_frames, per_decade = MOLECULES_RESIDUAL_FRAMES, MOLECULES_RESIDUAL_PER_DECADE
    chosen = jnp.asarray(frames[:: max(1, len(frames) // n_frames)][:n_frames])
    process = loaded.config.process.build()
    rows: dict[str, list[float]] = {"t": [], "rms": [], "median": [], "mean": [], "not_finite": []}
    experts = [
        (expert, t)
        for index, expert in enumerate(loaded.model.experts)
        if isinstance(expert, AbstractEnergy)
        for t in residual_times(*loaded.model.interval(index), per_decade)
    ]
    for k, (expert, t) in enumerate(experts):
        on_message(f"Fokker-Planck residual at t = {t:.2g} ({k + 1} of {len(experts)})")
        found = np.asarray(
            _residuals(
                expert,
                process,
                chosen,
                jnp.asarray(t, jnp.float32),
                loaded.features,
                loaded.system.centred,
            ),
            np.float64,
        )
        found = found / loaded.system.degrees_of_freedom
        if not np.isfinite(found).all():
            rows["not_finite"].append(t)
            continue
        rows["t"].append(t)
        rows["rms"].append(float(np.sqrt(np.mean(found**2))))
        rows["median"].append(float(np.median(np.abs(found))))
        rows["mean"].append(float(found.mean()))
    if not rows["t"]:
        return None
    return {**rows, "frames": len(chosen), "unit": "R / D, per unit diffusion time"}


def residual_times(low: float, high: float, per_decade: int) -> list[float]:
    """Times of one grid that lie in an expert's range, and the two ends of the range.

    Methods whose experts differ are compared at the times that they share.
    """
    low, high = max(low, T_MIN), 0.999 * high
    decades = round(math.log10(1 / T_MIN))
    grid = [10.0 ** (k / per_decade - decades) for k in range(decades * per_decade)]
    near = 1e-6  # relative; an end that is on the grid is not taken twice
    inner = [t for t in grid if low * (1 + near) < t < high * (1 - near)]
    return [low, *inner, high]


def residual_frames(degrees_of_freedom: int) -> int:
    """Frames that the residual is averaged over: fewer of a large molecule.

    A frame takes as many second derivatives as there are degrees of freedom, each of an energy of
    all pairs: 512 frames of 28 beads took eight minutes of one core.
    """
    share = (RESIDUAL_SIZE / max(degrees_of_freedom, RESIDUAL_SIZE)) ** 1.5
    return max(RESIDUAL_LEAST, round(RESIDUAL_FRAMES * share))


@eqx.filter_jit
def _residuals(
    model: AbstractEnergy,
    process: AbstractProcess,
    frames: Float[Array, "frames beads dim"],
    t: Float[Array, ""],
    features: Features,
    centred: bool,
) -> Float[Array, " frames"]:
    def one(clean: Float[Array, "beads dim"], key: Array) -> Float[Array, ""]:
        noised = Noised.draw(clean, t[None], process, features, key, centred=centred)
        return exact_residual(model, process, noised.frames[0], t, features, centred=centred)

    keys = jax.random.split(jax.random.key(0), len(frames))
    # all at once, the derivatives along every coordinate of ten beads take gigabytes
    return jax.lax.map(lambda at: one(*at), (frames, keys), batch_size=RESIDUAL_BATCH)


def _chains(simulated: dict[str, Any]) -> Chains | None:
    """How the frames of the run's own simulation follow each other, if it was recorded."""
    try:
        interval = simulated["integrator"]["dt"] * simulated["stride"]
        return Chains(int(simulated["chains"]), float(interval))
    except (KeyError, TypeError):
        return None


def _if_exists(path: Path) -> Path | None:
    return path if path.exists() else None
