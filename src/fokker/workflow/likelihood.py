r"""Log density of frames under the energy that a run simulates with, normalised.

    log p(x) = -E(x, t) - log Z - D log s,      Z = integral of exp(-E(x, t)) dx

in the D dimensions without the centre of mass; s is the data scale in nm, so p is in nm^-D. Z is
what annealed sampling finds on its way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..dataset.frames import centre
from ..errors import FokkerError
from ..run.folder import write_atomically
from ..run.loaded import LoadedRun, load_run
from ..sampler import AnnealedOptions, EnergyPath, ReverseProcess, generate_weighted
from ..sampler.likelihood import flow_log_density
from ..trajectory import read_frames
from ..types import Time
from .islands import pooled, row_of

LIKELIHOOD_STREAM = 4
"""Of a run's seed; sampling and simulation have those below."""

FRAMES_PER_BATCH = 1024


@dataclass(frozen=True)
class Likelihood:
    """Log densities, and how well their common constant is known.

    Attributes
    ----------
    log_density
        Natural logarithm, in nm^-D or the system's own unit of length.
    flow
        The same by the probability flow, if asked for.
    log_normalisation, error
        `log Z` of the energy in scaled coordinates. The error is common to all frames.
    effective
        Independent samples that Z was estimated by.
    degrees_of_freedom
        D.
    """

    log_density: Float[np.ndarray, " frames"]
    flow: Float[np.ndarray, " frames"] | None
    log_normalisation: float
    error: float
    effective: float
    degrees_of_freedom: int


def likelihood(
    run: Path,
    frames: Path,
    *,
    out: Path | None = None,
    particles: int = 8192,
    flow: bool = False,
    seed: int | None = None,
    overwrite: bool = False,
) -> Likelihood:
    """Log density of every frame of a file, written as CSV if `out` is given.

    Parameters
    ----------
    run
        Folder of a trained run.
    frames
        Trajectory of its beads, or of atoms that contain them.
    out
        CSV file with one row a frame.
    particles
        That the normalisation is estimated by.
    flow
        Whether to compute the density of the probability flow as well, for small molecules.
    seed
        By default that of the configuration.
    overwrite
        Replace a file that exists.

    Raises
    ------
    FokkerError
        On bad input.
    """
    if out is not None and out.exists() and not overwrite:
        raise FokkerError(f"{out}: exists; choose another name or use --overwrite.")
    if particles < 2:
        raise FokkerError(f"particles is {particles}; it must be 2 or more")
    loaded = load_run(run)
    x = jnp.asarray(_scaled(loaded, frames), jnp.float32)
    t = loaded.config.simulation.t
    features = jax.tree.map(jnp.asarray, loaded.features)
    process, system = loaded.config.process.build(), loaded.system
    reverse = ReverseProcess(loaded.model, process, features, system.centred)
    path = EnergyPath.of(reverse, t)
    seed = loaded.config.seed if seed is None else seed
    islands = generate_weighted(
        AnnealedOptions(t_min=t).build(),
        path,
        n=particles,
        shape=(system.n_beads, system.dim),
        key=jax.random.fold_in(jax.random.key(seed), LIKELIHOOD_STREAM),
        batch_size=min(particles, 4096),
    )
    found = pooled([row_of(island) for island in islands])
    scale = system.degrees_of_freedom * np.log(loaded.scaling.scale)
    batches = [x[i : i + FRAMES_PER_BATCH] for i in range(0, len(x), FRAMES_PER_BATCH)]
    time = jnp.asarray(t, jnp.float32)
    energy = np.concatenate([np.asarray(_energies(path, batch, time)) for batch in batches])
    by_flow = None
    if flow:
        parts = [np.asarray(_flow(reverse, batch, t)) for batch in batches]
        by_flow = np.concatenate(parts).astype(float) - scale
    result = Likelihood(
        -energy.astype(float) - found["log_normalisation"] - scale,
        by_flow,
        float(found["log_normalisation"]),
        float(found["log_normalisation_error"]),
        float(found["effective"]),
        system.degrees_of_freedom,
    )
    if out is not None:
        _write(out, result)
    return result


def _scaled(loaded: LoadedRun, frames: Path) -> Float[np.ndarray, "frames beads dim"]:
    positions = read_frames(frames, loaded.system, min_frames=1)
    return loaded.scaling.apply(centre(positions) if loaded.system.centred else positions)


@eqx.filter_jit
def _energies(
    path: EnergyPath, x: Float[Array, "frames beads dim"], t: Time
) -> Float[Array, " frames"]:
    return path.energy_and_score(x, t)[0]


@eqx.filter_jit
def _flow(
    reverse: ReverseProcess, x: Float[Array, "frames beads dim"], t: float
) -> Float[Array, " frames"]:
    return flow_log_density(reverse, x, t)


def _write(out: Path, found: Likelihood) -> None:
    columns, names = [found.log_density], "frame,log_density"
    if found.flow is not None:
        columns, names = [*columns, found.flow], names + ",log_density_flow"
    rows = [
        ",".join([str(index), *(f"{value:.6f}" for value in row)])
        for index, row in enumerate(zip(*columns, strict=True))
    ]
    write_atomically(out, "\n".join([names, *rows]) + "\n")
