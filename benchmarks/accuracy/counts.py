"""JS of samples and simulation over its floor, at several counts of frames.

    python benchmarks/accuracy/counts.py RUN [RUN ...]

The floor falls with the count and the error of a model does not, so a ratio says little without it.
For each run prints a JSON line: of `samples.xtc` (`iid`) and `simulation.xtc` (`sim`) the mean over
parts of the frames, spread evenly over all of them, of JS (`js_data`), its floor and their ratio.
"""

from pathlib import Path

import numpy as np
from of_runs import files_of, frames_of, print_each

from fokker.metrics import compare
from fokker.run.loaded import LoadedRun, load_run
from fokker.workflow.evaluate import Baseline, baseline_of

COUNTS = (20_000, 50_000, 120_000)
PARTS = 4
"""Most parts that are averaged over."""


def at_count(loaded: LoadedRun, baseline: Baseline, frames: np.ndarray, n: int) -> dict:
    """Means over parts of n frames."""
    parts = len(frames) // n
    keys = ("js_data", "js_data_floor", "js_data_ratio")
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
    for kind, file in files_of(loaded).items():
        frames = frames_of(loaded, file)
        counts = [n for n in COUNTS if n <= len(frames)]
        found[kind] = {str(n): at_count(loaded, baseline, frames, n) for n in counts}
    return found


if __name__ == "__main__":
    print_each(__doc__, measure)
