"""Processor time of the parts: training step, score, simulation, sampling, attention, objectives.

    python benchmarks/speed/speed.py OUT [sizes] [attention] [objectives]

Writes OUT.json and OUT.md. Times are processor time, the least of several repeats; what is compared
takes turns in one process, so that other work on the machine spoils no side alone. Read the ratios
and exponents rather than the milliseconds.
"""

import json
import shlex
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from edge_attention import identities
from edge_attention import measure as measure_attention

from fokker.config import TrainingOptions
from fokker.dataset.pool import Pool
from fokker.dynamics import LangevinOptions
from fokker.dynamics import simulate as integrate
from fokker.model import EnergyModel, Mixture
from fokker.network import (
    GraphTransformerOptions,
    InvariantOptions,
    MLPOptions,
    NetworkInputs,
)
from fokker.process import VariancePreservingOptions
from fokker.sampler import DPMSolverOptions, generate
from fokker.training.block import run_block
from fokker.training.expert import Stage
from fokker.types import Features

BATCH = 64
REPEATS = 3
SIZES = (5, 10, 28, 100)
INVARIANT_UP_TO = 28
"""Beyond it the invariant network's features of all pairs and triples leave the cache."""

OBJECTIVES = {
    "dsm": {},
    "diffclf": {"diffclf": {}},
    "diffclf, quarter of the batch": {"diffclf": {"fraction": 0.25}},
    "rne": {"rne": {}},
    "rne, quarter of the batch": {"rne": {"fraction": 0.25}},
    "ctsm": {"ctsm": {}},
    "fitted, quarter of the batch": {"fitted": {}},
    "fitted": {"fitted": {"fraction": 1.0}},
    "fokker-planck strong, quarter": {"fokker-planck": {"form": "strong", "fraction": 0.25}},
    "fokker-planck strong": {"fokker-planck": {"form": "strong"}},
    "fokker-planck weak": {"fokker-planck": {"form": "weak"}},
}


def best(tasks: dict, repeats: int = REPEATS) -> dict[str, float]:
    """Least processor time of each task in ms, in turns; the first round compiles."""
    found = dict.fromkeys(tasks, float("inf"))
    for repeat in range(repeats + 1):
        for name, (task, units) in tasks.items():
            start = time.process_time()
            task()
            if repeat:
                found[name] = min(found[name], 1e3 * (time.process_time() - start) / units)
    return found


def frames_of(beads: int, dim: int, n: int) -> np.ndarray:
    """Standard normal frames, centred for molecules."""
    frames = np.random.default_rng(beads).normal(size=(n, beads, dim)).astype(np.float32)
    return frames - frames.mean(axis=1, keepdims=True) if beads > 1 else frames


def build(options, beads: int, dim: int) -> EnergyModel:
    """An energy model of a chain."""
    bonds = tuple((i, i + 1) for i in range(beads - 1))
    degrees = dim * (beads - (beads > 1))
    inputs = NetworkInputs(frames_of(beads, dim, 200), bonds, degrees)
    process = VariancePreservingOptions().build()
    return EnergyModel(options.build(inputs, "energy", jax.random.key(0)), process)


def stepper(model, beads: int, dim: int, options: TrainingOptions, n: int):
    """A task of n optimiser steps."""
    stage, state = Stage.create(
        model,
        VariancePreservingOptions().build(),
        identities(beads),
        (0.0, 0.1),
        options,
        centred=beads > 1,
        seed=0,
    )
    pool = Pool(jnp.asarray(frames_of(beads, dim, 1000)))
    return lambda: run_block(stage, state, pool, n), n


class Force(eqx.Module):
    """The score as a force."""

    model: EnergyModel
    features: Features

    def __call__(self, x):
        """Force on one frame."""
        return self.model.score(x, jnp.asarray(1e-5, jnp.float32), self.features)


def size_tasks(options, beads: int, dim: int) -> dict:
    """Training step, score, simulation step and sampling evaluation, of one batch each."""
    model, features = build(options, beads, dim), identities(beads)
    centred, process = beads > 1, VariancePreservingOptions().build()
    x = jnp.asarray(frames_of(beads, dim, BATCH))
    t = jnp.linspace(0.01, 0.9, BATCH, dtype=jnp.float32)

    @eqx.filter_jit
    def score(model, x, t):
        return jax.vmap(lambda x, t: model.score(x, t, features))(x, t)

    def simulate(n: int = 20):
        integrate(
            LangevinOptions(dt=1e-4, friction=1.0).build((1.0,) * beads, 1.0),
            Force(model, features),
            x,
            jax.random.key(0),
            n_steps=n,
            stride=n,
            centred=centred,
            on_block=lambda block: None,
        )

    def sample():
        for _ in generate(
            DPMSolverOptions(steps=10).build(),
            Mixture((model,), (0.0, 1.0)),
            process,
            features,
            n=BATCH,
            shape=(beads, dim),
            centred=centred,
            key=jax.random.key(0),
            batch_size=BATCH,
        ):
            pass

    return {
        "training step": stepper(model, beads, dim, TrainingOptions(batch_size=BATCH), 2),
        "score": (lambda: jax.block_until_ready(score(model, x, t)), 1),
        "simulation step": (simulate, 20),
        "sampling, a step": (sample, 10),
    }


