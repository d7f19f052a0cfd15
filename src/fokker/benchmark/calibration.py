"""Time per optimiser step of every stage, measured before anything is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from ..config import Config
from ..dataset.subject import Subject, load_subject
from ..run.folder import write_atomically
from ..training.speed import ROUNDS, Stepper
from .plan import read_json


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
    steppers: dict[str, Stepper] = {}
    data: dict[str, Subject] = {}
    for config in configs:
        of = config.system.model_dump_json()
        for index in filter(config.steps_of, range(config.n_stages)):
            key = key_of(config, index)
            if key not in known and key not in steppers:
                say(f"measuring the step of {config.method}, {config.name_of(index)}")
                if of not in data:
                    data[of] = load_subject(config)
                steppers[key] = Stepper(config, index, data[of])
    for _ in range(ROUNDS):
        for stepper in steppers.values():
            stepper.measure()
    known |= {key: stepper.least for key, stepper in steppers.items()}
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
