"""A run with random weights on alanine dipeptide, for tests of other simulation programs.

The network adds a random function to springs that have the statistics of the data, so the molecule
holds together, and every weight counts.
"""

import dataclasses
from pathlib import Path

import numpy as np

import fokker
from fokker.config import Config
from fokker.dataset.frames import prepare
from fokker.dataset.source import load_trajectory
from fokker.dataset.subject import describe, start_frames
from fokker.metrics import GeometryLimits
from fokker.model import Mixture, ScoreModel
from fokker.run.folder import RunFolder
from fokker.run.loaded import LoadedRun, save_config
from fokker.runtime import checkpoint
from fokker.training import inference_group
from fokker.training.schedule import initial_model
from tests.helpers.tools import randomise

NETWORK = {"name": "invariant", "width": 24, "depth": 2, "springs": "fitted", "potentials": 4}


EXPERT = {"interval": [0.0, 1.0], "kind": "energy", "network": NETWORK}


def make_run(out: Path, config: Config | None = None) -> Path:
    """Write the run folder that training would, without the training."""
    config = config or fokker.preset("alanine-dipeptide", "diffusion", {"experts": [EXPERT]})
    trajectory = load_trajectory(config)
    system = trajectory.system
    dataset = prepare(trajectory.positions[::10], system)
    limits = GeometryLimits.from_frames(system, dataset.scaling.invert(dataset.training))
    model = initial_model(config, system, dataset.training)
    model = randomise(model, scale=0.25)
    folder = RunFolder(out)
    out.mkdir(parents=True)
    save_config(folder, config)
    checkpoint.save(
        folder.checkpoint,
        1,
        {"model": inference_group(model, start_frames(dataset))},
        {**describe(config, system, dataset, limits), "progress": {"stage": 1}},
    )
    return out


def without_energy(loaded: LoadedRun) -> LoadedRun:
    """The same run with a model that has a score only."""
    expert = loaded.model.experts[0]
    score = ScoreModel(expert.network, expert.process, True)
    return dataclasses.replace(loaded, model=Mixture((score,), (0.0, 1.0)))


def start_positions(loaded: LoadedRun, n: int, seed: int = 0) -> np.ndarray:
    """Random training frames, nm, shape (n, beads, 3)."""
    rows = np.random.default_rng(seed).choice(len(loaded.start_frames), n, replace=False)
    return loaded.scaling.invert(loaded.start_frames[rows])
