"""The row no model can beat: our integrator on the true potential, with the same counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ..config import Config
from ..dataset.source import dataset_of, load_reference, load_trajectory
from ..dynamics import BlockResult
from ..dynamics import simulate as integrate
from ..metrics import GeometryLimits
from ..metrics import evaluate as compare_sets
from ..model.force import Broken
from ..potential import MuellerBrown, bimodal_1d, bimodal_2d
from ..run.folder import RunFolder, write_atomically
from ..workflow.sample import SAMPLING_STREAM, SIMULATION_STREAM
from .numbers import keep

NAME = "reference dynamics"

POTENTIALS: dict[str, Callable[[float], Any]] = {
    "mueller-brown": lambda kT: MuellerBrown(kT),
    "mixture-1d": lambda _: bimodal_1d(),
    "mixture-2d": lambda _: bimodal_2d(),
}
"""True potential of a toy system at its kT; each can also be sampled exactly."""


def run_reference(cell: Path, config: Config, show: Callable[[str, int, int, str], None]) -> None:
    """Exact samples and true dynamics of a toy system, evaluated like a model's.

    Parameters
    ----------
    cell
        Folder for `metrics.json`, `run.json` and `cell.json`.
    config
        Counts, integrator and seed; its experts are not read.
    show
        Told a label, units done, units in total and a note.
    """
    trajectory = load_trajectory(config)
    system, dataset = trajectory.system, dataset_of(config, trajectory)
    training = trajectory.positions[dataset.training_index]
    potential = POTENTIALS[config.system.name](system.kT)
    key, options = jax.random.key(config.seed), config.simulation
    sampling_key, simulation_key = (
        jax.random.fold_in(key, stream) for stream in (SAMPLING_STREAM, SIMULATION_STREAM)
    )
    began = time.monotonic()
    exact = np.asarray(potential.sample(sampling_key, config.sampling.n), np.float32)
    sampled = time.monotonic()
    blocks: list[Float[np.ndarray, "frames beads dim"]] = []

    def on_block(block: BlockResult) -> None:
        blocks.append(block.frames.reshape(-1, *block.frames.shape[2:]))
        show(NAME, block.step, options.steps, "")

    rows = np.random.default_rng(config.seed).choice(len(training), options.chains)
    state = integrate(
        options.integrator.build(system.masses, system.kT),
        potential.force,
        training[rows],
        simulation_key,
        n_steps=options.steps,
        stride=options.stride,
        centred=system.centred,
        on_block=on_block,
        is_broken=Broken.create(system, GeometryLimits.from_frames(system, training)),
    )
    seconds = time.monotonic() - sampled
    held_out = load_reference(config, trajectory)
    tables = compare_sets(system, training, exact, np.concatenate(blocks), held_out)
    folder = RunFolder(cell)
    with folder.locked():
        metrics = {"system": system.name, "method": NAME, **tables}
        write_atomically(folder.metrics, json.dumps(metrics, indent=1, allow_nan=False))
        folder.note(
            system=system.name,
            method=NAME,
            sampling={"n": config.sampling.n, "seconds": round(sampled - began, 2)},
            simulation={
                "chains": options.chains,
                "steps": options.steps,
                "steps_per_second": round(options.chains * options.steps / seconds, 1),
                "diverged": int(np.sum(np.asarray(state.stopped_at) >= 0)),
                "diverged_at": [],
            },
        )
    keep(cell)
