"""How near each residue is to trajectories never trained on.

    python benchmarks/accuracy/residues.py RUN REFERENCE [REFERENCE ...] [-n 20000] [--out FILE]

For the training frames, the samples and the simulation of a run prints a JSON line: of every
residue with both angles, JS of (phi, psi) over its floor and the share of phi > 0; the share of the
right chirality, of the worst centre; the range of bond spreads over the data's; failed frames.
Floors are of two independent sets of these sizes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from fokker.metrics import chirality, compute, evenly, failed_frames, jensen_shannon
from fokker.run.loaded import LoadedRun, load_run
from fokker.run.weights import read_weights
from fokker.trajectory import read_frames
from fokker.workflow.evaluate import baseline_of

EDGES = np.linspace(-np.pi, np.pi, 65)
DRAWS = 8


def residues(loaded: LoadedRun, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Phi and psi of the residues that have both, shape (2, frames)."""
    named = {cv.name: cv for cv in loaded.system.collective_variables}
    both = [name[4:] for name in named if name.startswith("phi ") and f"psi {name[4:]}" in named]
    return {
        residue: np.stack(
            [compute(named[f"{angle} {residue}"], frames) for angle in ("phi", "psi")]
        )
        for residue in both
    }


def counts(angles: np.ndarray) -> np.ndarray:
    """Histogram of two angles, flat."""
    return np.histogram2d(*angles, bins=(EDGES, EDGES))[0].ravel()


def floor(pooled: np.ndarray, sizes: tuple[int, int]) -> float:
    """Mean JS of two independent sets."""
    random, p = np.random.default_rng(0), pooled / pooled.sum()
    one, other = (random.multinomial(size, p, DRAWS) for size in sizes)
    return float(np.mean(jensen_shannon(one, other)))


def spreads(loaded: LoadedRun, frames: np.ndarray) -> np.ndarray:
    """Standard deviation of every bond, nm."""
    i, j = np.array(loaded.system.bonds).T
    return np.linalg.norm(frames[:, i] - frames[:, j], axis=-1).std(axis=0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("reference", type=Path, nargs="+")
    parser.add_argument("-n", type=int, default=20_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    loaded = load_run(given.run)
    baseline = baseline_of(loaded, given.reference)
    assert baseline.reference is not None
    reference = residues(loaded, baseline.reference)
    training = residues(loaded, baseline.frames)
    sets = {"training": baseline.frames}
    for name in ("samples.xtc", "simulation.xtc"):
        path = given.run / name
        if path.exists():
            found = read_frames(path, loaded.system, allow_failed=True)
            weights = read_weights(path, len(found))
            sets[name] = found if weights is None else found[evenly(weights)]
    rows: list[dict[str, Any]] = []
    for name, frames in sets.items():
        failed = failed_frames(loaded.system, frames, loaded.limits)
        kept = frames[~failed]
        kept = kept[np.linspace(0, len(kept) - 1, min(len(kept), given.n)).astype(int)]
        ratios, positive = {}, {}
        for residue, angles in residues(loaded, kept).items():
            pooled = counts(reference[residue]) + counts(training[residue])
            least = floor(pooled, (len(baseline.reference), len(kept)))
            found = jensen_shannon(counts(reference[residue]), counts(angles))
            ratios[residue] = round(float(found) / least, 2)
            positive[residue] = round(float((angles[0] > 0).mean()), 4)
        ratio = spreads(loaded, kept) / spreads(loaded, baseline.reference)
        right = chirality(loaded.system, baseline.frames, kept)
        rows.append(
            {
                "set": name,
                "frames": len(kept),
                "failed": int(failed.sum()),
                "js_over_floor": ratios,
                "phi_positive": positive,
                "right_chirality": round(min(right.values()), 5),
                "bond_spread": [round(float(ratio.min()), 2), round(float(ratio.max()), 2)],
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
