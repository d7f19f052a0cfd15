"""Learned force of a C-alpha chain against the force that its frames were made with.

    python benchmarks/chains/chain_forces.py RUN [RUN ...]

For each run prints, over 1,000 reference frames (never trained on), the mean square error of the
force at the simulation's diffusion time over the mean square of the true force, the correlation of
the two, and both again of forces averaged over five neighbours of the chain, from which the stiff
bonds are gone.
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fokker.chains import FOLDS, energies_and_forces
from fokker.dataset.frames import centre
from fokker.dataset.source import load_reference, load_trajectory
from fokker.run.loaded import LoadedRun, load_run

FRAMES = 1000
NEIGHBOURS = 5


def learned_and_true(loaded: LoadedRun) -> tuple[np.ndarray, np.ndarray]:
    """Forces on reference frames, kJ/mol/nm, shape (frames, beads, 3)."""
    config = loaded.config
    frames = load_reference(config, load_trajectory(config))
    assert frames is not None
    frames = centre(frames[:: max(1, len(frames) // FRAMES)][:FRAMES])
    force = loaded.force(config.simulation.t)
    learned = jax.lax.map(eqx.filter_jit(force), jnp.asarray(frames), batch_size=50)
    return np.asarray(learned), energies_and_forces(FOLDS[config.system.name].model(), frames)[1]


def agreement(learned: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Relative mean square error, and correlation."""
    error = float(np.mean((learned - true) ** 2) / np.mean(true**2))
    return error, float(np.corrcoef(learned.ravel(), true.ravel())[0, 1])


def smooth(forces: np.ndarray) -> np.ndarray:
    """Mean over neighbours along the chain."""
    width = min(NEIGHBOURS, forces.shape[1])
    return np.lib.stride_tricks.sliding_window_view(forces, width, axis=1).mean(-1)


def main() -> None:
    """Print a row a run."""
    print("run".ljust(28), "   error  correlation   smooth: error  correlation")
    for name in sys.argv[1:]:
        learned, true = learned_and_true(load_run(Path(name)))
        numbers = *agreement(learned, true), *agreement(smooth(learned), smooth(true))
        print(name.ljust(28), *(f"{value:10.4f}" for value in numbers), flush=True)


if __name__ == "__main__":
    main()
