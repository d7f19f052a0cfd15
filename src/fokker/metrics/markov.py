"""Markov state models from counts that are kept block by block, so that they can be resampled.

Transitions are counted within a piece (a trajectory file, or a chain of a simulation), never from
the end of one to the begin of the next. A model is the reversible one of largest likelihood on the
largest set of states that are connected there and back (Trendelkamp-Schroer et al., arXiv
1507.05990), as `deeptime` finds it. States outside of that set have no part in it, and are counted.

Errors are those of a bootstrap over blocks: the pieces or, if there are few, parts of them. They
are widened as in `fokker.metrics.bootstrap`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from .bootstrap import student

FEWEST_BLOCKS = 16
"""Pieces are cut until there are about as many, if there are fewer."""

MOST_BLOCKS = 128
"""More pieces than this are joined."""

DRAWS = 48
"""Draws of an error: its own relative error is 10 per cent."""


@dataclass(frozen=True)
class Estimate:
    """A positive number or a probability with an interval that holds 68 per cent; None if unknown.

    Attributes
    ----------
    value, low, high
        In the unit of the quantity.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, float | None]:
        """Plain numbers."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class MarkovModel:
    """Reversible Markov state model on the connected states.

    Attributes
    ----------
    n_states
        Of the discretisation.
    active
        Connected states, in ascending order.
    matrix
        Probabilities of transitions in one lag.
    stationary
        Equilibrium distribution of the active states.
    lag
        In frames.
    """

    n_states: int
    active: Int[np.ndarray, " active"]
    matrix: Float[np.ndarray, "active active"]
    stationary: Float[np.ndarray, " active"]
    lag: int

    @functools.cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues, the largest first, and right eigenvectors with unit norm in equilibrium."""
        root = np.sqrt(self.stationary)
        symmetric = root[:, None] * self.matrix / root[None, :]
        values, vectors = np.linalg.eigh(0.5 * (symmetric + symmetric.T))
        return values[::-1], vectors[:, ::-1] / root[:, None]

    def timescales(self, n: int) -> Float[np.ndarray, " n"]:
        """Implied timescales `-lag / log(eigenvalue)` in frames, slowest first; NaN beyond all."""
        found = np.full(n, np.nan)
        values = self._spectrum[0][1 : n + 1]
        good = (values > 0.0) & (values < 1.0)
        found[: len(values)][good] = -self.lag / np.log(values[good])
        return found

    def modes(self, n: int) -> Float[np.ndarray, "states modes"]:
        """Slowest right eigenvectors over all states; zero where a state is not connected."""
        vectors = self._spectrum[1][:, 1 : n + 1]
        found = np.zeros((self.n_states, vectors.shape[1]))
        found[self.active] = vectors
        return found

    @property
    def weights(self) -> Float[np.ndarray, " states"]:
        """Equilibrium distribution over all states."""
        found = np.zeros(self.n_states)
        found[self.active] = self.stationary
        return found

    def passage(
        self, start: Bool[np.ndarray, " states"], target: Bool[np.ndarray, " states"]
    ) -> float:
        """Mean first-passage time in frames from the equilibrium within one set to another.

        NaN if one of them holds no connected state.
        """
        start, target = start[self.active], target[self.active]
        if not (start.any() and target.any()):
            return math.nan
        outside = ~target
        times = np.zeros(len(self.active))
        steps = np.eye(int(outside.sum())) - self.matrix[np.ix_(outside, outside)]
        times[outside] = np.linalg.solve(steps, np.full(len(steps), float(self.lag)))
        return float(np.average(times[start], weights=self.stationary[start]))

    def staying(self, sets: Int[np.ndarray, " states"], steps: int) -> Float[np.ndarray, " sets"]:
        """Probability to be found in each set so many lags after the equilibrium within it."""
        sets = sets[self.active]
        power = np.linalg.matrix_power(self.matrix, steps)
        found = np.full(int(sets.max(initial=-1)) + 1, np.nan)
        for k in range(len(found)):
            inside = sets == k
            if inside.any():
                weight = self.stationary * inside
                found[k] = weight @ power @ inside / weight.sum()
        return found


