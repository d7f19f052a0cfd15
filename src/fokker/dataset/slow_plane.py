"""Which two variables span the plane of the metrics if the user has chosen none, and why.

What a model gets wrong is seen in the slow motions: states that are rarely left, whose weights are
hard to learn. So the plane is, in this order,

1. the automatic variables themselves, if there are at most two torsions to choose from;
2. the two slowest combinations of torsions (TICA), if frames that the fit has not seen say that
   these are clearly slower than the two slowest automatic variables;
3. the two slowest automatic variables, by their autocorrelation;
4. the two of most spread, if the order of the frames tells nothing: they are shuffled, or so far
   apart that each is independent of the last.

Of replica exchange, where a trajectory at one temperature jumps, the order of the frames tells how
long a motion is remembered, which is what matters here; no kinetics is read from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from ..errors import FokkerError
from ..metrics import statistical_inefficiency
from ..metrics.torsions import torsions_of
from ..system import CollectiveVariable, System
from ..variables import KINDS, Context, tica_of_dihedrals

_NO_TIME = 1.5
"""Frames to an independent one below which the order of the frames tells nothing."""

_MOST_TORSIONS = 64
"""More torsions are thinned out evenly: each has to be computed in every frame of every set."""

_LAGS_A_PIECE = 20
_FEWEST_LAGS = 4
_STRETCHES = 8
"""Stretches of pieces of about so many lags, every second of which the fit does not see."""

_SLOWER = 1.1
"""Factor that combinations have to gain; with less, names tell a reader more."""


class Plane(NamedTuple):
    """Collective variables, of which the first two span the plane, and why these."""

    variables: tuple[CollectiveVariable, ...]
    why: str


def slow_plane(system: System, context: Context) -> Plane:
    """Choose from the torsions and the automatic variables of a molecule.

    Parameters
    ----------
    system
        The molecule.
    context
        Its training frames and automatic variables.
    """
    automatic = context.automatic
    torsions = _dihedrals([v for motion in torsions_of(system) for v in motion.variables])
    if len(automatic) < 2 or len(torsions) <= 2:
        return Plane(automatic, "there are no other torsions of the backbone")
    candidates = _candidates(system, automatic)
    signals = [_Signal(variable, context) for variable in candidates]
    times = np.array([signal.inefficiency for signal in signals])
    if times.max() < _NO_TIME:
        spread = np.array([signal.spread for signal in signals])
        why = "most spread of the automatic variables: the order of the frames tells no time"
        return Plane(_first(candidates, spread, automatic), why)
    order = np.argsort(-times, kind="stable")
    slowest = [signals[i] for i in order[:2]]
    everything = list(dict.fromkeys([*torsions, *_dihedrals(automatic)]))
    beads = everything[:: -(-len(everything) // _MOST_TORSIONS)]
    found, why_not = _tica(context, beads, slowest, lag=max(1, round(times.max() / 4)))
    if found is not None:
        return Plane((*found.variables, *automatic), found.why)
    return Plane(
        _first(candidates, times, automatic),
        "slowest of the automatic variables, by their autocorrelation "
        f"({times[order[0]]:.3g} and {times[order[1]]:.3g} frames to an independent one); "
        f"{why_not}",
    )


def _candidates(
    system: System, automatic: tuple[CollectiveVariable, ...]
) -> list[CollectiveVariable]:
    """Automatic variables, and the other torsions of a molecule that is no chain of residues."""
    known = {_either_way(variable) for variable in automatic}
    single = [m.variables[0] for m in torsions_of(system) if len(m.variables) == 1]
    return [*automatic, *(v for v in single if _either_way(v) not in known)]


def _either_way(variable: CollectiveVariable) -> tuple[int, ...]:
    return min(variable.indices, variable.indices[::-1])


def _dihedrals(variables: Sequence[CollectiveVariable]) -> list[tuple[int, ...]]:
    """Beads of the dihedrals among variables, each once."""
    return list(dict.fromkeys(_either_way(v) for v in variables if v.kind == "dihedral"))


class _Signal:
    """One variable in all pieces of the training frames; angles on the circle."""

    def __init__(self, variable: CollectiveVariable, context: Context):
        kind = KINDS[variable.kind]
        values = [kind.compute(x, variable.indices, variable.values) for x in context.segments]
        period = variable.limits[1] - variable.limits[0] if variable.periodic else None
        self.inefficiency = statistical_inefficiency([v[:, None] for v in values], period)
        turn = None if period is None else 2j * np.pi / period
        self.pieces = [v if turn is None else np.exp(turn * v) for v in values]

    @property
    def spread(self) -> float:
        """Standard deviation; of angles that of the point on the circle, at most 1."""
        return float(np.std(np.concatenate(self.pieces)))


def _first(
    candidates: Sequence[CollectiveVariable],
    rank: np.ndarray,
    automatic: tuple[CollectiveVariable, ...],
) -> tuple[CollectiveVariable, ...]:
    """The two candidates of highest rank, then what else is automatic."""
    two = [candidates[i] for i in np.argsort(-rank, kind="stable")[:2]]
    return (*two, *(variable for variable in automatic if variable not in two))


def _tica(
    context: Context, beads: list[tuple[int, ...]], rivals: list[_Signal], lag: int
) -> tuple[Plane | None, str]:
    """Two slow components; None, and why not, if unseen frames do not say that they are slower."""
    pieces = _cut(context.segments, lag)
    if len(pieces) < _STRETCHES:
        return None, f"the frames are too few to fit combinations of them at a lag of {lag}"
    unseen = np.arange(len(pieces)) * _STRETCHES // len(pieces) % 2 == 1
    try:
        fitted = tica_of_dihedrals(context, beads, list(compress(pieces, ~unseen)), lag)
        final = tica_of_dihedrals(context, beads, list(context.segments), lag)
    except FokkerError:
        return None, "combinations of them (TICA) need the package deeptime"
    if min(len(fitted), len(final)) < 2:
        return None, "they have no two independent combinations"
    kind = KINDS[fitted[0].kind]
    components = [
        np.stack([kind.compute(x, v.indices, v.values) for v in fitted], axis=1)
        for x in compress(pieces, unseen)
    ]
    new = _memory(components, lag)
    parts = zip(*(_cut(rival.pieces, lag) for rival in rivals), strict=True)
    old = _memory([_columns(pair) for pair in compress(parts, unseen)], lag)
    numbers = f"{new[0]:.2f} and {new[1]:.2f} against {old[0]:.2f} and {old[1]:.2f}"
    seen = (
        f"after {lag} frames, on frames that the fit has not seen, their correlation is {numbers}"
    )
    if sum(new) < _SLOWER * sum(old):
        return None, f"combinations of torsions (TICA) are hardly slower: {seen}"
    return Plane(
        final,
        f"slowest combinations of {len(beads)} torsions (TICA): {seen} of the two slowest "
        "variables",
    ), ""


def _cut(segments: Sequence[np.ndarray], lag: int) -> list[np.ndarray]:
    """Pieces of some lags; what is shorter than the fewest lags is left out."""
    found: list[np.ndarray] = []
    for segment in segments:
        if len(segment) >= _FEWEST_LAGS * lag:
            found += np.array_split(segment, max(1, len(segment) // (_LAGS_A_PIECE * lag)))
    return found


def _columns(pair: tuple[np.ndarray, ...]) -> np.ndarray:
    """Two variables, complex where they are angles, in real columns."""
    columns = [part for values in pair for part in (np.real(values), np.imag(values))]
    return np.stack(columns, axis=1)


def _memory(pieces: list[np.ndarray], lag: int) -> tuple[float, float]:
    """Two largest canonical correlations of frames with those a lag later; 0 where nothing moves.

    The VAMP score of a plane (Wu and Noe, J. Nonlinear Sci. 30, 23 (2020)), which counts what two
    variables share only once.
    """
    bases = []
    for times in (slice(None, -lag), slice(lag, None)):
        values = np.concatenate([piece[times] for piece in pieces])
        u, s, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
        bases.append(u[:, s > 1e-6 * max(float(s[0]), 1e-6)])
    found = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    first, second, *_ = (*found.tolist(), 0.0, 0.0)
    return first, second