def sizes() -> dict:
    """Cost of everything against the number of beads, and its exponent."""
    transformer = GraphTransformerOptions(width=96, layers=2, heads=8)
    invariant = InvariantOptions(width=128, depth=4)
    tasks, places = {}, {}
    for name, options, counts, dim in (
        ("mlp", MLPOptions(width=96, depth=3), (1,), 2),
        ("invariant", invariant, [n for n in SIZES if n <= INVARIANT_UP_TO], 3),
        ("graph-transformer", transformer, SIZES, 3),
    ):
        for beads in counts:
            for task, work in size_tasks(options, beads, dim).items():
                tasks[name, beads, task] = work
                places.setdefault((name, task), []).append(beads)
    found = best(tasks)
    rows = []
    for (name, task), counts in places.items():
        times = [found[name, beads, task] for beads in counts]
        large = [i for i, beads in enumerate(counts) if beads >= 10]
        exponent = None
        if len(large) > 1:
            logs = [np.log([values[i] for i in large]) for values in (counts, times)]
            exponent = round(float(np.polyfit(*logs, 1)[0]), 2)
        rows.append(
            {
                "network": name,
                "what": task,
                "ms": {str(n): round(value, 3) for n, value in zip(counts, times, strict=True)},
                "exponent from 10 beads": exponent,
            }
        )
    return {"batch": BATCH, "rows": rows}


def objectives() -> dict:
    """Cost of a training step with each consistency term over that of score matching alone."""
    out = []
    for place, options, beads, dim in (
        ("2-D, mlp", MLPOptions(width=96, depth=3), 1, 2),
        ("5 beads, invariant", InvariantOptions(width=128, depth=4), 5, 3),
    ):
        model = build(options, beads, dim)
        tasks = {}
        for name, terms in OBJECTIVES.items():
            settings = TrainingOptions.model_validate(
                {"batch_size": 256, "objectives": {"dsm": {}} | terms}
            )
            tasks[name] = stepper(model, beads, dim, settings, 4)
        found = best(tasks, repeats=5)
        out += [
            {
                "where": place,
                "objective": name if name == "dsm" else f"dsm + {name}",
                "ms": round(value, 3),
                "over dsm": round(value / found["dsm"], 2),
            }
            for name, value in found.items()
        ]
    return {"batch": 256, "rows": out}


def attention() -> dict:
    """Low-rank edge attention against the dense formula."""
    rows = [
        {"beads": beads, "what": task, **{k: round(v, 2) for k, v in times.items()},
         "ratio": round(times["dense"] / times["low-rank"], 2)}
        for beads in (5, 10, 28)
        for task, times in measure_attention(beads).items()
    ]  # fmt: skip
    return {"batch": 64, "rows": rows}


def markdown(command: str, results: dict) -> str:
    """Tables with the command that made them."""
    lines = ["# Speed", "", f"    {command}", ""]
    lines += ["Processor time in ms, all threads added, float32; the least of several repeats.", ""]
    for name, result in results.items():
        lines += [f"## {name.capitalize()}", "", f"Batch {result['batch']}.", ""]
        rows = [dict(row) for row in result["rows"]]
        for row in rows:
            if isinstance(row.get("ms"), dict):
                row["ms"] = ", ".join(f"{value:g} (N = {n})" for n, value in row["ms"].items())
        headings = list(rows[0])
        lines += ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
        for row in rows:
            lines.append(
                "| " + " | ".join("" if v is None else str(v) for v in row.values()) + " |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure and write."""
    out, *chosen = sys.argv[1:]
    parts = {"sizes": sizes, "attention": attention, "objectives": objectives}
    command = shlex.join(["python", "benchmarks/speed/speed.py", *sys.argv[1:]])
    results = {}
    for name in chosen or parts:
        results[name] = parts[name]()
        Path(f"{out}.json").write_text(json.dumps({"command": command, **results}, indent=1) + "\n")
        Path(f"{out}.md").write_text(markdown(command, results))


if __name__ == "__main__":
    main()
