"""The energy that the simulation uses, against the true one, for the two mixtures of Gaussians.

    fokker benchmark mixture-1d --methods diffusion,both,fokker --seeds 3 --budget 30s --out FOLDER
    python benchmarks/accuracy/energies.py OUT FOLDER [FOLDER ...]

Each FOLDER is that of a benchmark of mixture-1d or mixture-2d. The learned energy at the time of
the simulation, with its own normalisation on a grid, is compared with -log of the true density:

- `rms`, root mean square difference in kT, weighted by the true density;
- `middle`, the probability between the modes under the learned energy over the true one;
- `modes`, local maxima of the learned density that hold more than a thousandth of its maximum.

Writes OUT.json, OUT.md and OUT.svg; the figure shows the energies along the line through the modes.
"""

import json
import shlex
import sys
from itertools import cycle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import maximum_filter

from fokker.benchmark.reference import POTENTIALS
from fokker.report.palette import SERIES
from fokker.run.loaded import load_run

HALF_WIDTH, POINTS = 3.0, 241
TALLEST = 8.0
"""kT shown."""


def grid(dim: int) -> np.ndarray:
    """Points of a square grid, shape (points, 1, dim)."""
    line = np.linspace(-HALF_WIDTH, HALF_WIDTH, POINTS)
    return np.stack(np.meshgrid(*dim * [line], indexing="ij"), -1).reshape(-1, 1, dim)


def normalised(energy: np.ndarray, dim: int) -> np.ndarray:
    """Energy whose Boltzmann factor integrates to one over the grid."""
    cell = (2 * HALF_WIDTH / (POINTS - 1)) ** dim
    return energy + np.logaddexp.reduce(-energy) + np.log(cell)


def learned(folder: Path, x: np.ndarray) -> np.ndarray:
    """The energy of a run at the smallest time, on frames of its own unit."""
    loaded = load_run(folder)
    force = loaded.force(loaded.config.simulation.t)
    scaled = jnp.asarray((x - force.offset) / force.scale, jnp.float32)
    energy = jax.jit(jax.vmap(lambda x, t: force.model.energy(x, t, force.features), (0, None)))
    return np.asarray(energy(scaled, force.t), np.float64)


def modes(energy: np.ndarray, dim: int) -> int:
    """Local maxima of the density that hold more than a thousandth of the largest."""
    surface = -energy.reshape(dim * (POINTS,))
    peak = maximum_filter(surface, size=5) == surface
    return int(np.sum(peak & (surface > surface.max() - np.log(1000.0))))


def judge(energy: np.ndarray, true: np.ndarray, between: np.ndarray, dim: int) -> dict:
    """Numbers of one run."""
    weight = np.exp(-true) / np.exp(-true).sum()
    own = np.exp(-energy) / np.exp(-energy).sum()
    return {
        "rms": float(np.sqrt(np.sum(weight * (energy - true) ** 2))),
        "middle": float(own[between].sum() / weight[between].sum()),
        "modes": modes(energy, dim),
    }


def study(folder: Path) -> dict:
    """Every row and seed of one benchmark: numbers, and the energies along the line."""
    table = json.loads((folder / "table.json").read_text())
    potential = POTENTIALS[table["system"]](1.0)
    means = np.asarray(potential.means)
    dim = means.shape[-1]
    axis = means[1, 0] - means[0, 0]
    reach = np.linalg.norm(axis) / 2
    axis = axis / np.linalg.norm(axis)
    x = grid(dim)
    true = normalised(np.asarray(jax.vmap(potential.energy)(jnp.asarray(x)), np.float64), dim)
    along = x[:, 0] @ axis
    between = np.abs(along) < reach / 2
    on_line = np.linalg.norm(x[:, 0] - along[:, None] * axis, axis=-1) < 1e-6
    rows, lines = {}, {}
    for name in table["rows"]:
        cells = sorted(folder.glob(f"{name}-[0-9]*/metrics.json"))
        energies = [normalised(learned(cell.parent, x), dim) for cell in cells]
        if energies:
            rows[name] = [judge(energy, true, between, dim) for energy in energies]
            lines[name] = [energy[on_line] for energy in energies]
    of = {"u": along[on_line], "true": true[on_line], "lines": lines}
    return {"system": table["system"], "command": table["command"], "rows": rows, **of}


def draw(studies: list[dict], path: Path) -> None:
    """Energies along the line through the modes."""
    figure = Figure((4.5 * len(studies) + 1.5, 3.6), layout="constrained")
    for axes, found in zip(np.ravel(figure.subplots(1, len(studies))), studies, strict=True):
        for (name, lines), colour in zip(found["lines"].items(), cycle(SERIES), strict=False):
            for index, line in enumerate(lines):
                label = name if index == 0 else None
                axes.plot(found["u"], line - found["true"].min(), color=colour, lw=1.2, label=label)
        axes.plot(found["u"], found["true"] - found["true"].min(), "k--", lw=1.5, label="truth")
        axes.set(
            title=found["system"], xlabel="along the line through the modes", ylim=(-1, TALLEST)
        )
        axes.set_ylabel("energy, kT")
        axes.set_xlim(-2.2, 2.2)
    axes.legend(loc="upper center", frameon=False)
    figure.savefig(path, metadata={"Date": None})


def spread(values: list[float]) -> str:
    """Mean and range."""
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def markdown(command: str, studies: list[dict]) -> str:
    """One table for all."""
    text = [*(f"    {found['command']}" for found in studies), f"    {command}", ""]
    text += [
        "| system | method | rms, kT | middle, over the truth | modes |",
        "|---|---|---|---|---|",
    ]
    for found in studies:
        for name, runs in found["rows"].items():
            numbers = [spread([run[key] for run in runs]) for key in ("rms", "middle")]
            numbers += [", ".join(str(run["modes"]) for run in runs)]
            text.append(f"| {' | '.join([found['system'], name, *numbers])} |")
    return "\n".join([*text, ""])


def main() -> None:
    """Judge and write."""
    out, *folders = (Path(text) for text in sys.argv[1:])
    command = shlex.join(["python", "benchmarks/accuracy/energies.py", *sys.argv[1:]])
    studies = [study(folder) for folder in folders]
    kept = [
        {k: v for k, v in found.items() if k not in ("u", "true", "lines")} for found in studies
    ]
    content = {"command": command, "studies": kept}
    Path(f"{out}.json").write_text(json.dumps(content, indent=1) + "\n")
    Path(f"{out}.md").write_text(markdown(command, studies))
    draw(studies, Path(f"{out}.svg"))
    print(markdown(command, studies))


if __name__ == "__main__":
    main()
