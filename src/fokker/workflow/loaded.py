"""A trained model read back from its checkpoint, without the data it was trained on."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .. import checkpoint
from ..config import Config, MoleculesOptions, parse, to_toml
from ..data import Dataset, Scaling, centre
from ..errors import FokkerError
from ..many import padded_features
from ..metrics import GeometryLimits
from ..model import AbstractEnergy, AbstractScore, Mixture
from ..network import ManyInputs
from ..system import System, Vocabulary
from ..training import features_of, inference_group, initial_model
from ..types import Features, Positions, Time
from .folder import RunFolder
from .molecule import read_molecule
from .molecules import BondLimits, Corpus, Known

NO_START_FRAMES = np.zeros((0, 1, 3), np.float32)
"""A model of many molecules carries none: a new one starts from its own structure."""

START_FRAMES = 4096
"""Training frames that the checkpoint carries, for simulations to start from."""


@dataclass(frozen=True)
class LoadedRun:
    """Everything that sampling and simulating need."""

    folder: RunFolder
    config: Config
    system: System
    scaling: Scaling
    limits: GeometryLimits
    model: Mixture
    start_frames: Float[np.ndarray, "frames beads dim"]
    vocabulary: Vocabulary | None = None
    """Of a model of many molecules, of which `system` is then one."""

    @property
    def features(self) -> Features:
        """Bead features."""
        return features_of(self.system, self.vocabulary)

    def force(self, t: float) -> Force:
        """Force of the expert that serves diffusion time t; no other expert is touched."""
        expert = self.model.expert_at(t)
        offset = np.asarray(self.scaling.offset, np.float32)
        time = jnp.asarray(t, jnp.float32)
        return Force(expert, self.features, self.scaling.scale, offset, self.system.kT, time)


class Force(eqx.Module):
    """`force(x) = kT score((x - offset) / s, t) / s`, kJ/mol/nm, for one frame in nm.

    The time is an array, so that another one needs no compilation.
    """

    model: AbstractScore
    features: Features
    scale: float
    offset: Float[np.ndarray, " dim"]
    kT: float
    t: Time

    def __call__(self, x: Positions) -> Positions:
        """Force on each bead."""
        scaled = (x - self.offset) / self.scale
        score = self.model.score(scaled, self.t, self.features)
        return self.kT / self.scale * score

    def mean_energy(
        self, frames: Float[Array, "chains beads dim"], running: Bool[Array, " chains"]
    ) -> float | None:
        """Mean of `kT energy` over the chains that run, kJ/mol up to a constant.

        None if the model has a score alone.
        """
        if not isinstance(self.model, AbstractEnergy):
            return None
        return float(_mean_energy(self, self.model, frames, running))


@eqx.filter_jit
def _mean_energy(
    force: Force,
    model: AbstractEnergy,
    frames: Float[Array, "chains beads dim"],
    running: Bool[Array, " chains"],
) -> Float[Array, ""]:
    t = jnp.asarray(force.t, jnp.float32)
    scaled = (frames - force.offset) / force.scale
    energies = jax.vmap(lambda x: model.energy(x, t, force.features))(scaled)
    return force.kT * jnp.where(running, energies, 0.0).sum() / running.sum()


class Broken(eqx.Module):
    """Whether a frame is outside the limits of the training data, for one frame in nm."""

    pairs: Float[np.ndarray, "bonds beads"]
    bonds: Float[np.ndarray, "bonds 2"]
    box: Float[np.ndarray, "axes 2"]

    @staticmethod
    def create(system: System, limits: GeometryLimits) -> Broken:
        """Build the predicate of a system."""
        identity = np.eye(system.n_beads, dtype=np.float32)
        pairs = [identity[i] - identity[j] for i, j in system.bonds]
        return Broken(
            np.asarray(pairs, np.float32).reshape(-1, system.n_beads),
            np.asarray(limits.bonds, np.float32).reshape(-1, 2),
            np.asarray(limits.box, np.float32).reshape(-1, 2),
        )

    def __call__(self, x: Positions) -> Bool[Array, ""]:
        """True outside."""
        broken = jnp.zeros((), bool)
        if len(self.pairs):
            length = jnp.linalg.norm(self.pairs @ x, axis=-1)
            broken |= jnp.any((length < self.bonds[:, 0]) | (length > self.bonds[:, 1]))
        if len(self.box):
            broken |= jnp.any((x < self.box[:, 0]) | (x > self.box[:, 1]))
        return broken


def unfinished(path: Path) -> str | None:
    """One sentence on how far training has come; None if it has ended or that cannot be read."""
    if not path.is_dir():
        return None
    newest = checkpoint.latest(RunFolder(path).checkpoint)
    manifest = checkpoint.read_manifest(newest)
    try:
        experts = manifest["config"]["experts"]
        stage, step = int(manifest["progress"]["stage"]), int(manifest["progress"]["step"])
        if stage >= len(experts):
            return None
        steps = experts[stage]["training"]["steps"]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return (
        f"training has not ended (expert {stage + 1} of {len(experts)}, step {step:,} of "
        f"{steps:,}); this is the model so far, and --resume of `fokker train` or `run` ends it."
    )


def describe(
    config: Config, system: System, dataset: Dataset, limits: GeometryLimits
) -> dict[str, Any]:
    """Metadata of a checkpoint: all that inference needs besides weights and start frames."""
    return {
        "config": config.model_dump(mode="json"),
        "system": system.model_dump(mode="json"),
        "scaling": dataset.scaling.model_dump(mode="json"),
        "limits": limits.model_dump(mode="json"),
        "n_training_frames": len(dataset.training),
        "n_start_frames": len(start_frames(dataset)),
    }


def describe_many(config: Config, corpus: Corpus) -> dict[str, Any]:
    """Metadata of a checkpoint of many molecules."""
    return {
        "config": config.model_dump(mode="json"),
        "many": corpus.describe(),
        "scaling": corpus.dataset.scaling.model_dump(mode="json"),
        "n_training_frames": len(corpus.dataset.training),
        "n_start_frames": len(NO_START_FRAMES),
    }


def same_molecules(folder: RunFolder, corpus: Corpus) -> None:
    """Check that a run to be resumed was started with these molecules.

    Raises
    ------
    FokkerError
        If files have come or gone.
    """
    stored = checkpoint.read_manifest(checkpoint.latest(folder.checkpoint)).get("many")
    if stored != json.loads(json.dumps(corpus.describe())):
        raise FokkerError(
            f"{folder.path}: the run to resume was started with other molecules or frames; give it "
            "back its files, or choose another folder."
        )


def start_frames(dataset: Dataset) -> Float[np.ndarray, "frames beads dim"]:
    """Training frames that travel with the checkpoint, in scaled coordinates, evenly spread."""
    chosen = np.linspace(0, len(dataset.training) - 1, min(START_FRAMES, len(dataset.training)))
    return dataset.training[chosen.round().astype(int)]


def load_run(path: Path) -> LoadedRun:
    """Read the newest checkpoint of a run.

    Parameters
    ----------
    path
        Run folder; of a run of many molecules, the folder of one of them.

    Raises
    ------
    FokkerError
        If there is no run, or its checkpoint is foreign, incomplete or altered.
    """
    if not path.is_dir():
        raise FokkerError(f"{path}: no such run folder; `fokker train` makes one.")
    folder = RunFolder(path)
    newest = checkpoint.latest(folder.checkpoint)
    manifest = checkpoint.read_manifest(newest)
    config = parse(checkpoint.section(manifest, "config", newest), f"{newest}/manifest.json")
    many = isinstance(config.system, MoleculesOptions)
    molecule = read_molecule(folder) if many else None
    try:
        scaling = Scaling.model_validate(manifest["scaling"])
        if molecule is None:
            inputs, vocabulary = None, None
            system = System.model_validate(manifest["system"])
            limits = GeometryLimits.model_validate(manifest["limits"])
            rows = int(manifest["n_start_frames"])
            blank = np.broadcast_to(np.float32(0), (rows, system.n_beads, system.dim))
        else:
            known = Known.of(manifest)
            vocabulary = known.vocabulary
            system, blank = molecule.system, NO_START_FRAMES
            inputs = _blank_inputs(system, known)
            limits = BondLimits.model_validate(manifest["many"]["limits"]).of_system(system)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FokkerError(
            f"{newest}/manifest.json: incomplete or altered ({type(error).__name__}); restore it "
            "from a copy or train again."
        ) from error
    _check_size(newest, config, system, inputs)
    like = inference_group(initial_model(config, system, many=inputs), blank)
    stored = checkpoint.load(newest, "model", like)
    start = stored["start"]
    if molecule is not None:
        start = scaling.apply(centre(molecule.positions))[None]
    return LoadedRun(folder, config, system, scaling, limits, stored["model"], start, vocabulary)


def _blank_inputs(system: System, known: Known) -> ManyInputs:
    """Inputs that give a model of many molecules its shape, whatever it was trained on."""
    features = padded_features((system,), known.vocabulary)
    return ManyInputs(known.vocabulary.kinds, features, np.zeros(4, int), known.skeleton)


def _check_size(path: Path, config: Config, system: System, many: ManyInputs | None) -> None:
    """Compare the model that a manifest describes with the size of its file, before it is made.

    Raises
    ------
    FokkerError
        If it needs more bytes than are there, or cannot be made.
    """
    file = path / "model.safetensors"
    try:
        model = eqx.filter_eval_shape(lambda: initial_model(config, system, many=many))
    except (ValueError, TypeError, IndexError) as error:
        raise FokkerError(
            f"{path}/manifest.json: describes a model that cannot be made "
            f"({type(error).__name__}); restore it from a copy or train again."
        ) from error
    shapes = [leaf for leaf in jax.tree.leaves(model) if hasattr(leaf, "shape")]
    needed = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in shapes)
    if needed > file.stat().st_size:
        raise FokkerError(
            f"{file}: {file.stat().st_size:,} bytes, the model of the manifest needs {needed:,}; "
            "the checkpoint belongs to another model."
        )


def same_training(folder: RunFolder, config: Config) -> None:
    """Check that a run to be resumed was started with this configuration.

    Raises
    ------
    FokkerError
        If what training depends on differs.
    """
    manifest = checkpoint.read_manifest(checkpoint.latest(folder.checkpoint))
    stored = parse(
        checkpoint.section(manifest, "config", folder.checkpoint), str(folder.checkpoint)
    )
    for name in ("seed", "pretrained", "system", "process", "experts"):
        if getattr(stored, name) != getattr(config, name):
            raise FokkerError(
                f"{folder.path}: the run to resume was started with other settings of {name!r}; "
                f"resume it with the settings in {folder.config}, or choose another folder."
            )


def save_config(folder: RunFolder, config: Config) -> None:
    """Write `config.toml`."""
    from .folder import write_atomically

    write_atomically(folder.config, to_toml(config))
