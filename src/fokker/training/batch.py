"""What one optimiser step sees: frames, their times of noise, and random numbers for each."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..config import TrainingOptions
from ..dataset.pool import Pool
from ..types import ForceLabels, Key


class Batch(NamedTuple):
    """What one step sees.

    Attributes
    ----------
    index
        Which frames of the pool.
    frames
        Clean, scaled, shape (batch, beads, dim).
    times
        Shape (batch, times).
    keys
        One stream a frame.
    molecule
        Number of the molecule of each frame; None if there is one.
    weight
        What the losses of each frame count for; None if all count alike.
    labels
        Forces that are known in the frames; None if there are none at all.
    """

    index: Int[Array, " batch"]
    frames: Float[Array, "batch beads dim"]
    times: Float[Array, "batch times"]
    keys: Array
    molecule: Int[Array, " batch"] | None = None
    weight: Float[Array, " batch"] | None = None
    labels: ForceLabels | None = None


def draw_batch(
    key: Key,
    pool: Pool,
    interval: Float[Array, " 2"],
    options: TrainingOptions,
    times_per_frame: int,
) -> Batch:
    """Frames, times and keys of one step; the same for the same key.

    The first time of each frame is stratified over the batch, which takes variance out of the
    loss, and over every run of its rows; the further ones are independent.

    Parameters
    ----------
    key
        Of the step.
    pool
        Frames to draw from.
    interval
        Lowest and highest time.
    options
        Size of the batch, and how times spread over the interval.
    times_per_frame
        The most that an objective needs.
    """
    size, (low, high) = options.batch_size, interval
    pick, first, rest, each = jax.random.split(key, 4)
    index, molecule = pool.pick(pick, size)
    u = _stratified(first, size)
    others = _partners(u, times_per_frame - 1, options.pair_width, rest)
    times = low + (high - low) * jnp.column_stack([u, others]) ** options.time_power
    keys = jax.random.split(each, size)
    labels = jax.tree.map(lambda a: a[index], pool.labels)
    weight = _weight(pool.weights(index), times[:, 0], interval, options.midpoint)
    return Batch(index, pool.frames[index], times, keys, molecule, weight, labels)


def of_molecule(tree: Any, molecule: Int[Array, "*chains"]) -> Any:
    """Entry of a molecule, or of each of several, in all arrays."""
    arrays, rest = eqx.partition(tree, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))
    return eqx.combine(jax.tree.map(lambda leaf: jnp.asarray(leaf)[molecule], arrays), rest)


def _stratified(key: Key, size: int) -> Float[Array, " batch"]:
    """One number in each of as many equal parts of [0, 1), in a random order that is even too.

    The parts are visited in the order of the multiples of the golden ratio, from a random one on.
    So each row is as often in each part as in any other, and the rows from any one to any other
    are spread evenly (three-distance theorem; Sos, Ann. Univ. Sci. Budapest 1, 127, 1958). A
    random permutation would not be even, and the rows of one part would always be those it has.
    """
    start, within = jax.random.split(key)
    golden = np.arange(size) * (np.sqrt(5.0) - 1.0) / 2.0 % 1.0
    rank = jnp.asarray(np.argsort(np.argsort(golden)))
    part = (rank + jax.random.randint(start, (), 0, size)) % size
    return (part + jax.random.uniform(within, (size,))) / size


def _partners(
    u: Float[Array, " batch"], n: int, width: float | None, key: Key
) -> Float[Array, "batch others"]:
    """Further times of each frame: anywhere or, every other frame, near the first.

    Far apart, two times are told from each other by the stiff modes alone, and the logistic
    loss of `diffclf` is flat in everything soft. But only far pairs show a small time what
    strongly noised frames look like; with near pairs alone the energy opens holes outside the
    data and long simulations fall into them. Reflection at 0 and 1 keeps a near partner
    uniform, so all have the stated distribution.
    """
    anywhere, step = jax.random.uniform(key, (2, len(u), n))
    if width is None:
        return anywhere
    near = 1.0 - jnp.abs(1.0 - jnp.abs(u[:, None] + width * (2.0 * step - 1.0)))
    return jnp.where(jnp.arange(len(u))[:, None] % 2 == 0, anywhere, near)


def _weight(
    of_frames: Float[Array, " batch"] | None,
    times: Float[Array, " batch"],
    interval: Float[Array, " 2"],
    midpoint: float | None,
) -> Float[Array, " batch"] | None:
    """What the losses of frames at their times count for; 1 on average over time."""
    if midpoint is None:
        return of_frames
    low, high = interval
    width = jnp.where(times <= midpoint, midpoint - low, high - midpoint)
    of_times = 0.5 * (high - low) / width
    return of_times if of_frames is None else of_frames * of_times
