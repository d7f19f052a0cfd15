"""Folded fraction of a chain along its simulation, beside that of the frames it was trained on.

    python benchmarks/chains/folded.py RUN [RUN ...] [--simulation NAME]

For each run prints a JSON line: the folded fraction of the training frames with its standard error
over their chains, that of the samples, of ten equal parts of the simulation (`simulation.xtc`, or
another file of the run), and of its second half with its standard error over chains. Fractions are
of the frames that did not fail; `failed` is the share of samples and simulation that did.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from fokker.dataset.source import load_trajectory
from fokker.metrics import (
    compute,
    failed_frames,
    folding_threshold,
    mark_failed,
    native_contacts,
)
from fokker.run.loaded import load_run
from fokker.trajectory import read_frames


def with_error(folded: np.ndarray) -> list[float]:
    """Mean and standard error of an array of shape (frames, chains), NaN in frames that failed."""
    of_chains = np.nanmean(folded[:, np.isfinite(folded).any(axis=0)], axis=0)
    return [round(float(of_chains.mean()), 3), round(float(error(of_chains)), 3)]


def error(of_chains: np.ndarray) -> float:
    """Standard error of the mean."""
    return of_chains.std(ddof=1) / len(of_chains) ** 0.5


def measure(run: Path, simulation: str) -> dict:
    """Numbers of one run."""
    loaded = load_run(run)
    trajectory = load_trajectory(loaded.config)
    variable = native_contacts(trajectory.system)
    q = np.asarray(compute(variable, trajectory.positions))
    threshold = folding_threshold(q)
    n_chains = json.loads((run / "run.json").read_bytes())["simulation"]["chains"]

    def folded(name: str) -> np.ndarray:
        frames = read_frames(run / name, loaded.system, allow_failed=True)
        failed = failed_frames(loaded.system, frames, loaded.limits)
        values = compute(variable, mark_failed(frames, failed))
        return np.where(np.isnan(values), np.nan, values > threshold)

    samples, along = folded("samples.xtc"), folded(simulation).reshape(-1, n_chains)
    return {
        "run": run.name,
        "training": with_error((q > threshold).reshape(len(trajectory.lengths), -1).T),
        "samples": round(float(np.nanmean(samples)), 3),
        "tenths": [round(float(np.nanmean(part)), 3) for part in np.array_split(along, 10)],
        "failed": [round(float(np.isnan(part).mean()), 4) for part in (samples, along)],
        "second half": with_error(along[len(along) // 2 :]),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--simulation", default="simulation.xtc")
    given = parser.parse_args()
    for run in given.runs:
        print(json.dumps(measure(run, given.simulation)), flush=True)


if __name__ == "__main__":
    main()