@dataclass(frozen=True)
class StateTrajectories:
    """States visited by the pieces of a set of frames.

    Attributes
    ----------
    pieces
        State of each frame, piece by piece, in real time order.
    n_states
        Of the discretisation.
    seed
        Of the draws.
    """

    pieces: Sequence[Int[np.ndarray, " _frames"]]
    n_states: int
    seed: int = 0

    @property
    def typical_length(self) -> int:
        """Half of the frames are in pieces at least as long."""
        return typical_length([len(piece) for piece in self.pieces])

    @property
    def visits(self) -> Int[np.ndarray, " states"]:
        """Frames in each state."""
        return np.bincount(np.concatenate(self.pieces), minlength=self.n_states)

    @functools.cached_property
    def _blocks(self) -> tuple[list[np.ndarray], int]:
        """Block of every frame, and the number of blocks."""
        total = sum(len(piece) for piece in self.pieces)
        most = max(total / max(FEWEST_BLOCKS, len(self.pieces)), 1.0)
        joined = -(-len(self.pieces) // MOST_BLOCKS)
        index, count = [], 0
        for number, piece in enumerate(self.pieces):
            parts = 1
            if len(self.pieces) < FEWEST_BLOCKS:
                parts = max(1, round(len(piece) / most))
            index.append(count + np.arange(len(piece)) * parts // max(len(piece), 1))
            if (number + 1) % joined == 0:
                count += parts
        return index, max(int(block.max(initial=0)) for block in index) + 1

    def counts(self, lag: int) -> Float[np.ndarray, "blocks states states"]:
        """Sliding-window counts of transitions, by the block of their first frame."""
        index, n_blocks = self._blocks
        n = self.n_states
        total = np.zeros(n_blocks * n * n)
        for piece, block in zip(self.pieces, index, strict=True):
            if len(piece) > lag:
                cell = (block[:-lag] * n + piece[:-lag]) * n + piece[lag:]
                total += np.bincount(cell, minlength=len(total))
        return total.reshape(n_blocks, n, n)

    def model(self, lag: int) -> MarkovModel | None:
        """Model of all pieces at a lag in frames; None if no two states are connected."""
        return self.models(lag)[0]

    @functools.cached_property
    def _known(self) -> dict[int, list[MarkovModel | None]]:
        return {}

    def models(self, lag: int) -> list[MarkovModel | None]:
        """Model of all pieces, then those of the draws, whose blocks are the same at every lag."""
        if lag not in self._known:
            counts = self.counts(lag)
            rng = np.random.default_rng([self.seed, 17])
            n = len(counts)
            drawn = rng.multinomial(n, np.full(n, 1 / n), DRAWS)
            sums = np.tensordot(drawn.astype(float), counts, axes=1)
            self._known[lag] = [fit_counts(each, lag) for each in (counts.sum(axis=0), *sums)]
        return self._known[lag]

    @property
    def widening(self) -> float:
        """What makes an error of the spread over the draws."""
        n = self._blocks[1]
        return student(n - 1) / math.sqrt(1 - 1 / n) if n > 1 else math.inf

    def estimate(
        self, lag: int, quantity: Callable[[MarkovModel], Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        """A quantity of the model and of every draw; NaN where there is none.

        Returns
        -------
        value
            Shape of the quantity.
        draws
            Shape (draws, ...).
        """
        first, *others = self.models(lag)
        assert first is not None
        value = np.asarray(quantity(first), float)
        blank = np.full(value.shape, np.nan)
        drawn = [blank if m is None else np.asarray(quantity(m), float) for m in others]
        return value, np.stack([each if each.shape == value.shape else blank for each in drawn])


def fit_counts(counts: Float[np.ndarray, "states states"], lag: int) -> MarkovModel | None:
    """Reversible model of largest likelihood on the largest connected set.

    Parameters
    ----------
    counts
        Transitions from row to column.
    lag
        In frames.

    Returns
    -------
    MarkovModel or None
        None if fewer than two states are connected.
    """
    from deeptime.markov import TransitionCountModel
    from deeptime.markov.msm import MaximumLikelihoodMSM

    connected = TransitionCountModel(counts).submodel_largest(connectivity_threshold=0.0)
    if connected.n_states < 2:
        return None
    estimator = MaximumLikelihoodMSM(reversible=True, maxerr=1e-8)
    found: Any = estimator.fit_from_counts(connected.count_matrix).fetch_model()
    return MarkovModel(
        len(counts),
        np.asarray(connected.state_symbols),
        np.asarray(found.transition_matrix),
        np.asarray(found.stationary_distribution),
        lag,
    )


def interval(
    value: float, draws: Float[np.ndarray, " draws"], widening: float, *, positive: bool = True
) -> Estimate:
    """Number with its error from draws; of a positive one the error is that of its logarithm.

    There is no error if a third of the draws or more do not have the number.
    """
    if not math.isfinite(value):
        return Estimate(None)
    if positive and value <= 0.0:
        return Estimate(value)
    found = draws[np.isfinite(draws) & ((draws > 0.0) | (not positive))]
    if 3 * len(found) <= 2 * len(draws) or not math.isfinite(widening):
        return Estimate(value)
    spread = widening * float(np.std(np.log(found) if positive else found))
    if positive:
        return Estimate(value, value * math.exp(-spread), value * math.exp(spread))
    return Estimate(value, value - spread, value + spread)


def typical_length(lengths: Sequence[int]) -> int:
    """Half of all frames are in pieces at least as long."""
    order = np.sort(np.asarray(lengths, int))[::-1]
    if not order.sum():
        return 0
    return int(order[np.searchsorted(np.cumsum(order), 0.5 * order.sum())])


def one_thread() -> AbstractContextManager[Any]:
    """Linear algebra on one thread, if the package that can say so is there."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(1, "blas")
