"""Whether the energies of a chain at different diffusion times agree on how stable the fold is.

    python benchmarks/chains/between_times.py RUN [RUN ...]

Frames that the run was not trained on, folded and unfolded, are noised to a ladder of times. From
one time to the next Bennett's acceptance ratio (J. Comput. Phys. 22, 245, 1976) gives, for each of
the two states, by how much the model's log ratio of densities is off; noise moves no frame from one
state to the other, so the difference of the two, in kT, is what the model's folding free energy
changes wrongly between the two times. Prints it for each step, and the sum from the top.
"""

import sys
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from fokker.dataset.frames import centre
from fokker.dataset.source import load_reference, load_trajectory
from fokker.metrics import compute, folding_threshold, native_contacts
from fokker.objective import Noised
from fokker.run.loaded import LoadedRun, load_run

TIMES, EVERY = 25, 2
"""Times of the ladder; every so many of the reference frames are used."""


def ladder(loaded: LoadedRun) -> np.ndarray:
    """Times of the first expert, from the top."""
    low, high = loaded.config.simulation.t, loaded.model.interval(0)[1]
    return np.maximum(low, 0.999 * high * np.linspace(1.0, 0.0, TIMES) ** 2)


def offset(late: np.ndarray, early: np.ndarray) -> float:
    """What must be added to a log ratio so that it tells the frames of two times apart best.

    `late` and `early` are `log q_early - log q_late` on the frames of either time.
    """
    return brentq(lambda c: expit(late + c).mean() - expit(-early - c).mean(), -200.0, 200.0)


def steps(loaded: LoadedRun) -> list[tuple[float, float, dict[str, float]]]:
    """Upper and lower time of each step, and the offset of each state."""
    trajectory = load_trajectory(loaded.config)
    frames = load_reference(loaded.config, trajectory)
    variable = native_contacts(loaded.system)
    if frames is None or variable is None:
        raise SystemExit(f"{loaded.folder.home}: needs reference frames and native contacts.")
    frames = frames[::EVERY]
    folded = compute(variable, frames) > folding_threshold(compute(variable, trajectory.positions))
    clean = jnp.asarray(loaded.scaling.apply(centre(frames)), jnp.float32)
    process, expert = loaded.config.process.build(), loaded.model.experts[0]
    energy = jax.jit(jax.vmap(lambda x, t: expert.energy(x, t, loaded.features), (0, None)))

    @jax.jit
    def noised(t: jax.Array, key: jax.Array) -> jax.Array:
        def one(x: jax.Array, key: jax.Array) -> jax.Array:
            return Noised.draw(x, t[None], process, loaded.features, key, centred=True).frames[0]

        return jax.vmap(one)(clean, jax.random.split(key, len(clean)))

    times = ladder(loaded)
    keys = jax.random.split(jax.random.key(0), TIMES)
    at = [jnp.asarray(t, jnp.float32) for t in times]
    found = []
    states = {"folded": folded, "unfolded": ~folded}
    for late, early in pairwise(range(TIMES)):
        ratios = [
            np.asarray(energy(x, at[late]) - energy(x, at[early]), np.float64)
            for x in (noised(at[index], keys[index]) for index in (late, early))
        ]
        offsets = {name: offset(*(r[of] for r in ratios)) for name, of in states.items()}
        found.append((float(times[late]), float(times[early]), offsets))
    return found


def main() -> None:
    """Print a ladder a run."""
    for name in sys.argv[1:]:
        print(name)
        total = 0.0
        for late, early, offsets in steps(load_run(Path(name))):
            difference = offsets["folded"] - offsets["unfolded"]
            total += difference
            print(f"  t {late:.2e} -> {early:.2e}: {difference:+.3f} kT, in all {total:+.3f}")


if __name__ == "__main__":
    main()
