"""Folding of a chain: folded fraction, free energy of folding and map of contacts.

A frame is folded if the first collective variable of kind `native-contacts`, Q, exceeds the value
that splits the training frames in two classes of the least spread (Otsu, IEEE Trans. Syst. Man
Cybern. 9, 62 (1979)). With p the folded fraction, `dF = -kT log(p / (1 - p))`.

Two beads touch if they are closer than the longest distance at which Q counts a contact; only pairs
at least as many bonds apart as any native contact are looked at. Maps are compared by the root mean
square of the difference of contact probabilities over all these pairs.

Here frames are few in another way than elsewhere: a chain folds rarely, and its frames are far from
independent. So errors are those of a block bootstrap, and the floors are for the number of
*independent* frames of both sets, not for the number of frames.

Frames that failed are neither folded nor unfolded: everything here is of those that did not.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ..system import CollectiveVariable, System
from ..variables import separations
from .bootstrap import Blocks, mean_error, rms_error
from .geometry import lost_frames

_FRAMES_PER_BLOCK = 500
"""Frames whose distances are held at a time."""

_BINS = 256
"""Of the histogram that is split in two."""


@dataclass(frozen=True)
class Sample:
    """What folding needs of the frames of a set that did not fail.

    Attributes
    ----------
    system
        With a collective variable of kind `native-contacts`.
    frames
        Shape (frames, beads, dim), nm.
    q
        Share of native contacts.
    blocks
        For the bootstrap.
    effective
        Number of independent frames.
    """

    system: System
    frames: Float[np.ndarray, "frames beads dim"]
    q: Float[np.ndarray, " frames"]
    blocks: Blocks
    effective: float

    @functools.cached_property
    def touching(self) -> Float[np.ndarray, "blocks pairs"]:
        """Number of frames of each block in which each of `contact_pairs` touches."""
        index, n_blocks = self.blocks.index, self.blocks.drawn.shape[1]
        return _by_block(self.system, self.frames, index, n_blocks)


def native_contacts(system: System) -> CollectiveVariable | None:
    """Collective variable that tells folded from unfolded, if the system has one."""
    found = (v for v in system.collective_variables if v.kind == "native-contacts")
    return next(found, None)


def folding_threshold(q: Float[np.ndarray, " frames"]) -> float:
    """Value that splits finite values in [0, 1] with the largest variance between the classes."""
    counts, edges = np.histogram(q[np.isfinite(q)], bins=_BINS, range=(0.0, 1.0))
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    moment = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = moment[:-1] / below - (moment[-1] - moment[:-1]) / above
        between = np.where((below > 0) & (above > 0), below * above * apart**2, -1.0)
    if between.max() < 0:
        return 0.5
    # Where nothing lies between the classes every value splits alike; the middle is taken.
    best = np.flatnonzero(between >= between.max() * (1.0 - 1e-12))
    return float(edges[1:-1][best].mean())


def contact_pairs(system: System) -> Int[np.ndarray, "pairs 2"]:
    """Pairs of beads in the map: as many bonds apart as a native contact, or not connected."""
    variable = native_contacts(system)
    assert variable is not None
    n = system.n_beads
    bonds = separations(system.neighbours, n)
    i, j = np.triu_indices(n, 1)
    native = zip(variable.indices[::2], variable.indices[1::2], strict=True)
    fewest = min(bonds[a, b] for a, b in native)
    far = bonds[i, j] >= fewest
    return np.stack([i[far], j[far]], axis=1)


def contact_reach(system: System) -> float:
    """Distance within which two beads touch, nm."""
    variable = native_contacts(system)
    assert variable is not None
    return max(variable.values)


def contact_probabilities(
    system: System, frames: Float[np.ndarray, "frames beads dim"]
) -> Float[np.ndarray, " pairs"]:
    """Share of the frames that hold a structure in which each of `contact_pairs` touches.

    Not a number if none does.
    """
    whole = frames[~lost_frames(frames)]
    sums = _by_block(system, whole, np.zeros(len(whole), int), 1)[0]
    return sums / len(whole) if len(whole) else np.full(len(sums), np.nan)


def folding(
    training: Sample,
    evaluated: Sample,
    reference: Sample | None,
    threshold: float,
    seed: int = 0,
    draws: int = 64,
) -> dict[str, Any]:
    """Folded fraction and contact map of a set of frames against the training frames.

    Parameters
    ----------
    training, evaluated
        What is compared.
    reference
        Pooled with the training frames for the floors.
    threshold
        Q beyond which a frame is folded.
    seed
        Of the draws for the floors.
    draws
        Pairs of samples for a floor.

    Returns
    -------
    dict
        `threshold`; `fraction` with `fraction_error`, `free_energy` (kJ/mol or the system's unit)
        with `free_energy_error`, each also with the prefix `training_`; `difference` of the
        fractions with `difference_error`, and `difference_floor`, its mean magnitude for a perfect
        model; `contacts`, `contacts_error` and `contacts_floor`, of the rms of the map.
    """
    states = [_state(sample, threshold) for sample in (training, evaluated)]
    pooled = [training] if reference is None else [training, reference]
    folded = np.concatenate([_folded(sample, threshold) for sample in pooled])
    rng = np.random.default_rng(seed)
    sizes = [max(1, round(sample.effective)) for sample in (training, evaluated)]
    a, b = (rng.binomial(n, folded.mean(), draws) / n for n in sizes)
    found = {f"training_{key}": value for key, value in states[0].items()} | states[1]
    errors = [state["fraction_error"] for state in states]
    found["threshold"] = threshold
    found["difference"] = states[1]["fraction"] - states[0]["fraction"]
    found["difference_error"] = None if None in errors else float(np.hypot(*errors))
    found["difference_floor"] = float(np.abs(a - b).mean())
    return found | _maps(pooled, evaluated, sizes, rng, draws)


def _state(sample: Sample, threshold: float) -> dict[str, Any]:
    folded, kT = _folded(sample, threshold), sample.system.kT
    p = float(folded.mean())
    error = mean_error(folded.astype(np.float64), sample.blocks)
    mixed = 0.0 < p < 1.0
    return {
        "fraction": p,
        "fraction_error": error,
        "free_energy": float(-kT * np.log(p / (1.0 - p))) if mixed else None,
        "free_energy_error": kT * error / (p * (1.0 - p)) if mixed and error else None,
    }


def _maps(
    pooled: Sequence[Sample],
    evaluated: Sample,
    sizes: Sequence[int],
    rng: np.random.Generator,
    draws: int,
) -> dict[str, float | None]:
    sums = [s.touching for s in (*pooled, evaluated)]
    training, other = sums[0].sum(axis=0), sums[-1].sum(axis=0)
    n_training, n = len(pooled[0].frames), len(evaluated.frames)
    pool = np.sum([s.sum(axis=0) for s in sums[:-1]], axis=0) / sum(len(s.frames) for s in pooled)

    def rms(difference: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.mean(difference**2, axis=-1)))

    # Contacts of one frame are drawn independently: their correlation changes the spread of the
    # floor, not its mean square.
    a, b = (rng.binomial(n, pool, (draws, len(pool))) / n for n in sizes)
    return {
        "contacts": float(rms(training / n_training - other / n)),
        "contacts_error": rms_error((sums[0], pooled[0].blocks), (sums[-1], evaluated.blocks)),
        "contacts_floor": float(rms(a - b).mean()),
    }


def _folded(sample: Sample, threshold: float) -> Bool[np.ndarray, " frames"]:
    return sample.q > threshold


def _by_block(
    system: System, frames: np.ndarray, index: np.ndarray, n_blocks: int
) -> Float[np.ndarray, "blocks pairs"]:
    """Number of frames of each block in which each pair touches."""
    pairs, reach = contact_pairs(system), contact_reach(system)
    total = np.zeros((n_blocks, len(pairs)))
    # blocks of a simulation alternate, frame by frame; sorted, a part has few of them
    order = np.argsort(index, kind="stable")
    for start in range(0, len(frames), _FRAMES_PER_BLOCK):
        rows = order[start : start + _FRAMES_PER_BLOCK]
        part = frames[rows]
        with np.errstate(invalid="ignore", over="ignore"):
            square = np.zeros((len(part), len(pairs)), np.float32)
            for axis in range(part.shape[-1]):
                square += (part[:, pairs[:, 0], axis] - part[:, pairs[:, 1], axis]) ** 2
            touch = square < np.float32(reach**2)
        found, first = np.unique(index[rows], return_index=True)
        total[found] += np.add.reduceat(touch, first, axis=0, dtype=np.int32)
    return total
