"""Highest frequency of the energy on held-out frames, in units of the simulation's time step.

    python benchmarks/accuracy/roughness.py RUN [RUN ...]

For each run prints quantiles of `w dt`, w^2 the largest eigenvalue of the mass-weighted Hessian of
the energy at the simulation's diffusion time, over 5,000 reference frames (training frames where
there are none). Leapfrog is unstable at 2; a long tail says that the energy is rough where data are
rare.
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fokker.dataset.frames import centre
from fokker.dataset.source import load_reference, load_trajectory
from fokker.run.loaded import LoadedRun, load_run

FRAMES = 5000
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


def frequencies(loaded: LoadedRun) -> np.ndarray:
    """`w dt` of every frame; zero where no direction is stable."""
    trajectory = load_trajectory(loaded.config)
    frames = load_reference(loaded.config, trajectory)
    frames = trajectory.positions if frames is None else frames
    frames = frames[:: max(1, len(frames) // FRAMES)][:FRAMES]
    if loaded.system.centred:
        frames = centre(frames)
    options = loaded.config.simulation
    expert, t = loaded.model.expert_at(options.t), jnp.asarray(options.t, jnp.float32)
    masses = jnp.repeat(jnp.asarray(loaded.system.masses), loaded.system.dim)
    unit = loaded.system.kT / loaded.scaling.scale**2 / jnp.sqrt(masses[:, None] * masses)

    @eqx.filter_jit
    def largest(expert, x):
        def energy(y):
            return expert.energy(y.reshape(frames.shape[1:]), t, loaded.features)

        return jax.vmap(lambda y: jnp.linalg.eigvalsh(unit * jax.hessian(energy)(y))[-1])(x)

    scaled = jnp.asarray(loaded.scaling.apply(frames)).reshape(len(frames), -1)
    return options.integrator.dt * np.sqrt(np.maximum(np.asarray(largest(expert, scaled)), 0.0))


def main() -> None:
    """Print a row a run."""
    print("run".ljust(28), *(f"{q:8.1%}" for q in QUANTILES))
    for name in sys.argv[1:]:
        found = np.quantile(frequencies(load_run(Path(name))), QUANTILES)
        print(name.ljust(28), *(f"{value:8.3f}" for value in found), flush=True)


if __name__ == "__main__":
    main()
