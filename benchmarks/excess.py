"""JS above that of a perfect model, without a floor and without bias, from few large bins to many.

    python benchmarks/excess.py RUN [RUN ...]

To second order `JS = 1/8 sum (p - q)^2 / m`. Training and reference frames, and two halves of the
model's frames, give two independent pairs of histograms, and the mean of `(p_1 - q_1)(p_2 - q_2)`
over the noise of all is `(p - q)^2`: zero for a perfect model, and now and then below it. A model
that repeats a share `a` of its training frames is judged too well by it, by `a (1 - a)` of the
noise of those.

For each run prints a JSON line for its samples and for its simulation: the mean over shifts of the
bins, in units of 1e-4. Halves of a simulation are of its chains.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from perfect import Plane

from fokker.trajectory import read_frames
from fokker.workflow.evaluate import baseline_of
from fokker.workflow.loaded import load_run

BINS = (4, 8, 16, 32, 64)
SHIFTS = 6


def excess(plane: Plane, data: tuple, halves: tuple) -> float:
    """Mean over shifts of the bins."""
    rng = np.random.default_rng(0)
    found = []
    for shift in rng.uniform(size=(SHIFTS, 2)):
        counts = [plane.counts(values, shift) for values in (*data, *halves)]
        p_1, p_2, q_1, q_2 = (one / one.sum() for one in counts)
        m = 0.5 * ((counts[0] + counts[1]) / (counts[0].sum() + counts[1].sum()))
        m = m + 0.25 * (q_1 + q_2)
        seen = m > 0
        found.append(0.125 * np.sum(((p_1 - q_1) * (p_2 - q_2))[seen] / m[seen]))
    return float(np.mean(found))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args().runs:
        loaded = load_run(run)
        system, folder = loaded.system, loaded.folder
        baseline = baseline_of(loaded)
        if baseline.reference is None:
            raise SystemExit(f"{run}: has no reference frames")
        for kind, file in (("iid", folder.samples(system)), ("sim", folder.simulation(system))):
            if not file.exists():
                continue
            frames = read_frames(file, system, allow_failed=True)
            half = np.arange(len(frames)) % 2  # samples are independent, chains alternate
            row: dict = {"run": run.name, "frames": kind}
            for bins in BINS:
                plane = Plane(system.collective_variables[:2], bins)
                data = tuple(plane.values(f) for f in (baseline.frames, baseline.reference))
                halves = tuple(plane.values(frames[half == i]) for i in (0, 1))
                row[str(bins)] = round(1e4 * excess(plane, data, halves), 2)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
