"""Kinetics of data and simulation side by side: timescales, passage times, speed-up.

Only frames of real dynamics have kinetics. Nothing in a file says that its frames are such: frames
of replica exchange or of a sampler may well state times. So the caller has to say it.

- **States** are the same for both: see `fokker.metrics.discretisation`.
- **Lag.** Each side has its own, in its own time. Of a row (1, 2, 3, 5, 8, ... frames, up to a
  tenth of the typical length of a piece) only lags are looked at whose slowest timescale is at
  least three times the lag: beyond, a process has decayed into noise. The lag is the shortest of
  these whose slowest timescale does not rise further: at no lag at least twice as long is it longer
  by more than 5 per cent and more than twice the error of this difference. Where there is none, it
  is the longest of these, and `lag_converged` is false.
- **Processes** are slow if their timescale is at least three times the data's lag; one at least and
  three at most are looked at. Those of the simulation are paired with them by the overlap of their
  eigenvectors in the data's equilibrium.
- **Sets** are those of PCCA+ on the data's model, one more than processes, the most populated
  first.
- **Speed-up** is the ratio of the data's timescale to the simulation's, process by process: the
  simulation has its own friction and, being coarse, a smoother energy. Mean and unevenness are of
  the pairs that overlap by half or more.

All times are in ps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..errors import FokkerError
from .discretisation import States, whole_pieces
from .markov import MarkovModel, StateTrajectories, interval, one_thread, typical_length

FEWEST_FRAMES = 20
"""Of a typical piece."""

MOST_PROCESSES = 3

_GROWTH = 0.05
"""By which timescales may still rise beyond the chosen lag."""

_RESOLVED = 3.0
"""Lags to a timescale, at least."""

_SAME = 0.5
"""Overlap from which on a process of the simulation is taken for that of the data."""

_MULTIPLES = 5
"""Of the lag, in the test of Chapman and Kolmogorov."""


@dataclass(frozen=True)
class Dynamics:
    """Features in real time order.

    Attributes
    ----------
    pieces
        Trajectories without a gap, each (frames, features); rows that are not finite failed.
    interval
        Time between frames, ps.
    """

    pieces: Sequence[Float[np.ndarray, "_frames features"]]
    interval: float


def kinetics(data: Dynamics, simulation: Dynamics | None = None, seed: int = 0) -> dict[str, Any]:
    """Timescales, passage times and Chapman-Kolmogorov test of both, and the speed-up.

    Parameters
    ----------
    data, simulation
        The same features of both.
    seed
        Of the clustering and of the draws for errors.

    Returns
    -------
    dict
        `states`, their number; `data` and `simulation`, each with `interval`, `pieces`, `frames`,
        `failed_frames`, `lag` (ps), `lag_converged`, `connected_states`, `connected_share` (of
        frames), `timescales`, `implied` (`lags`, and `timescales` at each), `populations` of the
        sets, `passage` (mean first-passage times from row to column) and `chapman_kolmogorov`
        (`times`, `predicted`, `estimated`, and `largest_deviation` in errors);
        `without_simulation`, a sentence where it is None; `unvisited`: `states` that the
        simulation never visits, their `share` in the data's equilibrium, and `beyond`, the share of
        simulation frames where the data hardly ever are; `speed_up`: `processes` (`data`,
        `simulation`, the numbers of a pair, `overlap`, `ratio`), `mean`, geometric, and
        `unevenness`, the largest ratio over the smallest, None without a pair. Numbers with errors
        are `value`, `low`, `high`, an interval of 68 per cent.

    Raises
    ------
    FokkerError
        If the interval is not positive, or the data are too short or never leave a state.
    """
    for side in (data, simulation):
        if side is not None and not (math.isfinite(side.interval) and side.interval > 0.0):
            raise FokkerError(
                f"the time between frames is {side.interval:g} ps; give a positive one."
            )
    # Many small matrices: the threads of a BLAS cost far more than they gain.
    with one_thread():
        return _kinetics(data, simulation, seed)


def _kinetics(data: Dynamics, simulation: Dynamics | None, seed: int) -> dict[str, Any]:
    pieces = whole_pieces(data.pieces)
    if fault := _too_short(pieces):
        raise FokkerError(f"kinetics of the data: {fault}")
    states = States.of(pieces, seed)
    lost = sum(map(len, data.pieces)) - sum(map(len, pieces))
    trajectories = _assigned(states, pieces, seed)
    if trajectories.model(1) is None:
        raise FokkerError("kinetics of the data: no state is left and entered again; give more.")
    own = _Side.of(trajectories, data.interval, lost)
    n = own.n_processes
    sets = _sets(own.model, n)
    table: dict[str, Any] = {
        "states": len(states.centres),
        "data": own.table(sets, n),
        "simulation": None,
        "without_simulation": "there is none" if simulation is None else None,
        "unvisited": None,
        "speed_up": None,
    }
    if simulation is None:
        return table
    other_pieces = whole_pieces(simulation.pieces)
    lost = sum(map(len, simulation.pieces)) - sum(map(len, other_pieces))
    fault = _too_short(other_pieces)
    if not other_pieces:
        return table | {"without_simulation": fault}
    found = _assigned(states, other_pieces, seed + 1)
    missing = (found.visits == 0) & (trajectories.visits > 0)
    beyond = [states.assign(piece)[1] for piece in other_pieces]
    table["unvisited"] = {
        "states": int(missing.sum()),
        "share": float(own.model.weights[missing].sum()),
        "beyond": float(np.concatenate(beyond).mean()),
    }
    if fault is None and found.model(1) is None:
        fault = "it never leaves a state and comes back."
    if fault:
        return table | {"without_simulation": fault}
    other = _Side.of(found, simulation.interval, lost)
    return table | {"simulation": other.table(sets, n + 2), "speed_up": _speed_up(own, other)}


def _too_short(pieces: Sequence[np.ndarray]) -> str | None:
    typical = typical_length([len(piece) for piece in pieces])
    if typical >= FEWEST_FRAMES:
        return None
    return (
        f"{typical} frames in a typical piece are too few for any lag; at least {FEWEST_FRAMES} "
        "without a gap are needed, so store more frames or simulate longer."
    )


def _assigned(states: States, pieces: Sequence[np.ndarray], seed: int) -> StateTrajectories:
    return StateTrajectories(
        [states.assign(piece)[0] for piece in pieces], len(states.centres), seed
    )


@dataclass(frozen=True)
class _Side:
    """Data or simulation with the lag that was chosen."""

    trajectories: StateTrajectories
    interval: float
    lost: int
    lags: tuple[int, ...]
    lag: int
    converged: bool

    @staticmethod
    def of(trajectories: StateTrajectories, interval: float, lost: int) -> _Side:
        lags = lags_of(trajectories.typical_length)
        lags = tuple(lag for lag in lags if trajectories.model(lag) is not None)
        lag, converged = chosen_lag(trajectories, lags)
        return _Side(trajectories, interval, lost, lags, lag, converged)

    @property
    def model(self) -> MarkovModel:
        found = self.trajectories.model(self.lag)
        assert found is not None
        return found

    @property
    def n_processes(self) -> int:
        """Slow ones."""
        times = self.model.timescales(min(MOST_PROCESSES, len(self.model.active) - 1))
        return max(1, int(np.sum(times >= _RESOLVED * self.lag)))

    def timescales(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """In ps, and those of the draws."""
        value, draws = self.trajectories.estimate(self.lag, lambda model: model.timescales(n))
        return value * self.interval, draws * self.interval

    def table(self, sets: Int[np.ndarray, " states"], n: int) -> dict[str, Any]:
        many, model, unit = self.trajectories, self.model, self.interval
        n_sets = int(sets.max()) + 1
        inside = [sets == k for k in range(n_sets)]

        def passage(found: MarkovModel) -> list[list[float]]:
            return [[found.passage(a, b) for b in inside] for a in inside]

        def populations(found: MarkovModel) -> list[float]:
            return [float(found.weights[one].sum()) for one in inside]

        def estimates(lag: int, quantity: Any, unit: float = 1.0) -> list[dict[str, Any]]:
            return _estimates(*many.estimate(lag, quantity), many.widening, unit)

        between = estimates(self.lag, lambda m: np.ravel(passage(m)), unit)
        visits = many.visits
        return {
            "interval": unit,
            "pieces": len(many.pieces),
            "frames": int(visits.sum()),
            "failed_frames": self.lost,
            "lag": self.lag * unit,
            "lag_converged": self.converged,
            "connected_states": len(model.active),
            "connected_share": float(visits[model.active].sum() / visits.sum()),
            "timescales": estimates(self.lag, lambda m: m.timescales(n), unit),
            "implied": {
                "lags": [lag * unit for lag in self.lags],
                "timescales": [
                    estimates(lag, lambda m: m.timescales(MOST_PROCESSES), unit)
                    for lag in self.lags
                ],
            },
            "populations": estimates(self.lag, populations),
            "passage": [
                [None if i == j else between[i * n_sets + j] for j in range(n_sets)]
                for i in range(n_sets)
            ],
            "chapman_kolmogorov": self._chapman_kolmogorov(sets),
        }

    def _chapman_kolmogorov(self, sets: Int[np.ndarray, " states"]) -> dict[str, Any]:
        many, n_sets = self.trajectories, int(sets.max()) + 1
        most = min(_MULTIPLES, many.typical_length // (2 * self.lag))
        steps = [k for k in range(1, most + 1) if many.model(k * self.lag) is not None]
        predicted, estimated, worst = [], [], 0.0

        def staying(model: MarkovModel, k: int) -> np.ndarray:
            found = np.full(n_sets, np.nan)
            some = model.staying(sets, k)
            found[: len(some)] = some
            return found

        for k in steps:
            guess = many.estimate(self.lag, lambda model, k=k: staying(model, k))
            truth = many.estimate(k * self.lag, lambda model: staying(model, 1))
            predicted.append([_finite(p) for p in guess[0]])
            estimated.append(_estimates(*truth, many.widening, positive=False))
            error = many.widening * _spread(truth[1] - guess[1])
            apart = np.abs(truth[0] - guess[0])
            sure = np.isfinite(apart) & np.isfinite(error) & (error > 0)
            if k > 1 and sure.any():
                worst = max(worst, float((apart[sure] / error[sure]).max()))
        return {
            "times": [k * self.lag * self.interval for k in steps],
            "predicted": predicted,
            "estimated": estimated,
            "largest_deviation": worst,
        }


def lags_of(length: int) -> tuple[int, ...]:
    """Lags that are tried, in frames: nearly even in the logarithm, up to a tenth of the length."""
    found = np.unique(np.round(1.5 ** np.arange(40)).astype(int))
    return tuple(int(lag) for lag in found if lag <= max(1, length // 10))


def chosen_lag(trajectories: StateTrajectories, lags: Sequence[int]) -> tuple[int, bool]:
    """Shortest lag from which on the slowest timescale does not rise, and whether there is one.

    See the module for the rule.
    """
    found = [trajectories.estimate(lag, lambda model: model.timescales(1)) for lag in lags]
    value = np.array([each[0][0] for each in found])
    logs = np.log(value)
    draws = np.log(np.stack([each[1][:, 0] for each in found]))
    seen = [k for k, lag in enumerate(lags) if value[k] >= _RESOLVED * lag]
    for k in seen:
        later = [j for j in seen if lags[j] >= 2 * lags[k]]
        # the draws have the same blocks at every lag, so that rises are known better than values
        errors = [2 * trajectories.widening * _spread(draws[j] - draws[k]) for j in later]
        rises = [logs[j] - logs[k] > max(_GROWTH, e) for j, e in zip(later, errors, strict=True)]
        if later and not any(rises):
            return lags[k], True
    return lags[seen[-1] if seen else 0], False


def _sets(model: MarkovModel, n_processes: int) -> Int[np.ndarray, " states"]:
    """Set of each state by PCCA+, the most populated first; -1 where not connected."""
    from deeptime.markov import pcca

    n_sets = min(n_processes + 1, len(model.active))
    memberships = pcca(model.matrix, n_sets, model.stationary).memberships
    crisp = np.asarray(memberships).argmax(axis=1)
    weights = np.bincount(crisp, weights=model.stationary, minlength=n_sets)
    rank = np.empty(n_sets, int)
    rank[np.argsort(-weights)] = np.arange(n_sets)
    sets = np.full(model.n_states, -1)
    sets[model.active] = rank[crisp]
    return sets


def _speed_up(own: _Side, other: _Side) -> dict[str, Any]:
    """Ratio of timescales of paired processes."""
    from scipy.optimize import linear_sum_assignment

    n = own.n_processes
    weights = own.model.weights[:, None]
    common = np.zeros((own.model.n_states, 1), bool)
    common[np.intersect1d(own.model.active, other.model.active)] = True
    a = _normed(own.model.modes(n) * common, weights)
    b = _normed(other.model.modes(n + 2) * common, weights)
    overlap = np.abs((weights * a).T @ b)
    rows, columns = linear_sum_assignment(-overlap)
    mine, theirs = own.timescales(n), other.timescales(n + 2)
    widening = max(own.trajectories.widening, other.trajectories.widening)
    value = mine[0][rows] / theirs[0][columns]
    draws = mine[1][:, rows] / theirs[1][:, columns]
    found = [interval(float(v), draws[:, k], widening) for k, v in enumerate(value)]
    same = overlap[rows, columns] >= _SAME
    logs, drawn = np.log(value[same]), np.log(draws[:, same])

    def of(single: float, many: np.ndarray) -> dict[str, float | None]:
        return interval(float(np.exp(single)), np.exp(many), widening).as_json()

    return {
        "processes": [
            {
                "data": int(i),
                "simulation": int(j),
                "overlap": float(overlap[i, j]),
                "ratio": found[k].as_json(),
            }
            for k, (i, j) in enumerate(zip(rows, columns, strict=True))
        ],
        "mean": of(float(logs.mean()), drawn.mean(axis=1)) if same.any() else None,
        "unevenness": of(float(np.ptp(logs)), np.ptp(drawn, axis=1)) if same.sum() > 1 else None,
    }


def _normed(modes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    norm = np.sqrt(np.sum(weights * modes**2, axis=0))
    return modes / np.where(norm > 0, norm, 1.0)


def _estimates(
    value: np.ndarray,
    draws: np.ndarray,
    widening: float,
    unit: float = 1.0,
    *,
    positive: bool = True,
) -> list[dict[str, Any]]:
    found = [
        interval(float(v) * unit, draws[:, k] * unit, widening, positive=positive)
        for k, v in enumerate(value)
    ]
    return [each.as_json() for each in found]


def _spread(draws: np.ndarray) -> np.ndarray:
    """Standard deviation of the draws that have the number; NaN without any."""
    known = np.isfinite(draws)
    n = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, draws, 0.0).sum(axis=0) / n
        return np.asarray(np.sqrt((np.where(known, draws - mean, 0.0) ** 2).sum(axis=0) / n))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
