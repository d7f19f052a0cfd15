"""Whether annealed samples and the simulation of one model agree, and at what cost.

    python benchmarks/accuracy/annealed.py RUN [RUN ...]

For each run one JSON line. Both samplers draw as many samples as the run has frames of its
simulation. `js` is between samples and simulation, in the plane of the metrics; `floor` is that of
two draws of both together, of as many frames as they are worth: annealed samples by ancestors,
those of dpm-solver and of the simulation all, which makes the floor too low for correlated frames.
A ratio near 1 means that the two do not differ. Seconds and evaluations are of one process.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from of_runs import files_of, frames_of, print_each

from fokker.metrics import compute, jensen_shannon, js_floor
from fokker.metrics.divergence import joint_bins, joint_size
from fokker.run.loaded import LoadedRun, load_run
from fokker.sampler import (
    AnnealedOptions,
    DPMSolverOptions,
    EnergyPath,
    ReverseProcess,
    generate,
    generate_weighted,
)
from fokker.workflow.islands import pooled, row_of

BATCH = 4096


def histogram(loaded: LoadedRun, frames: np.ndarray) -> np.ndarray:
    """Frames in each bin of the plane."""
    plane = loaded.system.collective_variables[:2]
    values = np.stack([compute(variable, frames) for variable in plane], axis=1)
    edges = [np.linspace(*v.limits, loaded.system.histogram_bins + 1) for v in plane]
    bins = joint_bins(values, edges, ~np.isfinite(values).all(axis=1))
    return np.bincount(bins, minlength=joint_size(edges))


def draw(loaded: LoadedRun, n: int, *, annealed: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """Samples, nm, with what they took and what they are worth."""
    system, process = loaded.system, loaded.config.process.build()
    how: dict[str, Any] = {
        "n": n,
        "shape": (system.n_beads, system.dim),
        "key": jax.random.key(11),
        "batch_size": min(n, BATCH),
    }
    began = time.monotonic()
    if annealed:
        features = jax.tree.map(jnp.asarray, loaded.features)
        sampler = AnnealedOptions().build()
        reverse = ReverseProcess(loaded.model, process, features, system.centred)
        path = EnergyPath.of(reverse, sampler.t_min)
        steps = len(sampler.plan(path, how["shape"], how["key"]).curvature)
        islands = list(generate_weighted(sampler, path, **how))
        frames = np.concatenate([island.frames for island in islands])
        worth = pooled([row_of(island) for island in islands])
    else:
        sampler = DPMSolverOptions(steps=50, eta=1.0).build()
        stream = generate(
            sampler, loaded.model, process, loaded.features, centred=system.centred, **how
        )
        frames, steps, worth = np.concatenate(list(stream)), 50, {"effective": float(n)}
    seconds = time.monotonic() - began
    return loaded.scaling.invert(frames), {"evaluations": steps, "seconds": seconds, **worth}


def compare(run: Path) -> dict[str, Any]:
    """Compare both samplers of a run with its simulation."""
    loaded = load_run(run)
    simulation = frames_of(loaded, files_of(loaded)["sim"])
    of_simulation = histogram(loaded, simulation)
    found: dict[str, Any] = {"run": run.name, "frames": len(simulation)}
    for name in ("dpm-solver", "annealed"):
        frames, facts = draw(loaded, len(simulation), annealed=name == "annealed")
        own = histogram(loaded, frames)
        js = float(jensen_shannon(own, of_simulation))
        counts = len(simulation), round(facts["effective"])
        floor = float(js_floor(own + of_simulation, *counts).mean)
        found[name] = {"js": js, "floor": floor, "ratio": js / floor, **facts}
    return found


if __name__ == "__main__":
    print_each(__doc__, compare)
