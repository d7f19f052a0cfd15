"""Time per optimiser step of every stage, measured before anything is trained."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import jax
import jax.numpy as jnp

from ..config import Config
from ..dataset.subject import Subject, load_subject
from ..run.folder import write_atomically
from ..training.block import MAX_BLOCK, run_block
from ..training.schedule import Stages, initial_model
from .plan import read_json

ROUNDS = 4
SECONDS = 0.4
"""Aimed length of one measurement."""


def steps_factor(config: Config, seconds_per_step: dict[str, float], budget: float) -> float:
    """Multiple of the configured steps that takes so many seconds."""
    stages = filter(config.steps_of, range(config.n_stages))
    planned = sum(config.steps_of(i) * seconds_per_step[key_of(config, i)] for i in stages)
    return budget / planned


def calibrate(
    configs: Iterable[Config], file: Path, say: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Seconds per step of every stage of every configuration, by `key_of`.

    Stages take turns and the least of their times counts, so that other work on the machine
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
    known: dict[str, float] = read_json(file)
    steppers: dict[str, _Stepper] = {}
    data: dict[str, Subject] = {}
    for config in configs:
        of = config.system.model_dump_json()
        for index in filter(config.steps_of, range(config.n_stages)):
            key = key_of(config, index)
            if key not in known and key not in steppers:
                say(f"measuring the step of {config.method}, {config.name_of(index)}")
                if of not in data:
                    data[of] = load_subject(config)
                steppers[key] = _Stepper(config, index, data[of])
    for _ in range(ROUNDS):
        for stepper in steppers.values():
            stepper.measure()
    known |= {key: stepper.best for key, stepper in steppers.items()}
    write_atomically(file, json.dumps(known, indent=1))
    return known


def key_of(config: Config, stage: int) -> str:
    """Name of everything that sets the cost of a step of a stage."""
    simulating = stage >= len(config.experts)
    expert = config.experts[config.simulating_expert if simulating else stage]
    dumped = expert.model_dump(mode="json")
    del dumped["training"]["steps"]
    if simulating:
        name = config.name_of(stage)
        free = {"steps"} if name == "refinement" else {"rounds"}
        options = getattr(config, name).model_dump(mode="json", exclude=free)
        integrator = config.simulation.integrator.model_dump(mode="json")
        dumped |= {name: options, "integrator": integrator}
    return hashlib.sha256(json.dumps(dumped, sort_keys=True).encode()).hexdigest()[:16]


class _Stepper:
    """One stage, compiled, ready to be timed."""

    def __init__(self, config: Config, index: int, subject: Subject):
        dataset = subject.dataset
        inputs = None if dataset.molecules is None else dataset.molecules.inputs
        model = initial_model(config, subject.system, dataset.alike, inputs)
        job = Stages(config, subject).create(index, model)
        self.stage, self.state, self.pool = job.stage, job.state, job.pool
        kinds = self.stage.kinds_of_steps
        self.lengths, self.least = [2] * len(kinds), [float("inf")] * len(kinds)
        for kind, _ in enumerate(kinds):
            self._run(kind)
            self.lengths[kind] = min(MAX_BLOCK, max(2, round(SECONDS / self._run(kind))))

    def measure(self) -> None:
        self.least = [min(old, self._run(kind)) for kind, old in enumerate(self.least)]

    @property
    def best(self) -> float:
        """Seconds per step, the mean over its kinds by their shares."""
        kinds = self.stage.kinds_of_steps
        return sum(share * own for (_, share), own in zip(kinds, self.least, strict=True))

    def _run(self, kind: int) -> float:
        """Seconds per step of one block of steps of a kind."""
        length, (first, _) = self.lengths[kind], self.stage.kinds_of_steps[kind]
        state = dataclasses.replace(self.state, step=jnp.asarray(first, jnp.int32))
        began = time.monotonic()
        self.state, _ = run_block(self.stage, state, self.pool, length)
        jax.block_until_ready(self.state.step)
        return (time.monotonic() - began) / length
