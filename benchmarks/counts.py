"""JS of samples and simulation over its floor, at several counts of frames.

    python benchmarks/counts.py RUN [RUN ...]

The floor falls with the count and the error of a model does not, so a ratio says little without it.
For each run prints a JSON line: of `samples.xtc` (`iid`) and `simulation.xtc` (`sim`) the mean over
parts of the frames, spread evenly over all of them, of JS, its floor and their ratio.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from fokker.metrics import compare
from fokker.trajectory import read_frames
from fokker.workflow.evaluate import Baseline, baseline_of
from fokker.workflow.loaded import LoadedRun, load_run

COUNTS = (20_000, 50_000, 120_000)
PARTS = 4
"""Most parts that are averaged over."""


def at_count(loaded: LoadedRun, baseline: Baseline, frames: np.ndarray, n: int) -> dict:
    """Means over parts of n frames."""
    parts = len(frames) // n
    keys = ("js", "js_floor", "js_ratio")
    rows = []
    for part in range(min(PARTS, parts)):
        chosen = frames[part::parts][:n]
        found = compare(loaded.system, baseline.frames, chosen, reference_frames=baseline.reference)
        rows.append([found[key] for key in keys])
    return dict(zip(keys, np.mean(rows, axis=0).round(4).tolist(), strict=True))


def measure(run: Path) -> dict:
    """Numbers of one run."""
    loaded = load_run(run)
    baseline = baseline_of(loaded)
    found: dict = {"run": run.name}
    for kind in ("iid", "sim"):
        folder, system = loaded.folder, loaded.system
        file = folder.samples(system) if kind == "iid" else folder.simulation(system)
        frames = read_frames(file, system, allow_failed=True)
        counts = [n for n in COUNTS if n <= len(frames)]
        found[kind] = {str(n): at_count(loaded, baseline, frames, n) for n in counts}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args().runs:
        print(json.dumps(measure(run)), flush=True)


if __name__ == "__main__":
    main()
