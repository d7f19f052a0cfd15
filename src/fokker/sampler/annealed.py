r"""Annealed sampling: weighted particles of the very density that a simulation has.

A pilot of few particles goes down the path first. It measures `h`, the mean curvature of the
energy, and what a step of unit log-SNR adds to the variance of the log-weights, c. As that grows
with the square of the step, steps of length `sqrt(v / c)` add v each. Then islands of particles
follow its steps, one after another, each on its own: memory is bounded by one of them.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from ..errors import FokkerError
from ..metrics import Ancestry
from ..options import Options
from ..types import Key
from .grid import SmallestTime, time_grid, times_at
from .particles import (
    Particles,
    advance,
    at_prior,
    effective_share,
    mean_curvature,
    resample,
    shares,
)
from .path import AbstractPath

PILOT_STEPS, PILOT_PARTICLES, PILOTS = 100, 512, 2
LONGEST = 1.0
"""Step, in log-SNR."""


class AnnealedOptions(Options):
    """Options of the annealed sampler."""

    name: Literal["annealed"] = "annealed"
    variance: float = Field(
        default=0.005,
        gt=0,
        le=1,
        description="that a step adds to the logarithms of the weights; a smaller one means more "
        "steps",
    )
    resample: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="effective share of the particles below which they are drawn anew",
    )
    most_steps: int = Field(default=2000, ge=1, le=1_000_000, description="steps at most")
    t_min: SmallestTime = 1e-5

    def build(self) -> "Annealed":
        """Return the sampler."""
        return Annealed(self.variance, self.resample, self.most_steps, self.t_min)


class Schedule(NamedTuple):
    """Steps of all islands.

    Attributes
    ----------
    times
        From 1 down to the smallest, in double precision.
    curvature
        Mean second derivative of the energy at the beginning of each step.
    """

    times: Float[np.ndarray, " points"]
    curvature: Float[np.ndarray, " steps"]


class Island(NamedTuple):
    """Frames of one density, drawn evenly, those of one ancestor one after another.

    So an analysis that knows that neighbouring frames of a file are alike, by blocks or by
    autocorrelation, has the right errors.

    Attributes
    ----------
    frames
        Scaled coordinates, single precision.
    ancestor
        Which frame of noise each descends from.
    log_normalisation, error
        Logarithm of the integral of `exp(-E)`, estimated; islands count in proportion to it.
    effective
        Independent frames that these are worth, by ancestors.
    share
        Effective share of the weighted particles that the frames were drawn from.
    resamplings
        How often particles were drawn anew on the way.
    """

    frames: Float[np.ndarray, "frames beads dim"]
    ancestor: Int[np.ndarray, " frames"]
    log_normalisation: float
    error: float
    effective: float
    share: float
    resamplings: int

    def first(self, n: int) -> "Island":
        """The first n frames: ancestors have no order, so they are a smaller sample."""
        share = min(1.0, n / len(self.frames))
        return self._replace(
            frames=self.frames[:n], ancestor=self.ancestor[:n], effective=share * self.effective
        )


class Annealed(eqx.Module):
    """Sequential Monte Carlo along the energies of a model; see the module."""

    variance: float
    resample: float
    most_steps: int
    t_min: float

    @property
    def evaluations(self) -> None:
        """Not known beforehand; one a step."""

    def plan(self, path: AbstractPath, shape: tuple[int, int], key: Key) -> Schedule:
        """Choose the steps by pilots.

        Parameters
        ----------
        path
            Energies from t = 1 down.
        shape
            Beads and dimensions.
        key
            For the pilots.

        Raises
        ------
        FokkerError
            If no particle of a pilot comes through.
        """
        process = path.reverse.process
        times = time_grid(process, PILOT_STEPS, "log_snr", self.t_min)
        size = (PILOT_PARTICLES, *shape)
        for pilot in range(PILOTS):
            pilot_key = jax.random.fold_in(key, pilot)
            found = _pilot(path, jnp.asarray(times, jnp.float32), pilot_key, size)
            gained, curvature = (np.asarray(column, float) for column in found)
            if not np.all(np.isfinite(gained)):
                raise FokkerError(
                    "annealed sampling: not one of the pilot's particles came through "
                    f"t = {times[int(np.argmin(np.isfinite(gained)))]:.2g}; the energy is not "
                    "finite there, so train the model for longer"
                )
            log_snr = _log_snr(path, times)
            spread = _smoothed(np.sqrt(gained)) / np.diff(log_snr)
            wanted = np.maximum(spread / np.sqrt(self.variance), 1.0 / LONGEST)
            so_far = np.concatenate([[0.0], np.cumsum(wanted * np.diff(log_snr))])
            n = min(int(np.ceil(so_far[-1])), self.most_steps)
            targets = np.interp(np.linspace(0.0, so_far[-1], n + 1), so_far, log_snr)
            known, times = times, times_at(process, targets, self.t_min)
        return Schedule(times, np.interp(-times[:-1], -known[:-1], curvature))

    def draw(
        self, path: AbstractPath, schedule: Schedule, shape: tuple[int, int, int], key: Key
    ) -> Island:
        """One island of particles; shape is (frames, beads, dim).

        Raises
        ------
        FokkerError
            If no particle comes through.
        """
        times = jnp.asarray(schedule.times, jnp.float32)
        curvature = jnp.asarray(schedule.curvature, jnp.float32)
        particles, even, count = _island(self, path, times, curvature, key, shape)
        log_weight = np.asarray(particles.log_weight, np.float64)
        if not np.isfinite(log_weight).any():
            raise FokkerError(
                "annealed sampling: not one particle of an island came through; train the model "
                "for longer, or take more particles at a time (sampling.batch_size)"
            )
        ancestry = Ancestry.of(log_weight, np.asarray(particles.ancestor))
        log_mean, error = ancestry.log_mean_weight()
        order = np.argsort(np.asarray(even.ancestor), kind="stable")
        return Island(
            np.asarray(even.x, np.float32)[order],
            np.asarray(even.ancestor)[order],
            float(particles.log_normalisation) + log_mean,
            error,
            ancestry.effective,
            ancestry.effective_share,
            int(count),
        )


def _log_snr(
    path: AbstractPath, times: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(path.reverse.process.log_snr)(jnp.asarray(times)))


def _smoothed(values: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    """Mean of each value and its neighbours: a pilot is small."""
    padded = np.pad(values, 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0


@eqx.filter_jit
def _pilot(
    path: AbstractPath, times: Float[Array, " points"], key: Key, shape: tuple[int, int, int]
) -> tuple[Float[Array, " steps"], Float[Array, " steps"]]:
    """Variance that each step adds, and the mean curvature it begins with."""
    start_key, step_key = jax.random.split(key)

    def body(particles: Particles, step):
        index, t, s = step
        move_key, draw_key = jax.random.split(jax.random.fold_in(step_key, index))
        curvature = mean_curvature(path, particles)
        weights = shares(particles)
        after, gain = advance(path, particles, t, s, curvature, move_key)
        finite = jnp.isfinite(gain)
        weights = jnp.where(finite, weights, 0.0) / jnp.sum(jnp.where(finite, weights, 0.0))
        gain = jnp.where(finite, gain, 0.0)
        variance = weights @ (gain - weights @ gain) ** 2
        return resample(after, 0.5, draw_key), (variance, curvature)

    steps = jnp.arange(len(times) - 1), times[:-1], times[1:]
    return jax.lax.scan(body, at_prior(path, start_key, shape), steps)[1]


@eqx.filter_jit
def _island(
    sampler: Annealed,
    path: AbstractPath,
    times: Float[Array, " points"],
    curvature: Float[Array, " steps"],
    key: Key,
    shape: tuple[int, int, int],
) -> tuple[Particles, Particles, Int[Array, ""]]:
    """Particles at the last time; drawn evenly; and how often they were drawn anew before."""
    start_key, step_key, even_key = jax.random.split(key, 3)

    def body(state, step):
        particles, count = state
        index, t, s, h = step
        move_key, draw_key = jax.random.split(jax.random.fold_in(step_key, index))
        particles, _ = advance(path, particles, t, s, h, move_key)
        count = count + (effective_share(particles) < sampler.resample)
        return (resample(particles, sampler.resample, draw_key), count), None

    start = at_prior(path, start_key, shape), jnp.zeros((), int)
    steps = jnp.arange(len(times) - 1), times[:-1], times[1:], curvature
    (particles, count), _ = jax.lax.scan(body, start, steps)
    return particles, resample(particles, jnp.inf, even_key), count
