"""What is trained one after the other: each expert on its data, refinement, reweighting."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Float

from ..config import Config, ExpertOptions, TrainingOptions
from ..dataset.emphasis import emphasis
from ..dataset.frames import Dataset
from ..dataset.molecules import Many
from ..dataset.pool import Pool
from ..dynamics import Predicate
from ..model import Mixture, build_model
from ..network import ManyInputs, NetworkInputs
from ..objective import Molecule
from ..runtime import parallel
from ..system import System, Vocabulary
from ..types import Features
from .block import AbstractStage
from .expert import Stage
from .refinement import Refinement
from .reweighting import Reweighting

STATISTICS_FRAMES = 10_000
"""Frames that networks measure their standardisation on, evenly spread."""


def features_of(system: System, vocabulary: Vocabulary | None = None) -> Features:
    """What networks know of the beads of one molecule, none of them padded.

    Parameters
    ----------
    system
        The molecule.
    vocabulary
        That of a model of many molecules; in a model of one, every bead is its own kind.

    Raises
    ------
    FokkerError
        If the vocabulary does not have all of its beads.
    """
    kinds = system.bead_types if vocabulary is None else vocabulary.indices(system)
    return Features(jnp.asarray(kinds, jnp.int32), None, jnp.asarray(system.separations))


def initial_model(
    config: Config,
    system: System,
    frames: np.ndarray | None = None,
    many: ManyInputs | None = None,
) -> Mixture:
    """Build the model of a configuration.

    Parameters
    ----------
    config
        Process and experts.
    system
        Beads, bonds, dimension.
    frames
        Scaled training frames, shape (frames, beads, dim). Without them the constants that networks
        take from data are placeholders, to be read from a checkpoint.
    many
        Given for a model of many molecules; `system` is then the largest of them.
    """
    if frames is None:
        shape = (4, system.n_beads, system.dim)
        frames = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    every = max(1, len(frames) // STATISTICS_FRAMES)
    bonds = system.bonds
    if many is not None:
        bonds, many = (), many._replace(molecule=many.molecule[::every])
    inputs = NetworkInputs(frames[::every], bonds, system.degrees_of_freedom, many)
    return build_model(
        config.experts,
        config.process.build(),
        inputs,
        centred=system.centred,
        key=jax.random.fold_in(jax.random.key(config.seed), 0),
    )


def subjects(system: System, many: Many | None) -> tuple[Features, tuple[Molecule, ...]]:
    """Features and bonds of what is trained on: the one system, or many, with a leading axis."""
    features = features_of(system) if many is None else many.features
    bonded = (system,) if many is None else many.systems
    return features, tuple(Molecule(each.n_beads, each.bonds) for each in bonded)


def with_rotation(expert: ExpertOptions, system: System) -> TrainingOptions:
    """Training options of an expert with the choice of random rotations made."""
    rotate = expert.training.rotate
    if rotate is None:
        rotate = system.dim == 3 and not expert.network.rotation_invariant
    return expert.training.model_copy(update={"rotate": rotate})


def with_emphasis(
    pool: Pool,
    expert: ExpertOptions,
    system: System,
    dataset: Dataset,
    sharding: NamedSharding | None = None,
) -> Pool:
    """Frames to train an expert on, the rare ones emphasised if its options say so."""
    shares = [1.0] if dataset.many is None else dataset.many.training.weight.tolist()
    found = emphasis(_by_molecule(system, dataset), shares, expert.training.rare)
    return dataclasses.replace(pool, emphasis=parallel.share(found, sharding))


def _by_molecule(
    system: System, dataset: Dataset
) -> Iterator[tuple[System, Float[np.ndarray, "_frames _beads dim"]]]:
    """Training frames of each molecule in user units, without padding."""
    if dataset.many is None:
        yield system, dataset.scaling.invert(dataset.training)
        return
    ranges = dataset.many.training
    for molecule, first, n in zip(ranges.molecule, ranges.first, ranges.count, strict=True):
        own = dataset.many.systems[molecule]
        yield own, dataset.scaling.invert(dataset.training[first : first + n, : own.n_beads])


def labelled_frames(dataset: Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Scaled training frames whose forces are known, and these; None if there are none."""
    labels = dataset.training_labels
    if labels is None:
        return None
    known = np.asarray(labels.known)
    return dataset.training[known], np.asarray(labels.force)[known]


@dataclass(frozen=True)
class Stages:
    """What is trained one after the other: every expert, then what follows if there is any.

    `sharding` spreads batches of experts over devices, `chain_sharding` chains and batches of what
    simulates. `simulated` are scaled frames of a simulation that a reweighting takes in the place
    of its own.
    """

    config: Config
    system: System
    dataset: Dataset
    is_broken: Predicate | None = None
    sharding: NamedSharding | None = None
    chain_sharding: NamedSharding | None = None
    simulated: Float[np.ndarray, "times chains beads dim"] | None = None

    def __len__(self) -> int:
        """Number of stages."""
        return self.config.n_stages

    def create(self, index: int, model: Mixture) -> tuple[int, AbstractStage, Any, Pool]:
        """Number of the expert that a stage trains, the stage, its first state and its frames.

        Parameters
        ----------
        index
            Number of the stage.
        model
            Its expert's weights are those that the stage starts from.
        """
        config, system, dataset = self.config, self.system, self.dataset
        simulating, name = index >= len(config.experts), config.name_of(index)
        number = config.simulating_expert if simulating else index
        sharding = self.chain_sharding if simulating else self.sharding
        expert, seed = config.experts[number], config.seed * 1000 + index
        options = with_rotation(expert, system)
        kind = Refinement if name == Refinement.name else Reweighting
        if simulating:
            options = kind.training_options(getattr(config, name), options, system)
        features, molecules = subjects(system, dataset.many)
        stage, state = Stage.create(
            model.experts[number],
            config.process.build(),
            features,
            expert.interval,
            options,
            centred=system.centred,
            seed=seed,
            molecules=molecules,
            labelled=labelled_frames(dataset),
            sharding=sharding,
        )
        whole = parallel.share(dataset.pool, sharding)
        pool = with_emphasis(whole, expert, system, dataset, sharding)
        if not simulating:
            return number, stage, state, pool
        given = stage, state, config, system, dataset
        after, begun = kind.create(
            *given, n_steps=config.steps_of(index), seed=seed, is_broken=self.is_broken
        )
        if isinstance(after, Reweighting) and self.simulated is not None:
            begun = after.after_simulation(begun, self.simulated)
        return number, after, begun, pool
