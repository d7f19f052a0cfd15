"""Accuracy against the number of frames, with forces and without.

    python benchmarks/accuracy/forces.py --forces all-atom-forces.npz --topology all-atom.pdb

For every number of frames, evenly spread over those of the file, and every variant, the same method
with small networks is trained with the same steps; samples and a simulation are compared with the
training frames of the embedded alanine dipeptide, which no variant has seen. Writes `forces.json`,
`forces.svg` and `noise.json`, how noisy the forces are. Can be interrupted and continued: a cell
that is in a file is not done again.

`without` is the method `fokker` on the same frames, `with` the same with `force-matching` in the
place of `dsm`. The other variants change one choice of it: `torsions` fits the forces along the
torsions as well, with the weight that noise alone has there in the others.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import fokker
from fokker.config import parse
from fokker.config.presets import combine, merge, with_force_matching
from fokker.dataset.frames import prepare
from fokker.dataset.source import bare_system, load_trajectory
from fokker.metrics import compare, compute, distance
from fokker.objective import Molecule
from fokker.objective.modes import Modes
from fokker.trajectory import read_frames, read_labelled

SELECT = "(resname ACE and name C) or (resname ALA and name N CA C) or (resname NME and name N)"
VARIANTS: dict[str, dict[str, Any]] = {
    "without": {},
    "with": {},
    "torsions": {"force-matching": {"torsions": 10.0}},
    "atoms": {"force_map": "atoms"},
    "isotropic": {"force-matching": {"mixture": "isotropic"}},
    "normalised": {"force-matching": {"normalise": True}},
}


def subset(source: Path, n: int, target: Path) -> None:
    """Write every so many-th labelled frame, n in all, each as often as the file has room.

    All files have the length of the source, so that one compiled program serves them all.
    """
    if target.exists():
        return
    with np.load(source, allow_pickle=False) as held:
        total = len(held["positions"])
        rows = (np.arange(total) * n // total) * total // n
        np.savez(
            target,
            positions=held["positions"][rows],
            forces=held["forces"][rows],
            names=held["names"],
        )


def configuration(file: Path, topology: Path, variant: str, seed: int, given: argparse.Namespace):
    """The method `fokker` on labelled frames, with or without their forces."""
    change = VARIANTS[variant]
    system = {
        "name": "alanine-dipeptide",
        "forces": [str(file)],
        "topology": str(topology),
        "select": SELECT,
        "temperature": 300.0,
        "validation_fraction": 0.0,
        "force_map": change.get("force_map", "optimal"),
    }
    network = {"width": 64, "depth": 3}
    small = {"*": {"network": network, "training": {"batch_size": 96}}}
    simulation = {"chains": 100, "steps": given.steps, "stride": given.steps // 200}
    parts = [{"system": system, "simulation": simulation, "seed": seed, "experts": small}]
    raw = combine("molecule", "fokker", parts, effort=given.effort)
    if variant != "without":
        raw = with_force_matching(raw)
        if variant == "torsions":
            raw["experts"][0]["training"]["objectives"].pop("torsion")
        options = {"force-matching": change.get("force-matching", {})}
        raw = merge(raw, {"experts": {"*": {"training": {"objectives": options}}}})
    return parse(raw, "benchmark")


def measure(run: Path, config: Any) -> dict[str, Any]:
    """Train, sample, simulate and compare one cell."""
    began = time.monotonic()
    fokker.train(config, run, resume=(run / "checkpoint").exists())
    seconds = time.monotonic() - began
    fokker.sample(run, overwrite=True)
    record = fokker.simulate(run, overwrite=True)
    system = load_trajectory(config).system
    reference = load_trajectory(fokker.preset("alanine-dipeptide", "fokker")).positions
    found = {}
    for name in ("samples", "simulation"):
        frames = read_frames(run / f"{name}.xtc", system, allow_failed=True)
        table = compare(system, reference, frames, chains=100 if name == "simulation" else 1)
        keys = ("n", "js", "js_floor", "js_ratio", "js_standard_error", "pmf", "pmf_ratio")
        found[name] = {key: table[key] for key in (*keys, "failed_fraction")}
        found[name]["w1_bonds"] = max(row["w1_relative"] or 9.9 for row in table["bonds"].values())
    return {**found, "diverged": record["diverged"], "seconds": round(seconds, 1)}


def label_noise(source: Path, topology: Path) -> dict[str, dict[str, list[float]]]:
    """Mean square of the mapped forces along each motion, and the part that beads do not explain.

    In scaled coordinates, `s F / kT`. What beads explain is a ridge regression on products of
    Fourier terms of phi and psi with bond lengths and bends, judged on frames it was not made of.
    """
    config = fokker.preset("alanine-dipeptide", "fokker")
    given = config.system.model_copy(update={"topology": str(topology)})
    system, found = bare_system(given), {}
    for kind in ("atoms", "optimal"):
        held = read_labelled(source, system, kind=kind)
        data = prepare(held.positions, system, validation_fraction=0.0, forces=held.forces)
        assert data.training_labels is not None
        force = data.training_labels.force
        modes = Modes.of(Molecule(system.n_beads, system.bonds), data.training)
        along = jax.jit(jax.vmap(lambda x, f, modes=modes: jnp.tensordot(modes(x), f, 2)))
        values = np.asarray(along(jnp.asarray(data.training), force), np.float64)[:, 3:]
        angles = [compute(v, held.positions) for v in system.collective_variables[:2]]
        waves = [
            part(m * angles[0] + n * angles[1])
            for m in range(4)
            for n in range(-3, 4)
            for part in (np.cos, np.sin)
        ]
        pairs = [(i, i + k) for k in (1, 2) for i in range(system.n_beads - k)]
        lengths = np.stack([distance(held.positions, pair) for pair in pairs], axis=1)
        lengths = (lengths - lengths.mean(axis=0)) / lengths.std(axis=0)
        few = np.stack([np.ones(len(values)), *waves[2:10]], axis=1)
        products = (few[:, :, None] * lengths[:, None]).reshape(len(values), -1)
        squares = [lengths[:, i] * lengths[:, j] for i in range(len(pairs)) for j in range(i + 1)]
        table = np.column_stack([np.stack(waves, axis=1), products, *squares])
        left = np.empty_like(values)
        for train, test in (
            (slice(None, None, 2), slice(1, None, 2)),
            (slice(1, None, 2), slice(None, None, 2)),
        ):
            square = table[train].T @ table[train]
            square += 1e-6 * np.trace(square) / len(square) * np.eye(len(square))
            left[test] = values[test] - table[test] @ np.linalg.solve(
                square, table[train].T @ values[train]
            )
        found[kind] = {
            "mean_square": np.mean(values**2, axis=0).round(1).tolist(),
            "unexplained": np.mean(left**2, axis=0).round(1).tolist(),
        }
    return found


def draw(cells: list[dict[str, Any]], path: Path) -> None:
    """JS over its floor against the number of frames."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(7.0, 2.8), sharey=True, constrained_layout=True)
    colours = {"without": "#888888", "with": "#0072b2"}
    for axis, name, title in zip(
        axes, ("samples", "simulation"), ("independent samples", "simulation"), strict=True
    ):
        for variant, colour in colours.items():
            chosen = [cell for cell in cells if cell["variant"] == variant]
            sizes = sorted({cell["frames"] for cell in chosen})
            groups = [[c[name]["js"] for c in chosen if c["frames"] == n] for n in sizes]
            axis.plot(
                sizes, [np.mean(g) for g in groups], "o-", c=colour, label=f"{variant} forces"
            )
        if cells:
            floor = np.mean([cell[name]["js_floor"] for cell in cells])
            axis.axhline(floor, c="k", ls=":", lw=1, label="floor")
        axis.set(title=title, xlabel="frames", xscale="log", yscale="log")
    axes[0].set_ylabel("JS to the training set")
    axes[1].legend(frameon=False, fontsize="small")
    figure.savefig(path)


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forces", type=Path, required=True)
    parser.add_argument("--topology", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/forces"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000, 3000, 10000])
    parser.add_argument("--variants", nargs="+", default=["without", "with"], choices=VARIANTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--effort", type=float, default=0.04)
    parser.add_argument("--steps", type=int, default=20_000, help="of each of 100 chains")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    noise = label_noise(given.forces, given.topology)
    (given.out / "noise.json").write_text(json.dumps(noise, indent=1) + "\n")
    for seed in given.seeds:
        for n in given.sizes:
            file = given.out / f"{n}.npz"
            subset(given.forces, n, file)
            for variant in given.variants:
                run = given.out / f"{n}-{variant}-{seed}"
                done = run.with_suffix(".json")
                if not done.exists():
                    config = configuration(file, given.topology, variant, seed, given)
                    cell = {"frames": n, "variant": variant, "seed": seed, "effort": given.effort}
                    done.write_text(json.dumps({**cell, **measure(run, config)}))
                cell = json.loads(done.read_text())
                print(
                    f"{n:6d} {variant:10s} seed {seed}:",
                    *(
                        f"{name} JS {cell[name]['js']:.4f} ({cell[name]['js_ratio']:.2f}), "
                        f"PMF {cell[name]['pmf']:.3f}, failed {cell[name]['failed_fraction']:.4f};"
                        for name in ("samples", "simulation")
                    ),
                    f"{cell['diverged']} diverged, {cell['seconds']} s",
                    flush=True,
                )
    cells = [json.loads(path.read_text()) for path in sorted(given.out.glob("*-*-*.json"))]
    (given.out / "forces.json").write_text(json.dumps(cells, indent=1) + "\n")
    draw(cells, given.out / "forces.svg")


if __name__ == "__main__":
    main()
