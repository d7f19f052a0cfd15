"""JS above that of a perfect model, without a floor and without bias, from few large bins to many.

    python benchmarks/accuracy/excess.py RUN [RUN ...]

To second order `JS = 1/8 sum (p - q)^2 / m`. Training and reference frames, and two halves of the
model's frames, give two independent pairs of histograms, and the mean of `(p_1 - q_1)(p_2 - q_2)`
over the noise of all is `(p - q)^2`: zero for a perfect model, and now and then below it. A model
that repeats a share `a` of its training frames is judged too well by it, by `a (1 - a)` of the
noise of those.

For each run prints a JSON line, of its samples (`iid`) and of its simulation (`sim`): by the bins
an axis, the mean over shifts of the bins, in units of 1e-4. Halves of a simulation are of chains.
"""

from pathlib import Path

import numpy as np
from of_runs import files_of, frames_of, print_each
from perfect import Plane

from fokker.run.loaded import load_run
from fokker.workflow.evaluate import baseline_of

BINS = (4, 8, 16, 32, 64)
SHIFTS = 6


def excess(plane: Plane, data: tuple, halves: tuple) -> float:
    """Mean over shifts of the bins."""
    rng = np.random.default_rng(0)
    found = []
    for shift in rng.uniform(size=(SHIFTS, 2)):
        counts = [plane.counts(values, shift) for values in (*data, *halves)]
        p_1, p_2, q_1, q_2 = (one / one.sum() for one in counts)
        pooled = counts[0] + counts[1]
        m = 0.5 * pooled / pooled.sum() + 0.25 * (q_1 + q_2)
        seen = m > 0
        found.append(0.125 * np.sum(((p_1 - q_1) * (p_2 - q_2))[seen] / m[seen]))
    return float(np.mean(found))


def measure(run: Path) -> dict:
    """Numbers of one run."""
    loaded = load_run(run)
    baseline = baseline_of(loaded)
    if baseline.reference is None:
        raise SystemExit(f"{run}: has no reference frames")
    found: dict = {"run": run.name}
    for kind, file in files_of(loaded).items():
        if not file.exists():
            continue
        frames = frames_of(loaded, file)
        chains = (
            len(frames) if kind == "iid" else loaded.folder.read_record()["simulation"]["chains"]
        )
        half = np.arange(len(frames)) % chains % 2
        planes = [Plane(loaded.system.collective_variables[:2], bins) for bins in BINS]
        data = tuple(planes[0].values(f) for f in (baseline.frames, baseline.reference))
        halves = tuple(planes[0].values(frames[half == i]) for i in (0, 1))
        found[kind] = {str(p.bins): round(1e4 * excess(p, data, halves), 2) for p in planes}
    return found


if __name__ == "__main__":
    print_each(__doc__, measure)
