"""The Fokker-Planck residual of a trained model against diffusion time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..config import T_MIN
from ..model import AbstractEnergy
from ..objective import Noised, exact_residual
from ..process import AbstractProcess
from ..run.loaded import LoadedRun
from ..types import Features

PER_DECADE = 3
"""Times of the residual, whole powers of ten among them: the same whatever the experts' ranges."""
FRAMES = 512
SIZE = 12
"""Degrees of freedom, those of five beads, up to which there are so many."""
LEAST = 4
BATCH = 64

MOLECULES_PER_DECADE = 1
MOLECULES_FRAMES = 32
"""For each of many molecules: their networks are large, and D second derivatives a frame add up."""


def residual_against_time(
    loaded: LoadedRun,
    frames: Float[np.ndarray, "frames beads dim"],
    on_message: Callable[[str], None] = lambda _: None,
) -> dict[str, Any] | None:
    """Exact Fokker-Planck residual, R / D, of every conservative expert, on noised frames.

    Parameters
    ----------
    loaded
        The run.
    frames
        Scaled training frames.
    on_message
        Told the time that is next.

    Returns
    -------
    dict or None
        `t`, and the root mean square, the median magnitude and the mean of R / D at each, over the
        same frames; `not_finite`, the times at which it could not be computed. None if no expert
        has an energy or no time gave a number.
    """
    n_frames, per_decade = residual_frames(loaded.system.degrees_of_freedom), PER_DECADE
    if loaded.vocabulary is not None:
        n_frames, per_decade = MOLECULES_FRAMES, MOLECULES_PER_DECADE
    chosen = jnp.asarray(frames[:: max(1, len(frames) // n_frames)][:n_frames])
    process = loaded.config.process.build()
    rows: dict[str, list[float]] = {"t": [], "rms": [], "median": [], "mean": [], "not_finite": []}
    experts = [
        (expert, t)
        for index, expert in enumerate(loaded.model.experts)
        if isinstance(expert, AbstractEnergy)
        for t in residual_times(*loaded.model.interval(index), per_decade)
    ]
    for k, (expert, t) in enumerate(experts):
        on_message(f"Fokker-Planck residual at t = {t:.2g} ({k + 1} of {len(experts)})")
        found = np.asarray(
            _residuals(
                expert,
                process,
                chosen,
                jnp.asarray(t, jnp.float32),
                loaded.features,
                loaded.system.centred,
            ),
            np.float64,
        )
        found = found / loaded.system.degrees_of_freedom
        if not np.isfinite(found).all():
            rows["not_finite"].append(t)
            continue
        rows["t"].append(t)
        rows["rms"].append(float(np.sqrt(np.mean(found**2))))
        rows["median"].append(float(np.median(np.abs(found))))
        rows["mean"].append(float(found.mean()))
    if not rows["t"]:
        return None
    return {**rows, "frames": len(chosen), "unit": "R / D, per unit diffusion time"}


def residual_times(low: float, high: float, per_decade: int) -> list[float]:
    """Times of one grid that lie in an expert's range, and the two ends of the range.

    Methods whose experts differ are compared at the times that they share.
    """
    low, high = max(low, T_MIN), 0.999 * high
    decades = round(math.log10(1 / T_MIN))
    grid = [10.0 ** (k / per_decade - decades) for k in range(decades * per_decade)]
    near = 1e-6  # relative; an end that is on the grid is not taken twice
    inner = [t for t in grid if low * (1 + near) < t < high * (1 - near)]
    return [low, *inner, high]


def residual_frames(degrees_of_freedom: int) -> int:
    """Frames that the residual is averaged over: fewer of a large molecule.

    A frame takes as many second derivatives as there are degrees of freedom, each of an energy of
    all pairs: 512 frames of 28 beads took eight minutes of one core.
    """
    share = (SIZE / max(degrees_of_freedom, SIZE)) ** 1.5
    return max(LEAST, round(FRAMES * share))


@eqx.filter_jit
def _residuals(
    model: AbstractEnergy,
    process: AbstractProcess,
    frames: Float[Array, "frames beads dim"],
    t: Float[Array, ""],
    features: Features,
    centred: bool,
) -> Float[Array, " frames"]:
    def one(clean: Float[Array, "beads dim"], key: Array) -> Float[Array, ""]:
        noised = Noised.draw(clean, t[None], process, features, key, centred=centred)
        return exact_residual(model, process, noised.frames[0], t, features, centred=centred)

    keys = jax.random.split(jax.random.key(0), len(frames))
    # all at once, the derivatives along every coordinate of ten beads take gigabytes
    return jax.lax.map(lambda at: one(*at), (frames, keys), batch_size=BATCH)
