"""What JS over its floor a perfect model has, and how near samples are beside independent MD.

    python benchmarks/perfect.py RUN [RUN ...]

A ratio of 1 is not what a perfect model scores: bins that neither the training nor the reference
frames have visited are empty in every draw of the floor, not in new frames. Two answers, for each
run a JSON line:

- `perfect`: the model is taken for the truth (a parametric bootstrap). Of its own samples as many
  as there are training and reference frames stand for those, others for the samples of a model
  without error; mean and standard deviation, over the draws, of their JS over the floor.
- `beside_reference`: JS of the training frames with as many frames of the samples (`iid`) or the
  simulation (`sim`) as there are reference frames, over their JS with the reference frames, which
  is of independent molecular dynamics. Mean over parts of the frames, and its standard error as
  far as they go, 1 for a perfect model. It needs no floor, nor a truth.

Histograms are periodic with bins shifted at random, the same for all, because where the bins lie
moves a JS by a per cent. Needs samples enough: 192,380 for counts of 120,000 of alanine dipeptide.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from fokker.metrics import compute, jensen_shannon, js_floor
from fokker.trajectory import read_frames
from fokker.workflow.evaluate import baseline_of
from fokker.workflow.loaded import load_run

COUNTS = (20_000, 50_000, 120_000)
DRAWS = 24
SHIFTS = 8
PARTS = 16


class Plane:
    """Periodic histograms of the first two collective variables."""

    def __init__(self, variables, bins: int) -> None:
        self.variables, self.bins = variables, bins
        self.low = np.array([v.limits[0] for v in variables])
        self.width = np.array([v.limits[1] - v.limits[0] for v in variables]) / bins

    def values(self, frames: np.ndarray) -> np.ndarray:
        """Both variables of finite frames, shape (frames, 2)."""
        frames = frames[np.isfinite(frames).all(axis=(1, 2))]
        return np.stack([compute(variable, frames) for variable in self.variables], axis=1)

    def counts(self, values: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Frames in each bin, of bins shifted by so many bin widths."""
        cell = np.floor((values - self.low) / self.width + shift).astype(int) % self.bins
        return np.bincount(cell @ [self.bins, 1], minlength=self.bins**2)


def of_perfect_model(plane: Plane, samples, n_training: int, n_reference: int, n: int) -> list:
    """Mean and standard deviation of JS over floor."""
    rng = np.random.default_rng(0)
    ratios = []
    for draw in range(DRAWS):
        chosen = samples[rng.permutation(len(samples))[: n_training + n_reference + n]]
        shift = rng.uniform(size=2)
        parts = np.split(chosen, [n_training, n_training + n_reference])
        training, reference, evaluated = (plane.counts(part, shift) for part in parts)
        floor = js_floor(training + reference, n_training, n, draws=32, seed=draw)
        ratios.append(float(jensen_shannon(training, evaluated)) / floor.mean)
    return [round(float(np.mean(ratios)), 3), round(float(np.std(ratios)), 3)]


def beside_reference(plane: Plane, training, reference, evaluated) -> list:
    """Mean over parts and shifts, and standard error over the parts."""
    rng = np.random.default_rng(0)
    n_parts = min(PARTS, len(evaluated) // len(reference))
    parts = [evaluated[i::n_parts][: len(reference)] for i in range(n_parts)]
    js = np.zeros((SHIFTS, n_parts + 1))
    for row, shift in zip(js, rng.uniform(size=(SHIFTS, 2)), strict=True):
        own = plane.counts(training, shift)
        row[:] = [jensen_shannon(own, plane.counts(part, shift)) for part in (reference, *parts)]
    of_reference, *of_parts = js.mean(axis=0)
    ratios = np.array(of_parts) / of_reference
    error = np.std(ratios, ddof=1) / np.sqrt(n_parts) if n_parts > 1 else np.nan
    return [round(float(ratios.mean()), 3), round(float(error), 3), n_parts]


def measure(run: Path) -> dict:
    """Numbers of one run."""
    loaded = load_run(run)
    system, folder = loaded.system, loaded.folder
    plane = Plane(system.collective_variables[:2], system.histogram_bins)
    baseline = baseline_of(loaded)
    if baseline.reference is None:
        raise SystemExit(f"{run}: has no reference frames")
    training, reference = (plane.values(f) for f in (baseline.frames, baseline.reference))
    found: dict = {"run": run.name, "beside_reference": {}, "perfect": {}}
    for kind, file in (("iid", folder.samples(system)), ("sim", folder.simulation(system))):
        if file.exists():
            values = plane.values(read_frames(file, system, allow_failed=True))
            found["beside_reference"][kind] = beside_reference(plane, training, reference, values)
        if kind == "iid":
            sizes = len(training), len(reference)
            for n in COUNTS:
                if sum(sizes) + n <= len(values):
                    found["perfect"][str(n)] = of_perfect_model(plane, values, *sizes, n)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args().runs:
        print(json.dumps(measure(run)), flush=True)


if __name__ == "__main__":
    main()
