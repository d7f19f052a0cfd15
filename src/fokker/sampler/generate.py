"""Independent samples, a batch at a time."""

from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import FokkerError
from ..model import AbstractScore
from ..process import AbstractProcess
from ..types import Features, Key
from .annealed import Annealed, Island
from .base import AbstractSampler, solve
from .path import AbstractPath
from .reverse import Frames, ReverseProcess

PILOT_STREAM = 2**32 - 1
"""Of a run's key: no island has that number."""


def generate(
    sampler: AbstractSampler,
    model: AbstractScore,
    process: AbstractProcess,
    features: Features,
    *,
    n: int,
    shape: tuple[int, int],
    centred: bool,
    key: Key,
    batch_size: int = 4096,
    on_batch: Callable[[int, int], None] | None = None,
    first_batch: int = 0,
) -> Iterator[Float[np.ndarray, "frames beads dim"]]:
    """Stream independent samples in scaled coordinates.

    Batch i has key `fold_in(key, i)` and is always drawn whole, so it depends neither on n nor on
    where the run started; the last one is cut to size on the host, and everything is compiled once.

    Parameters
    ----------
    sampler
        Reverse-time solver.
    model, process
        Score model and the process it was trained on.
    features
        What the beads are.
    n
        Samples of the whole run.
    shape
        Beads and dimensions of a frame.
    centred
        Whether the density lives in the centre-of-mass-free space.
    key
        Key of the whole run.
    batch_size
        Frames drawn together; it bounds the memory and is part of what the samples depend on.
    on_batch
        Called with the number of frames drawn so far and n, for a progress report.
    first_batch
        Batches already drawn by an earlier run, which are skipped.

    Returns
    -------
    Iterator
        Arrays of shape (batch, beads, dim), single precision. Frames that failed are NaN or
        infinite, and stay in.

    Raises
    ------
    FokkerError
        If a count is out of range.
    """
    _check_counts(n, batch_size, first_batch)
    reverse = ReverseProcess(model, process, jax.tree.map(jnp.asarray, features), centred)
    times = sampler.times(process, reverse.edges)

    def batches() -> Iterator[Float[np.ndarray, "frames beads dim"]]:
        for index in range(first_batch, -(-n // batch_size)):
            batch_key = jax.random.fold_in(key, index)
            frames = _draw(sampler, reverse, times, batch_key, (batch_size, *shape))
            done = min(n, (index + 1) * batch_size)
            frames = np.asarray(frames, np.float32)[: done - index * batch_size]
            if on_batch is not None:
                on_batch(done, n)
            yield frames

    return batches()


def generate_weighted(
    sampler: Annealed,
    path: AbstractPath,
    *,
    n: int,
    shape: tuple[int, int],
    key: Key,
    batch_size: int = 4096,
    on_batch: Callable[[int, int], None] | None = None,
    first_batch: int = 0,
) -> Iterator[Island]:
    """Stream islands of samples of the very density that the energies end at, scaled coordinates.

    Island i has key `fold_in(key, i)`, and all have the steps that pilots of the same key chose.

    Parameters
    ----------
    sampler
        Annealed sampler.
    path
        Energies from t = 1 down: an `EnergyPath`, or a tilted one.
    n, shape, key, batch_size, on_batch, first_batch
        As in `generate`; a batch is an island.

    Returns
    -------
    Iterator
        Islands, the last one cut to size.

    Raises
    ------
    FokkerError
        If a count is out of range, or no particle comes through.
    """
    _check_counts(n, batch_size, first_batch)
    schedule = sampler.plan(path, shape, jax.random.fold_in(key, PILOT_STREAM))

    def islands() -> Iterator[Island]:
        for index in range(first_batch, -(-n // batch_size)):
            own = jax.random.fold_in(key, index)
            island = sampler.draw(path, schedule, (batch_size, *shape), own)
            done = min(n, (index + 1) * batch_size)
            if on_batch is not None:
                on_batch(done, n)
            yield island.first(done - index * batch_size)

    return islands()


def _check_counts(n: int, batch_size: int, first_batch: int) -> None:
    for name, value, smallest in (
        ("n", n, 1),
        ("batch_size", batch_size, 1),
        ("first_batch", first_batch, 0),
    ):
        if value < smallest:
            raise FokkerError(f"sampling: {name} is {value}; it must be {smallest} or more")


@eqx.filter_jit
def _draw(
    sampler: AbstractSampler,
    reverse: ReverseProcess,
    times: Float[Array, " points"] | Float[np.ndarray, " points"],
    key: Key,
    shape: tuple[int, int, int],
) -> Frames:
    """One batch."""
    prior_key, step_key = jax.random.split(key)
    return solve(sampler, reverse, reverse.prior(prior_key, shape), times, step_key)
