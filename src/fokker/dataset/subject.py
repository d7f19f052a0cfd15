"""From a configuration to what a model is trained on, and what inference has to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..config import Config, MoleculeOptions, MoleculesOptions
from ..dynamics import Predicate
from ..errors import FokkerError
from ..metrics import GeometryLimits, effective_number
from ..model.force import Broken
from ..system import System
from ..trajectory import read_frames, topology_notes
from .corpus import Corpus, Known, load_corpus
from .frames import Dataset, Scaling, centre
from .source import dataset_of, load_reference, load_trajectory, resolve

START_FRAMES = 4096
"""Training frames that the checkpoint carries, for simulations to start from."""

NO_START_FRAMES = np.zeros((0, 1, 3), np.float32)
"""A model of many molecules carries none: a new one starts from its own structure."""


@dataclass(frozen=True)
class Subject:
    """What is trained on.

    Attributes
    ----------
    system
        The molecule; of many, the largest.
    dataset
        Its frames, scaled.
    is_broken
        Whether a frame in user units is outside the limits of the training frames; of many
        molecules, with a leading axis.
    simulated
        Scaled frames of a simulation that a reweighting takes in the place of its own.
    metadata
        What inference has to know besides weights and start frames; stored in every checkpoint.
    start_frames
        Scaled frames that simulations start from; stored likewise.
    structure
        A frame in nm, for the topology file; None in the plane or of many molecules.
    """

    system: System
    dataset: Dataset
    is_broken: Predicate | None = None
    simulated: Float[np.ndarray, "times chains beads dim"] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    start_frames: Float[np.ndarray, "start beads dim"] = field(
        default_factory=lambda: NO_START_FRAMES
    )
    structure: Float[np.ndarray, "beads dim"] | None = None


def load_subject(
    config: Config,
    *,
    known: Known | None = None,
    scaling: Scaling | None = None,
    on_message: Callable[[str], None] = lambda _: None,
) -> Subject:
    """Read everything that a configuration trains on.

    Parameters
    ----------
    config
        The whole configuration.
    known, scaling
        Of a model whose weights training starts from, if it does.
    on_message
        Told in one line what was read.

    Raises
    ------
    FokkerError
        On bad files or settings.
    """
    if isinstance(config.system, MoleculesOptions):
        return _many(config, config.system, known, scaling, on_message)
    return _one(config, scaling, on_message)


def describe(
    config: Config, system: System, dataset: Dataset, limits: GeometryLimits
) -> dict[str, Any]:
    """Metadata of a checkpoint of one molecule."""
    return {
        "config": config.model_dump(mode="json"),
        "system": system.model_dump(mode="json"),
        "scaling": dataset.scaling.model_dump(mode="json"),
        "limits": limits.model_dump(mode="json"),
        "n_training_frames": len(dataset.training),
        "n_start_frames": len(start_frames(dataset)),
    }


def start_frames(dataset: Dataset) -> Float[np.ndarray, "frames beads dim"]:
    """Training frames that travel with the checkpoint, in scaled coordinates, evenly spread."""
    frames = dataset.alike
    chosen = np.linspace(0, len(frames) - 1, min(START_FRAMES, len(frames)))
    return frames[chosen.round().astype(int)]


def _describe_molecules(config: Config, corpus: Corpus) -> dict[str, Any]:
    """Metadata of a checkpoint of many molecules."""
    return {
        "config": config.model_dump(mode="json"),
        "many": corpus.describe(),
        "scaling": corpus.dataset.scaling.model_dump(mode="json"),
        "n_training_frames": len(corpus.dataset.training),
        "n_start_frames": len(NO_START_FRAMES),
    }


def _one(config: Config, scaling: Scaling | None, on_message: Callable[[str], None]) -> Subject:
    trajectory, on_note = load_trajectory(config), _noting(on_message)
    system = trajectory.system
    if isinstance(config.system, MoleculeOptions):
        guessed = topology_notes(resolve(config.system.topology), system)
        for note in (*guessed, *trajectory.notes):
            on_note(note)
        # if it is bad, better known before than after training
        load_reference(config, trajectory, on_note=on_note)
    dataset = dataset_of(config, trajectory, scaling)
    limits = GeometryLimits.from_frames(system, dataset.scaling.invert(dataset.training))
    on_message(
        f"{system.name}: {system.n_beads} beads, {len(dataset.training):,} training and "
        f"{len(dataset.validation):,} validation frames, kT = {system.kT:.4g}"
        + (" kJ/mol" if system.dim == 3 else "")
        + _labelled(dataset)
        + _weighted(dataset)
    )
    return Subject(
        system,
        dataset,
        Broken.create(system, limits),
        _simulated(config, system, dataset),
        describe(config, system, dataset, limits),
        start_frames(dataset),
        trajectory.positions[0] if system.dim == 3 else None,
    )


def _many(
    config: Config,
    options: MoleculesOptions,
    known: Known | None,
    scaling: Scaling | None,
    on_message: Callable[[str], None],
) -> Subject:
    corpus = load_corpus(options, _noting(on_message), known=known, scaling=scaling)
    molecules, dataset = corpus.molecules, corpus.dataset
    sizes = [system.n_beads for system in molecules.systems]
    unseen = len(molecules.systems) - len(molecules.training.molecule)
    on_message(
        f"{options.name}: {len(molecules.training.molecule)} molecules of {min(sizes)} to "
        f"{max(sizes)} beads, {len(molecules.vocabulary.kinds)} kinds of beads, "
        f"{len(dataset.training):,} training and {len(dataset.validation):,} validation frames"
        + (f" of {unseen} others, which choose the weights" if unseen else "")
        + (f", judged by {options.test}" if options.test else "")
        + f", kT = {molecules.largest.kT:.4g} kJ/mol"
    )
    limits = [Broken.create(each, corpus.limits.of_system(each)) for each in molecules.systems]
    return Subject(
        molecules.largest,
        dataset,
        Broken.stacked(limits),
        metadata=_describe_molecules(config, corpus),
    )


def _noting(on_message: Callable[[str], None]) -> Callable[[str], None]:
    """Tell what a user should know of the files as notes."""
    return lambda text: on_message(f"note: {text}")


def _labelled(dataset: Dataset) -> str:
    labels = dataset.training_labels
    return "" if labels is None else f", {int(labels.known.sum()):,} training frames with forces"


def _weighted(dataset: Dataset) -> str:
    if dataset.weights is None:
        return ""
    return f", by their weights worth {effective_number(dataset.weights):,.0f} that count alike"


def _simulated(
    config: Config, system: System, dataset: Dataset
) -> Float[np.ndarray, "times chains beads dim"] | None:
    """Scaled frames of the simulation that is to be reweighted, if one is given."""
    options = config.reweighting
    if options.simulation is None:
        return None
    path = Path(options.simulation)
    frames = read_frames(path, system)
    if len(frames) != options.frames * options.chains:
        raise FokkerError(
            f"{path}: has {len(frames):,} frames, which are not {options.frames:,} of each of "
            f"{options.chains:,} chains; set reweighting.chains and reweighting.frames."
        )
    scaled = dataset.scaling.apply(centre(frames) if system.centred else frames)
    return scaled.reshape(options.frames, options.chains, *frames.shape[1:])
