"""Cost of a simulation step, a training step and memory against the number of beads.

    python benchmarks/speed/scaling.py OUT [NETWORK ...]

Writes OUT.json, OUT.md and OUT.svg. Every network that the configuration knows is measured (save
the MLP, which is no network of a chain) with its default options or those of `SETTINGS`; a new
network needs nothing here. Frames are compact chains, hairpin and helix bundles with thermal
noise, so that a cut-off sees as many neighbours as in a protein. Times are processor time a chain,
all threads added, the least of several repeats; memory is what XLA plans for the temporaries of
one step.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from speed import Force, best

from fokker.chains import bundle, hairpin
from fokker.config import TrainingOptions
from fokker.dataset.pool import Pool
from fokker.dynamics import LangevinOptions
from fokker.dynamics import simulate as integrate
from fokker.model import EnergyModel
from fokker.network import NetworkInputs, NetworkOptions
from fokker.objective import Molecule
from fokker.process import VariancePreservingOptions
from fokker.training.block import run_block
from fokker.training.expert import Stage
from fokker.types import FAR, Features
from fokker.variables import neighbours_of, separations

NATIVE = {
    10: hairpin,
    28: lambda: bundle(helices=2, length=12, loop=4),
    100: lambda: bundle(helices=4, length=22, loop=4),
    200: lambda: bundle(helices=4, length=47, loop=4),
}
CHAINS, BATCH = 32, 16
SETTINGS: dict[str, dict] = {}
"""Options by network, where the defaults will not do."""

UP_TO: dict[str, int] = {"invariant": 100}
"""Largest chain by network: 19,900 distances of 200 beads are no use to anyone."""


def networks() -> dict[str, type]:
    """Options of every network by name, without the MLP."""
    found = {
        kind.model_fields["name"].default: kind for kind in get_args(get_args(NetworkOptions)[0])
    }
    return {name: kind for name, kind in found.items() if name != "mlp"}


def frames_of(beads: int, n: int) -> np.ndarray:
    """Centred frames of a compact chain in units of their own spread."""
    native = NATIVE[beads]()
    x = native + 0.05 * np.random.default_rng(beads).normal(size=(n, *native.shape))
    x -= x.mean(axis=1, keepdims=True)
    return (x / x.std()).astype(np.float32)


def tasks(options, beads: int) -> tuple[dict, dict]:
    """Work to time, and bytes of temporaries."""
    process = VariancePreservingOptions().build()
    bonds = tuple((i, i + 1) for i in range(beads - 1))
    apart = separations(neighbours_of(beads, bonds), FAR)
    features = Features(jnp.arange(beads), None, jnp.asarray(apart))
    inputs = NetworkInputs(frames_of(beads, 200), bonds, 3 * (beads - 1))
    network = options.build(inputs, "energy", jax.random.key(0))
    model = EnergyModel(network, process)
    x = jnp.asarray(frames_of(beads, CHAINS))
    steps = max(2, 200 // beads)

    def simulate():
        integrate(
            LangevinOptions(dt=1e-4, friction=1.0).build((1.0,) * beads, 1.0),
            Force(model, features),
            x,
            jax.random.key(0),
            n_steps=steps,
            stride=steps,
            centred=True,
            on_block=lambda block: None,
        )

    stage, state = Stage.create(
        model,
        process,
        features,
        (0.0, 0.1),
        TrainingOptions(batch_size=BATCH),
        centred=True,
        seed=0,
        molecules=(Molecule(beads, bonds),),
    )
    pool = Pool(jnp.asarray(frames_of(beads, 500)))

    def temporaries(function, *arguments) -> float:
        compiled = jax.jit(function).lower(*arguments).compile()
        return round(compiled.memory_analysis().temp_size_in_bytes / 2**20, 2)

    arrays, static = eqx.partition(state, eqx.is_array)

    def train(arrays, pool):
        new, _ = stage.update(eqx.combine(arrays, static), pool)
        return eqx.filter(new, eqx.is_array)

    memory = {
        "simulation step": temporaries(jax.vmap(Force(model, features)), x),
        "training step": temporaries(train, arrays, pool),
    }
    work = {
        "simulation step": (simulate, steps * CHAINS),
        "training step": (lambda: run_block(stage, state, pool, 2), 2 * BATCH),
    }
    return work, memory


def measure(chosen: list[str]) -> list[dict]:
    """One row a network and kind of step."""
    found: dict[tuple[str, str], dict] = {}
    for name, kind in networks().items():
        if chosen and name not in chosen:
            continue
        for beads in NATIVE:
            if beads > UP_TO.get(name, beads):
                continue
            work, memory = tasks(kind(**SETTINGS.get(name, {})), beads)
            times = best(work, repeats=2)
            for what, ms in times.items():
                row = found.setdefault((name, what), {"network": name, "what": what})
                row.setdefault("us", {})[beads] = round(1e3 * ms, 1)
                row.setdefault("MiB", {})[beads] = memory[what]
            print(name, beads, times, memory, flush=True)
    for row in found.values():
        sizes = [n for n in row["us"] if n >= 28]
        if len(sizes) > 1:
            for key in ("us", "MiB"):
                logs = np.log(sizes), np.log([row[key][n] for n in sizes])
                row[f"exponent of {key}"] = round(float(np.polyfit(*logs, 1)[0]), 2)
    return list(found.values())


def markdown(command: str, rows: list[dict]) -> str:
    """Table with the command that made it."""
    lines = ["# Scaling", "", f"    {command}", ""]
    lines += [
        f"Processor time in µs a chain (simulation, {CHAINS} chains) or a frame (training, batch "
        f"{BATCH}, score matching), all threads added; exponents from 28 beads on. MiB: "
        "temporaries of the whole step.",
        "",
        "| network | step | " + " | ".join(f"N = {n}" for n in NATIVE) + " | exponent | MiB |",
        "|" + " --- |" * (len(NATIVE) + 4),
    ]
    for row in rows:
        times = [f"{row['us'][n]:,.1f}" if n in row["us"] else "" for n in NATIVE]
        memory = ", ".join(f"{value:g}" for value in row["MiB"].values())
        cells = [row["network"], row["what"], *times, str(row.get("exponent of us", "")), memory]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def draw(path: Path, rows: list[dict]) -> None:
    """Time and memory against beads, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure((9.0, 3.8), layout="constrained")
    for axes, (key, title) in zip(
        figure.subplots(1, 2),
        (("us", "processor time a chain and step (µs)"), ("MiB", "temporaries of a step (MiB)")),
        strict=True,
    ):
        for row in rows:
            if row["what"] == "simulation step":
                label = f"{row['network']}, N^{row.get(f'exponent of {key}', '?')}"
                axes.loglog(list(row[key]), list(row[key].values()), "o-", label=label)
        axes.set_xticks(list(NATIVE), [str(n) for n in NATIVE])
        axes.minorticks_off()
        axes.set_xlabel("beads")
        axes.set_ylabel(title)
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure and write."""
    out, *chosen = sys.argv[1:]
    command = shlex.join(["python", "benchmarks/speed/scaling.py", *sys.argv[1:]])
    rows = measure(chosen)
    Path(f"{out}.json").write_text(json.dumps({"command": command, "rows": rows}, indent=1) + "\n")
    Path(f"{out}.md").write_text(markdown(command, rows))
    draw(Path(f"{out}.svg"), rows)


if __name__ == "__main__":
    main()
