"""Samplers: solvers of the reverse-time equations from t = 1 down to a smallest time.

A sample is the frame at the smallest time, not the denoised mean, which would be too narrow by as
much as the frame is too wide: with a data std of 0.018 and the noise of 0.001 that the
variance-preserving process has at t = 1e-5, 0.15 % either way, and the frame costs no evaluation.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..process import AbstractProcess
from ..types import Key, Time
from .reverse import Frames, ReverseProcess


class AbstractSampler(eqx.Module):
    """A one-step map from time t down to time s, and the grid of times it is meant for."""

    @property
    @abstractmethod
    def evaluations(self) -> int | None:
        """Score evaluations a sample; None if the step size is adaptive."""

    @abstractmethod
    def times(
        self, process: AbstractProcess, edges: tuple[float, ...] = (0.0, 1.0)
    ) -> Float[np.ndarray, " points"]:
        """Decreasing times from 1, in double precision.

        Parameters
        ----------
        process
            Noise process.
        edges
            Times at which the score may jump; see `ReverseProcess.edges`.
        """

    @abstractmethod
    def init(self, x: Frames) -> PyTree:
        """What a multistep method remembers, before the first step from frames x."""

    @abstractmethod
    def step(
        self, reverse: ReverseProcess, x: Frames, carry: PyTree, t: Time, s: Time, key: Key
    ) -> tuple[Frames, PyTree]:
        """Go from time t down to time s.

        Parameters
        ----------
        reverse
            Score and process.
        x
            Frames at time t, shape (frames, beads, dim).
        carry
            What the last step, or `init`, returned.
        t, s
            Times, `s < t`; the same for the whole batch.
        key
            For noise.

        Returns
        -------
        tuple
            Frames at time s, and the carry of the next step.
        """


def solve(
    sampler: AbstractSampler,
    reverse: ReverseProcess,
    x: Frames,
    times: Float[Array, " points"] | Float[np.ndarray, " points"],
    key: Key,
) -> Frames:
    """Take frames from the first to the last of decreasing times, step i with `fold_in(key, i)`."""
    times = jnp.asarray(times, x.dtype)

    def body(state, step):
        (x, carry), (index, t, s) = state, step
        return sampler.step(reverse, x, carry, t, s, jax.random.fold_in(key, index)), None

    steps = jnp.arange(len(times) - 1), times[:-1], times[1:]
    return jax.lax.scan(body, (x, sampler.init(x)), steps)[0][0]
