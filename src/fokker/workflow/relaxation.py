"""Relaxation from a single rare structure: dynamics have to find equilibrium by themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ..config import SimulationOptions
from ..dataset.source import dataset_of, load_trajectory
from ..dynamics import BlockResult
from ..dynamics import simulate as integrate
from ..metrics import compare, compute_all
from ..model.force import Broken
from ..run.folder import write_atomically
from ..run.loaded import load_run
from ..system import System

COARSE_BINS = 12
WINDOWS = 10
FRAMES_PER_WINDOW = 20
MAX_STEPS = 100_000
"""Relaxation follows the chains for as long as the simulation, but no longer than this."""

RELAXATION_STREAM = 4


def rarest_frame(
    system: System, frames: Float[np.ndarray, "frames beads dim"]
) -> tuple[int, dict[str, float]]:
    """Frame in the least populated occupied cell of a coarse grid of the first two variables.

    Parameters
    ----------
    system
        Names the collective variables.
    frames
        Training frames, user units.

    Returns
    -------
    tuple
        Index of the frame, and its collective variables.
    """
    values = compute_all(system, frames)
    names = [variable.name for variable in system.collective_variables[:2]]
    if not names:
        return 0, {}
    plane = np.column_stack([values[name] for name in names])
    limits = [variable.limits for variable in system.collective_variables[:2]]
    cells = np.stack(
        [
            np.clip(((column - low) / (high - low) * COARSE_BINS).astype(int), 0, COARSE_BINS - 1)
            for column, (low, high) in zip(plane.T, limits, strict=True)
        ]
    )
    flat = np.ravel_multi_index(tuple(cells), (COARSE_BINS,) * len(names))
    counts = np.bincount(flat, minlength=COARSE_BINS ** len(names))
    index = int(np.argmin(counts[flat]))
    return index, {name: float(values[name][index]) for name in names}


def relax(
    run: Path,
    *,
    options: SimulationOptions | None = None,
    seed: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Simulate all chains from one rare structure and follow the distance to equilibrium.

    A short simulation that starts at equilibrium proves little. Here the JS of the chains, window
    of time by window of time, starts high and has to fall to its floor.

    Parameters
    ----------
    run
        Folder of a trained run; `relaxation.json` is written into it.
    options, seed
        By default those of the configuration.
    on_progress
        Told steps done and in total.

    Returns
    -------
    dict
        `time` (middle of each window), `js_data` and `js` with their floors, mean of each
        collective variable.
    """
    loaded = load_run(run)
    options = options or loaded.config.simulation
    seed = loaded.config.seed if seed is None else seed
    system = loaded.system
    trajectory = load_trajectory(loaded.config, system)
    dataset = dataset_of(loaded.config, trajectory)
    index, weights = dataset.training_index, dataset.weights
    training = trajectory.positions[index]
    place, where = rarest_frame(system, training[dataset.drawn])
    row = int(dataset.drawn[place])
    per_window = FRAMES_PER_WINDOW
    stride = max(1, min(options.steps, MAX_STEPS) // (WINDOWS * per_window))
    n_steps = stride * WINDOWS * per_window
    blocks: list[np.ndarray] = []

    def on_block(block: BlockResult) -> None:
        blocks.extend(block.frames)
        on_progress(len(blocks) * stride, n_steps)

    integrate(
        options.integrator.build(system.masses, system.kT),
        loaded.force(options.t),
        np.repeat(training[row : row + 1], options.chains, axis=0),
        jax.random.fold_in(jax.random.key(seed), RELAXATION_STREAM),
        n_steps=n_steps,
        stride=stride,
        centred=system.centred,
        on_block=on_block,
        is_broken=Broken.create(system, loaded.limits),
    )
    windows = np.split(np.stack(blocks), WINDOWS)
    tables = [
        compare(system, training, np.concatenate(frames), training_weights=weights)
        for frames in windows
    ]
    window = stride * per_window * options.integrator.dt
    variables = [variable.name for variable in system.collective_variables[:2]]
    result = {
        "start": "frame "
        + str(int(index[row]))
        + " of the training trajectory, "
        + ", ".join(f"{name} = {value:.2f}" for name, value in where.items()),
        "unit": "ps" if system.dim == 3 else "time",
        "chains": options.chains,
        "time": [window * (i + 0.5) for i in range(len(tables))],
        "js_data": [table["js_data"] for table in tables],
        "js_data_floor": float(np.mean([table["js_data_floor"] for table in tables])),
        "js": [table["js"] for table in tables],
        "js_floor": float(np.mean([table["js_floor"] for table in tables])),
        "failed_fraction": float(np.mean([table["failed_fraction"] for table in tables])),
        "curves": {
            f"mean {name}": [table["collective_variables"][name]["mean"] for table in tables]
            for name in variables
        },
        "targets": {
            f"mean {name}": tables[0]["collective_variables"][name]["training_mean"]
            for name in variables
        },
    }
    write_atomically(loaded.folder.path / "relaxation.json", json.dumps(result, indent=1))
    return result
