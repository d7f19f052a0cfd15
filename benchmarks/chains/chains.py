"""Whether the chains that the package makes fold and unfold, and how long it takes to make them.

    python benchmarks/chains/chains.py OUT [CHAIN ...]

Writes OUT.json and OUT.png: for each chain the share of native contacts along some of its
simulations, its free energy, the folded fraction with its error, and how often a chain changes
state. A state is left only when the other one is reached (Q beyond the mean of that state), so
that fluctuations at the barrier are not counted. Data are those of the cache, made if need be.
"""

import json
import shlex
import sys
from pathlib import Path

import numpy as np

from fokker.chains import FOLDS, chain_file, manifest
from fokker.dataset.source import load_trajectory
from fokker.metrics import compute, folding_threshold, native_contacts, statistical_inefficiency
from fokker.workflow.preset import preset

SHOWN = 2


def changes(q: np.ndarray, threshold: float) -> int:
    """Folding and unfolding events of chains, shape (chains, frames)."""
    low, high = q[q < threshold].mean(), q[q >= threshold].mean()
    found = 0
    for chain in q:
        states = np.where(chain >= high, 1, np.where(chain <= low, -1, 0))
        found += int((np.diff(states[states != 0]) != 0).sum())
    return found


def measure(name: str) -> tuple[dict, np.ndarray]:
    """Numbers of one chain, and Q of shape (chains, frames)."""
    fold, trajectory = FOLDS[name], load_trajectory(preset(name))
    variable = native_contacts(trajectory.system)
    q = compute(variable, trajectory.positions).reshape(len(trajectory.lengths), -1)
    threshold = folding_threshold(q.ravel())
    inefficiency = statistical_inefficiency([chain[:, None] for chain in q])
    share = float((q > threshold).mean())
    made = manifest(chain_file(f"{name}/native.pdb"))
    dynamics = fold.dynamics
    steps = dynamics.chains * (dynamics.equilibration + dynamics.frames * dynamics.stride)
    row = {
        "beads": trajectory.system.n_beads,
        "contacts": len(variable.values),
        "steps of all chains": steps,
        "seconds to make": made["seconds"],
        "microseconds a step, all processors": round(1e6 * made["seconds"] / steps, 2),
        "training chains": len(q),
        "training frames": q.size,
        "independent frames": round(q.size / inefficiency),
        "threshold": round(threshold, 3),
        "folded fraction": round(share, 3),
        "its error, over chains": round(float((q > threshold).mean(1).std() / len(q) ** 0.5), 3),
        "folded fraction of each chain": np.round((q > threshold).mean(axis=1), 2).tolist(),
        "changes of state": changes(q, threshold),
    }
    return row, q


def draw(path: Path, found: dict[str, tuple[dict, np.ndarray]]) -> None:
    """Q over time and its free energy, a row a chain."""
    from matplotlib.figure import Figure

    figure = Figure((10.0, 2.4 * len(found)), layout="constrained")
    grid = figure.subplots(len(found), 2, squeeze=False, width_ratios=[3.5, 1.0])
    for (left, right), (name, (row, q)) in zip(grid, found.items(), strict=True):
        dynamics = FOLDS[name].dynamics
        time = 1e-3 * dynamics.dt * dynamics.stride * np.arange(1, q.shape[1] + 1)
        for chain in q[:SHOWN]:
            left.plot(time, chain, linewidth=0.5)
        left.axhline(row["threshold"], color="black", linestyle="--", linewidth=0.8)
        left.set(title=f"{name}, {row['beads']} beads", xlabel="time (ns)", ylim=(0, 1.02))
        left.set_ylabel("native contacts")
        counts, edges = np.histogram(q, bins=40, range=(0.0, 1.0))
        with np.errstate(divide="ignore"):
            energy = -np.log(counts / counts.max())
        right.plot(energy, 0.5 * (edges[1:] + edges[:-1]), "k-")
        right.set(xlabel="free energy (kT)", ylim=(0, 1.02))
    figure.savefig(path, dpi=90)


def main() -> None:
    """Measure and write."""
    out, *chosen = sys.argv[1:]
    found = {name: measure(name) for name in chosen or FOLDS}
    result = {
        "command": shlex.join(["python", "benchmarks/chains/chains.py", *sys.argv[1:]]),
        "chains": {name: row for name, (row, _) in found.items()},
    }
    text = json.dumps(result, indent=1)
    print(text)
    Path(f"{out}.json").write_text(text + "\n")
    draw(Path(f"{out}.png"), found)


if __name__ == "__main__":
    main()
