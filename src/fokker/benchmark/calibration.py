"""Time per optimiser step of every expert, measured before anything is trained."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import jax

from ..config import Config, ExpertOptions, MoleculesOptions
from ..data import Dataset
from ..stage import MAX_BLOCK, Stage, run_block
from ..system import System
from ..training import (
    initial_model,
    labelled_frames,
    subjects,
    with_emphasis,
    with_rotation,
)
from ..workflow.folder import write_atomically
from ..workflow.molecules import load_corpus
from ..workflow.source import dataset_of, load_trajectory

ROUNDS = 4
SECONDS = 0.4
"""Aimed length of one measurement."""


def steps_factor(config: Config, seconds_per_step: dict[str, float], budget: float) -> float:
    """Multiple of the configured steps that takes so many seconds."""
    planned = sum(e.training.steps * seconds_per_step[expert_key(e)] for e in config.experts)
    return budget / planned


def calibrate(
    configs: Iterable[Config], file: Path, say: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Seconds per step of every expert of every configuration, by `expert_key`.

    Experts take turns and the least of their times counts, so that other work on the machine
    spoils none of them alone. Results are kept in a file, so that a benchmark that is continued
    sets the same steps.

    Parameters
    ----------
    configs
        All of one system.
    file
        JSON file of times already measured; it is extended.
    say
        Told what is measured.
    """
    known: dict[str, float] = json.loads(file.read_bytes()) if file.exists() else {}
    steppers: dict[str, _Stepper] = {}
    data: dict[str, tuple[System, Dataset]] = {}
    for config in configs:
        of = config.system.model_dump_json()
        for index, expert in enumerate(config.experts):
            key = expert_key(expert)
            if key not in known and key not in steppers:
                say(f"measuring the step of {config.method}, expert {index + 1}")
                if of not in data:
                    data[of] = _load(config)
                steppers[key] = _Stepper(config, index, *data[of])
    for _ in range(ROUNDS):
        for stepper in steppers.values():
            stepper.measure()
    known |= {key: stepper.best for key, stepper in steppers.items()}
    write_atomically(file, json.dumps(known, indent=1))
    return known


def expert_key(expert: ExpertOptions) -> str:
    """Name of everything that sets the cost of a step."""
    dumped = expert.model_dump(mode="json")
    del dumped["training"]["steps"]
    return hashlib.sha256(json.dumps(dumped, sort_keys=True).encode()).hexdigest()[:16]


def _load(config: Config) -> tuple[System, Dataset]:
    """What a configuration trains on; of many molecules, the largest stands for the system."""
    if isinstance(config.system, MoleculesOptions):
        corpus = load_corpus(config.system)
        return corpus.many.largest, corpus.dataset
    trajectory = load_trajectory(config)
    return trajectory.system, dataset_of(config, trajectory)


class _Stepper:
    """One expert, compiled, ready to be timed."""

    def __init__(self, config: Config, index: int, system: System, dataset: Dataset):
        expert, many = config.experts[index], dataset.many
        inputs = None if many is None else many.inputs
        features, molecules = subjects(system, many)
        self.pool = with_emphasis(dataset.pool, expert, system, dataset)
        self.stage, self.state = Stage.create(
            initial_model(config, system, dataset.training, inputs).experts[index],
            config.process.build(),
            features,
            expert.interval,
            with_rotation(expert, system),
            centred=system.centred,
            seed=0,
            molecules=molecules,
            labelled=labelled_frames(dataset),
        )
        self.length, self.best = 2, float("inf")
        self._run()
        self.length = min(MAX_BLOCK, max(2, round(SECONDS / self._run())))

    def measure(self) -> None:
        self.best = min(self.best, self._run())

    def _run(self) -> float:
        """Seconds per step of one block."""
        began = time.monotonic()
        self.state, _ = run_block(self.stage, self.state, self.pool, self.length)
        jax.block_until_ready(self.state.step)
        return (time.monotonic() - began) / self.length
