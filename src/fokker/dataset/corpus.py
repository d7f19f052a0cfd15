"""From a configuration of many molecules to their frames, padded to one size, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field

from ..config import MoleculesOptions
from ..errors import FokkerError
from ..metrics import GeometryLimits
from ..options import Options
from ..system import Skeleton, System, Vocabulary
from ..trajectory import system_from_topology
from .frames import Dataset, Scaling, centre, split_blocks
from .listing import Entry, read_entries
from .molecules import Molecules, Ranges, shared_skeleton
from .source import MIN_TRAINING_FRAMES, read_with_topology, resolve


class BondLimits(Options):
    """Bond lengths beyond which a molecule is broken, by the names of the two beads, nm.

    They are those of all molecules that were trained on. A bond of names that none of them has is
    judged by the range of all bonds.
    """

    bonds: tuple[tuple[str, float, float], ...] = Field(description="names, shortest, longest")
    box: tuple[float, float] = Field(
        description="lowest and highest coordinate of a centred molecule, for those without bonds"
    )

    @staticmethod
    def of(each: Sequence[tuple[System, GeometryLimits, tuple[float, float]]]) -> BondLimits:
        """Unite the limits of molecules, given with the range of their coordinates."""
        found: dict[str, tuple[float, float]] = {}
        for system, limits, _ in each:
            for name, (low, high) in zip(_bond_names(system), limits.bonds, strict=False):
                old = found.get(name, (low, high))
                found[name] = (min(low, old[0]), max(high, old[1]))
        box = min(low for *_, (low, _) in each), max(high for *_, (_, high) in each)
        return BondLimits(bonds=tuple((n, *found[n]) for n in sorted(found)), box=box)

    def of_system(self, system: System) -> GeometryLimits:
        """Limits of one molecule."""
        if not system.bonds or not self.bonds:
            return GeometryLimits(box=(self.box,) * 3)
        known = {name: (low, high) for name, low, high in self.bonds}
        overall = min(b[1] for b in self.bonds), max(b[2] for b in self.bonds)
        return GeometryLimits(bonds=tuple(known.get(n, overall) for n in _bond_names(system)))


def _bond_names(system: System) -> list[str]:
    """Names of the two beads of every bond, with a plus between residues: `C + N`."""
    names = []
    for i, j in system.bonds:
        a, b = system.beads[i], system.beads[j]
        apart = a.place != b.place
        names.append((" + " if apart else " ").join(sorted((a.name, b.name))))
    return names


class Known(NamedTuple):
    """What a model of many molecules knows of them: `Corpus.describe`, read back."""

    vocabulary: Vocabulary
    skeleton: Skeleton | None

    @staticmethod
    def of(manifest: Mapping[str, Any]) -> Known:
        """Read it from the manifest of a checkpoint.

        Raises
        ------
        KeyError, TypeError, ValueError
            If that is altered.
        """
        molecules = dict(manifest["many"])
        skeleton = molecules.get("skeleton")
        return Known(
            Vocabulary.model_validate(molecules["vocabulary"]),
            None if skeleton is None else Skeleton.model_validate(skeleton),
        )


@dataclass(frozen=True)
class Corpus:
    """Many molecules, ready to train on."""

    dataset: Dataset
    molecules: Molecules
    limits: BondLimits

    def describe(self) -> dict[str, Any]:
        """What inference needs of the molecules, and who they were."""
        training, validation = self.molecules.training, self.molecules.validation
        names = [system.name for system in self.molecules.systems]
        skeleton = self.molecules.skeleton
        return {
            "skeleton": None if skeleton is None else skeleton.model_dump(mode="json"),
            "vocabulary": self.molecules.vocabulary.model_dump(mode="json"),
            "limits": self.limits.model_dump(mode="json"),
            "trained": [names[i] for i in training.molecule],
            "validated": [names[i] for i in validation.molecule if i not in training.molecule],
        }


def molecule_system(options: MoleculesOptions, topology: Path, name: str) -> System:
    """System of one molecule, as the configuration says.

    Raises
    ------
    FokkerError
        On a bad topology.
    """
    return system_from_topology(
        topology,
        select=options.select,
        temperature=options.temperature,
        name=name,
        mapping=options.mapping,
    )


_USES = "is trained on", "chooses the weights"


class Entries(NamedTuple):
    """Molecules of a configuration, by what they are for.

    Attributes
    ----------
    trained
        Trained on.
    validation
        Never trained on; the loss on their frames chooses among the weights of a training.
    test
        Never looked at by a training.
    """

    trained: tuple[Entry, ...]
    validation: tuple[Entry, ...]
    test: tuple[Entry, ...]

    @property
    def judged(self) -> tuple[Entry, ...]:
        """Those that a finished model is judged by: for testing or, without any, for validation."""
        return self.test or self.validation

    def purpose(self, name: str) -> str | None:
        """Which of the three a molecule is for: `training`, `validation` or `test`."""
        sets = zip(("training", "validation", "test"), self, strict=True)
        return next((k for k, own in sets if name in {entry.name for entry in own}), None)


def entries(options: MoleculesOptions) -> Entries:
    """Molecules that are trained on, that choose the weights, and that judge them.

    Raises
    ------
    FokkerError
        If a folder or list is wrong, or a name is in two of them.
    """
    given = options.folder, options.validation, options.test
    found = Entries(*(read_entries(resolve(path)) if path else () for path in given))
    known: dict[str, str] = {}
    for path, own, use in zip(given, found, (*_USES, "judges them"), strict=True):
        for entry in own:
            if entry.name in known:
                raise FokkerError(
                    f"{path}: molecule {entry.name!r} {known[entry.name]} as well; take it out of "
                    "one of the two."
                )
        known |= {entry.name: use for entry in own}
    return found


def read_entry(
    options: MoleculesOptions,
    entry: Entry,
    system: System | None = None,
    *,
    on_note: Callable[[str], None] = lambda _: None,
) -> tuple[System, Float[np.ndarray, "frames beads dim"]]:
    """System and frames of one molecule, nm, at most `max_frames` of them.

    Raises
    ------
    FokkerError
        On bad files.
    """
    system = system or molecule_system(options, resolve(entry.topology), entry.name)
    paths = [resolve(name) for name in entry.trajectory]
    found = read_with_topology(options, entry.topology, paths, system, MIN_TRAINING_FRAMES)
    for note in found.notes:
        on_note(note)
    frames = found.positions
    if len(frames) > options.max_frames:
        rows = np.linspace(0, len(frames) - 1, options.max_frames).round().astype(int)
        frames = frames[rows]
    return system, frames


def load_corpus(
    options: MoleculesOptions,
    on_note: Callable[[str], None] = lambda _: None,
    *,
    known: Known | None = None,
    scaling: Scaling | None = None,
) -> Corpus:
    """Read all molecules, one after another.

    Frames are centred and scaled by one length, the root mean square coordinate over all molecules
    by their weights. At no time is more in memory than the frames that are kept, twice, and those
    of one molecule. What the molecules share and the scaling are found out, unless a model that
    they are to fit has them already. Of those for testing the beads alone are looked at, to refuse
    what could not be judged at the end: nothing that is trained depends on them.

    Raises
    ------
    FokkerError
        On bad files, or if a molecule has a bead that the vocabulary has not.
    """
    found = entries(options)
    trained, held_out = found.trained, found.validation
    vocabulary = (
        known.vocabulary
        if known
        else Vocabulary.of(
            molecule_system(options, resolve(entry.topology), entry.name) for entry in trained
        )
    )
    fraction = 0.0 if held_out else options.validation_fraction
    parts: list[_Part] = []
    limits = []
    for number, entry in enumerate((*trained, *held_out)):
        system, frames = read_entry(options, entry, on_note=on_note)
        vocabulary.indices(system)
        if number >= len(trained):
            _refuse_known(system, parts, "validation")
        frames = centre(frames)
        rows = np.arange(len(frames))
        training, validation = split_blocks(len(frames), fraction)
        if number >= len(trained):
            training, validation = rows[:0], rows
        else:
            box = float(frames.min()), float(frames.max())
            wide = box[0] - (box[1] - box[0]), box[1] + (box[1] - box[0])
            limits.append((system, GeometryLimits.from_frames(system, frames[training]), wide))
        parts.append(_Part(system, entry.weight, frames, training, validation))
    for entry in found.test:
        system = molecule_system(options, resolve(entry.topology), entry.name)
        vocabulary.indices(system)
        _refuse_known(system, parts, "test")
    scaling = scaling or Scaling(scale=_scale(parts), offset=(0.0, 0.0, 0.0))
    systems = tuple(part.system for part in parts)
    skeleton = shared_skeleton(systems)
    if known is not None:
        alike = known.skeleton is not None and all(known.skeleton.fits(s) for s in systems)
        skeleton = known.skeleton if alike else None
    molecules = Molecules(
        systems,
        vocabulary,
        _ranges(parts, [len(part.training) for part in parts]),
        _ranges(parts, [len(part.validation) for part in parts]),
        skeleton,
    )
    index = np.concatenate([part.training for part in parts])
    size = molecules.largest.n_beads
    dataset = Dataset(
        _padded(((part.frames, part.training) for part in parts), len(index), size, scaling.scale),
        _padded(
            ((part.frames, part.validation) for part in parts),
            int(molecules.validation.count.sum()),
            size,
            scaling.scale,
        ),
        index,
        scaling,
        molecules,
    )
    return Corpus(dataset, molecules, BondLimits.of(limits))


@dataclass(frozen=True)
class _Part:
    """Centred frames of one molecule, nm, and which are for what."""

    system: System
    weight: float
    frames: np.ndarray
    training: np.ndarray
    validation: np.ndarray


def _refuse_known(system: System, parts: list[_Part], purpose: str) -> None:
    """Refuse a molecule that serves an earlier purpose under another name."""
    for part in parts:
        chooses = not len(part.training)
        if chooses and purpose == "validation":
            continue
        if part.system.labels == system.labels:
            raise FokkerError(
                f"{purpose} molecule {system.name!r} has the beads of {part.system.name!r}, which "
                f"{_USES[chooses]}; take it out of one of the two."
            )


def _ranges(parts: list[_Part], counts: list[int]) -> Ranges:
    there = [i for i, n in enumerate(counts) if n]
    weights = [parts[i].weight for i in there]
    return Ranges(
        np.array(there, int), np.array([counts[i] for i in there], int), np.array(weights)
    )


def _scale(parts: list[_Part]) -> float:
    trained = [part for part in parts if len(part.training)]
    squares = [np.mean(part.frames[part.training] ** 2, dtype=np.float64) for part in trained]
    scale = float(np.sqrt(np.average(squares, weights=[part.weight for part in trained])))
    if scale < 1e-9:
        raise FokkerError("molecules: all training positions coincide; check the trajectories.")
    return scale


def _padded(
    parts: Iterator[tuple[np.ndarray, np.ndarray]], n_frames: int, size: int, scale: float
) -> Float[np.ndarray, "frames beads dim"]:
    frames = np.zeros((n_frames, size, 3), np.float32)
    start = 0
    for positions, rows in parts:
        frames[start : start + len(rows), : positions.shape[1]] = positions[rows] / scale
        start += len(rows)
    return frames
