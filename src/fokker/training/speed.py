"""How long training takes on this machine, measured stage by stage before anything is trained."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ..config import Config
from ..dataset.pool import Pool
from ..dataset.subject import Subject
from ..runtime import parallel
from . import held_out
from .block import BLOCK, MAX_BLOCK, ready_block, run_block
from .schedule import Devices, Stages, initial_model

ROUNDS = 4
SECONDS = 0.4
"""Aimed length of one measurement."""


@dataclass(frozen=True)
class Speed:
    """What one stage costs.

    Attributes
    ----------
    steps
        Seconds a step, of each kind of step that the stage has.
    look
        Seconds of one look at the held-out frames.
    once
        Seconds that the stage takes whatever its length.
    """

    steps: tuple[float, ...]
    look: float = 0.0
    once: float = 0.0


class Stepper:
    """One stage, compiled, ready to be timed. Nothing that it does is seen by a training.

    Parameters
    ----------
    config, subject
        What is to be trained, and on what.
    index
        Number of the stage.
    devices
        How its work is spread.
    """

    def __init__(
        self, config: Config, index: int, subject: Subject, devices: Devices | None = None
    ):
        dataset = subject.dataset
        inputs = None if dataset.molecules is None else dataset.molecules.inputs
        model = initial_model(config, subject.system, dataset.alike, inputs)
        job = Stages(config, subject, devices or Devices()).create(index, model)
        self.stage, self.pool = job.stage, job.pool
        self.shared, self.state = parallel.share((job.stage, job.state), job.stage.sharding)
        self.program = ready_block(self.shared, self.state, self.pool)
        kinds = self.stage.kinds_of_steps
        self.lengths = [2] * len(kinds)
        self.times: list[list[float]] = [[] for _ in kinds]
        for kind, _ in enumerate(kinds):
            self._run(kind)
            aimed = parallel.of_primary(round(SECONDS / self._run(kind)))
            self.lengths[kind] = min(MAX_BLOCK, max(2, aimed))

    def measure(self) -> None:
        """Time each kind of step once more."""
        for kind, times in enumerate(self.times):
            times.append(self._run(kind))

    @property
    def least(self) -> float:
        """Seconds per step on a quiet machine, the mean over its kinds by their shares."""
        kinds = self.stage.kinds_of_steps
        return sum(share * min(own) for (_, share), own in zip(kinds, self.times, strict=True))

    @property
    def usual(self) -> tuple[float, ...]:
        """Seconds per step of each kind on the machine as it is: the mean."""
        return tuple(statistics.fmean(own) for own in self.times)

    def look(self, held: Pool) -> float:
        """Seconds of one look at held-out frames, compilation left out."""
        average, seconds = parallel.local(self.state.average), 0.0
        for _ in range(2):
            began = time.monotonic()
            held_out.losses(self.stage, average, held)
            seconds = time.monotonic() - began
        return seconds

    def _run(self, kind: int) -> float:
        """Seconds per step of one block of steps of a kind."""
        length, (first, _) = self.lengths[kind], self.stage.kinds_of_steps[kind]
        step = parallel.share(jnp.asarray(first, jnp.int32), self.stage.sharding)
        state = dataclasses.replace(self.state, step=step)
        began = time.monotonic()
        self.state, _ = run_block(self.shared, state, self.pool, length, program=self.program)
        jax.block_until_ready(self.state.step)
        return (time.monotonic() - began) / length


def measure_speeds(
    config: Config, subject: Subject, say: Callable[[str], None] = lambda _: None
) -> dict[int, Speed]:
    """Measure what each stage of a configuration costs on this machine.

    Parameters
    ----------
    config, subject
        What is to be trained, and on what; stages without steps are left out.
    say
        Told what is measured.

    Returns
    -------
    dict
        By number of the stage. `once` is the time until its programs were compiled.
    """
    speeds, devices = {}, Devices.of(config)
    for index in filter(config.steps_of, range(config.n_stages)):
        say(f"measuring the steps of {config.name_of(index)}")
        began = time.monotonic()
        stepper = Stepper(config, index, subject, devices)
        dataset, look = subject.dataset, 0.0
        if len(dataset.validation):
            look = stepper.look(dataset.validation_pool(held_out.FRAMES))
        once = time.monotonic() - began
        for _ in range(ROUNDS):
            stepper.measure()
        speeds[index] = Speed(stepper.usual, look, once)
    return speeds


def seconds_of(config: Config, speeds: dict[int, Speed]) -> float:
    """Seconds that the training of a configuration takes at measured speeds.

    Stages run one after the other. Each costs its steps, kind by kind, its looks at held-out
    frames, and what it costs once.
    """
    total = 0.0
    for index, speed in speeds.items():
        steps = config.steps_of(index)
        looks = sum(
            held_out.is_due(min(at, steps), steps, BLOCK)
            for at in range(BLOCK, steps + BLOCK, BLOCK)
        )
        own = (steps,)
        if len(speed.steps) > 1:
            after = config.reweighting
            own = (after.rounds * after.frames, after.rounds * after.steps)
        total += sum(n * each for n, each in zip(own, speed.steps, strict=True))
        total += looks * speed.look + speed.once
    return total
