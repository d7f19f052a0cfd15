"""What JS over its floor a perfect model has, and how near samples are beside independent MD.

    python benchmarks/accuracy/perfect.py RUN [RUN ...]

A ratio of 1 is not what a perfect model scores: bins that neither the training nor the reference
frames have visited are empty in every draw of the floor, not in new frames. Two answers, for each
run a JSON line:

- `perfect`: the model is taken for the truth (a parametric bootstrap). Of its own samples as many
  as there are training and reference frames stand for those, others for the samples of a model
  without error; mean and standard deviation, over the draws, of their JS over the floor.
- `beside_reference`: JS of the training frames with as many frames of the samples (`iid`) or the
  simulation (`sim`) as there are reference frames, over their JS with the reference frames, which
  is of independent molecular dynamics: 1 for a perfect model, without a floor or a truth. Mean over
  parts of the frames, its standard error and their number. Parts of a simulation share chains, so
  their error is too small, and that of the reference frames is in none. Not of fewer frames.

Histograms are periodic with bins shifted at random, the same for all, because where the bins lie
moves a JS by a per cent. Needs samples enough: 192,380 for counts of 120,000 of alanine dipeptide.
"""

from pathlib import Path

import numpy as np
from counts import COUNTS
from of_runs import files_of, frames_of, print_each

from fokker.metrics import compute, jensen_shannon, js_floor
from fokker.metrics.divergence import joint_bins, joint_size
from fokker.run.loaded import load_run
from fokker.workflow.evaluate import baseline_of

DRAWS = 24
SHIFTS = 8
PARTS = 16


class Plane:
    """Periodic histograms of the first two collective variables.

    As in the metrics, frames that failed are counted, in a bin of their own.
    """

    def __init__(self, variables, bins: int) -> None:
        self.variables = variables
        self.low, high = np.array([v.limits for v in variables]).T
        self.period, self.bins = high - self.low, bins
        self.edges = [np.linspace(*v.limits, bins + 1) for v in variables]

    def values(self, frames: np.ndarray) -> np.ndarray:
        """Both variables, shape (frames, 2)."""
        return np.stack([compute(variable, frames) for variable in self.variables], axis=1)

    def counts(self, values: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Frames in each bin, of bins shifted by so many bin widths."""
        moved = values - self.low + shift * self.period / self.bins
        moved = self.low + moved % self.period
        bins = joint_bins(moved, self.edges, ~np.isfinite(values).all(axis=1))
        return np.bincount(bins, minlength=joint_size(self.edges))


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


def beside_reference(plane: Plane, training, reference, evaluated) -> list | None:
    """Mean over parts and shifts, and standard error over the parts; None if there is no part."""
    rng = np.random.default_rng(0)
    n_parts = min(PARTS, len(evaluated) // len(reference))
    if not n_parts:
        return None
    parts = [evaluated[i::n_parts][: len(reference)] for i in range(n_parts)]
    js = np.zeros((SHIFTS, n_parts + 1))
    for row, shift in zip(js, rng.uniform(size=(SHIFTS, 2)), strict=True):
        own = plane.counts(training, shift)
        row[:] = [jensen_shannon(own, plane.counts(part, shift)) for part in (reference, *parts)]
    of_reference, *of_parts = js.mean(axis=0)
    ratios = np.array(of_parts) / of_reference
    error = float(np.std(ratios, ddof=1) / np.sqrt(n_parts)) if n_parts > 1 else None
    return [round(float(ratios.mean()), 3), error and round(error, 3), n_parts]


def measure(run: Path) -> dict:
    """Numbers of one run."""
    loaded = load_run(run)
    system = loaded.system
    plane = Plane(system.collective_variables[:2], system.histogram_bins)
    baseline = baseline_of(loaded)
    if baseline.reference is None:
        raise SystemExit(f"{run}: has no reference frames")
    training, reference = (plane.values(f) for f in (baseline.frames, baseline.reference))
    found: dict = {"run": run.name, "beside_reference": {}, "perfect": {}}
    for kind, file in files_of(loaded).items():
        if not file.exists():
            continue
        values = plane.values(frames_of(loaded, file))
        found["beside_reference"][kind] = beside_reference(plane, training, reference, values)
        if kind == "iid":
            sizes = len(training), len(reference)
            for n in COUNTS:
                if sum(sizes) + n <= len(values):
                    found["perfect"][str(n)] = of_perfect_model(plane, values, *sizes, n)
    return found


if __name__ == "__main__":
    print_each(__doc__, measure)
