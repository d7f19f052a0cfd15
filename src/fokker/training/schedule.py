"""What is trained one after the other: each expert on its data, refinement, reweighting."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Float

from ..config import Config, ExpertOptions, TrainingOptions
from ..dataset.emphasis import emphasis
from ..dataset.frames import Dataset
from ..dataset.molecules import Molecules
from ..dataset.pool import Pool
from ..dataset.subject import Subject
from ..model import Mixture, build_model
from ..network import MoleculeInputs, NetworkInputs
from ..objective import Molecule
from ..runtime import parallel
from ..system import System, Vocabulary
from ..types import Features
from .block import Job
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
    molecules: MoleculeInputs | None = None,
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
    if molecules is not None:
        bonds, molecules = (), molecules._replace(molecule=molecules.molecule[::every])
    inputs = NetworkInputs(frames[::every], bonds, system.degrees_of_freedom, molecules)
    return build_model(
        config.experts,
        config.process.build(),
        inputs,
        centred=system.centred,
        key=jax.random.fold_in(jax.random.key(config.seed), 0),
    )


def subjects(system: System, molecules: Molecules | None) -> tuple[Features, tuple[Molecule, ...]]:
    """Features and bonds of what is trained on: the one system, or many, with a leading axis."""
    features = features_of(system) if molecules is None else molecules.features
    bonded = (system,) if molecules is None else molecules.systems
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
    if not expert.training.rare:
        return pool
    shares = [1.0] if dataset.molecules is None else dataset.molecules.training.weight.tolist()
    frames = _by_molecule(system, dataset)
    found = emphasis(frames, shares, expert.training.rare, dataset.weights)
    return dataclasses.replace(pool, emphasis=parallel.share(found, sharding))


def _by_molecule(
    system: System, dataset: Dataset
) -> Iterator[tuple[System, Float[np.ndarray, "_frames _beads dim"]]]:
    """Training frames of each molecule in user units, without padding."""
    if dataset.molecules is None:
        yield system, dataset.scaling.invert(dataset.training)
        return
    ranges = dataset.molecules.training
    for molecule, first, n in zip(ranges.molecule, ranges.first, ranges.count, strict=True):
        own = dataset.molecules.systems[molecule]
        yield own, dataset.scaling.invert(dataset.training[first : first + n, : own.n_beads])


def labelled_frames(dataset: Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Scaled training frames whose forces are known, and these; None if there are none."""
    labels = dataset.training_labels
    if labels is None:
        return None
    known = np.asarray(labels.known)
    return dataset.training[known], np.asarray(labels.force)[known]


@dataclass(frozen=True)
class Devices:
    """How work is spread over devices; None is not at all.

    Attributes
    ----------
    batches
        Spreads each batch of an expert.
    chains
        Spreads chains and batches of a refinement or reweighting.
    """

    batches: NamedSharding | None = None
    chains: NamedSharding | None = None

    @staticmethod
    def of(config: Config) -> Devices:
        """Over all devices, as far as the sizes of batches can be divided."""
        batches = [e.training.batch_size for e in config.experts if e.training.steps]
        after = (
            (config.refinement, config.refinement.steps),
            (config.reweighting, config.reweighting.rounds),
        )
        simulated = [n for o, used in after if used for n in (o.chains, o.batch_size)]
        what = "frames or chains (the greatest divisor of all batches)"
        return Devices(
            parallel.split(math.gcd(*batches), what) if batches else None,
            parallel.split(math.gcd(*simulated), what, per_core=1) if simulated else None,
        )

    def __len__(self) -> int:
        """Number of devices."""
        return max(1 if s is None else s.num_devices for s in (self.batches, self.chains))


@dataclass(frozen=True)
class Stages:
    """What is trained one after the other: every expert, then what follows if there is any."""

    config: Config
    subject: Subject
    devices: Devices = Devices()

    def __len__(self) -> int:
        """Number of stages."""
        return self.config.n_stages

    def create(self, index: int, model: Mixture) -> Job:
        """Make a stage ready to be trained.

        Parameters
        ----------
        index
            Number of the stage.
        model
            Its expert's weights are those that the stage starts from.
        """
        if index < len(self.config.experts):
            return self._expert(index, index, model, None, self.devices.batches)
        name = self.config.name_of(index)
        kind = Refinement if name == Refinement.name else Reweighting
        return self._simulating(kind, index, model)

    def _expert(
        self,
        index: int,
        number: int,
        model: Mixture,
        options: TrainingOptions | None,
        sharding: NamedSharding | None,
    ) -> Job:
        """An expert on its frames; what follows the experts is built on one, with other options."""
        config, system, dataset = self.config, self.subject.system, self.subject.dataset
        expert = config.experts[number]
        features, molecules = subjects(system, dataset.molecules)
        stage, state = Stage.create(
            model.experts[number],
            config.process.build(),
            features,
            expert.interval,
            options or with_rotation(expert, system),
            centred=system.centred,
            seed=self._seed(index),
            molecules=molecules,
            labelled=labelled_frames(dataset),
            sharding=sharding,
        )
        whole = parallel.share(dataset.pool, sharding)
        pool = with_emphasis(whole, expert, system, dataset, sharding)
        return Job(number, stage, state, pool, dataset)

    def _simulating(
        self, kind: type[Refinement] | type[Reweighting], index: int, model: Mixture
    ) -> Job:
        """A refinement or reweighting of the expert that simulates."""
        config, subject = self.config, self.subject
        number, name = config.simulating_expert, config.name_of(index)
        own = with_rotation(config.experts[number], subject.system)
        options = kind.training_options(getattr(config, name), own, subject.system)
        job = self._expert(index, number, model, options, self.devices.chains)
        assert isinstance(job.stage, Stage)
        stage, state = kind.create(
            job.stage,
            job.state,
            config,
            subject.system,
            subject.dataset,
            n_steps=config.steps_of(index),
            seed=self._seed(index),
            is_broken=subject.is_broken,
        )
        if isinstance(stage, Reweighting) and subject.simulated is not None:
            state = stage.after_simulation(state, subject.simulated)
        return dataclasses.replace(job, stage=stage, state=state)

    def _seed(self, index: int) -> int:
        return self.config.seed * 1000 + index
