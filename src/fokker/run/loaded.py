"""A trained model read back from its checkpoint, without the data it was trained on."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..config import Config, MoleculesOptions, parse, to_toml
from ..dataset.corpus import BondLimits, Known
from ..dataset.frames import Scaling, centre
from ..dataset.molecules import padded_features
from ..dataset.subject import NO_START_FRAMES, Subject
from ..errors import FokkerError
from ..metrics import GeometryLimits
from ..model import Mixture
from ..model.force import Force
from ..network import MoleculeInputs
from ..runtime import checkpoint
from ..system import System, Vocabulary
from ..training import inference_group
from ..training.schedule import features_of, initial_model
from ..types import Features
from .folder import RunFolder, write_atomically
from .molecule import read_molecule


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


def unfinished(path: Path) -> str | None:
    """One sentence on how far training has come; None if it has ended or that cannot be read."""
    if not path.is_dir():
        return None
    newest = checkpoint.latest(RunFolder(path).checkpoint)
    manifest = checkpoint.read_manifest(newest)
    try:
        config = parse(manifest["config"], str(newest))
        stage, step = int(manifest["progress"]["stage"]), int(manifest["progress"]["step"])
    except (KeyError, TypeError, ValueError, FokkerError):
        return None
    if stage >= config.n_stages:
        return None
    return (
        f"training has not ended ({config.name_of(stage)}, step {step:,} of "
        f"{config.steps_of(stage):,}); this is the model so far, and --resume of `fokker train` or "
        "`run` ends it."
    )


def same_molecules(folder: RunFolder, subject: Subject) -> None:
    """Check that a run to be resumed was started with these molecules, if it has many.

    Raises
    ------
    FokkerError
        If files have come or gone.
    """
    stored = checkpoint.read_manifest(checkpoint.latest(folder.checkpoint)).get("many")
    if stored != json.loads(json.dumps(subject.metadata.get("many"))):
        raise FokkerError(
            f"{folder.path}: the run to resume was started with other molecules or frames; give it "
            "back its files, or choose another folder."
        )


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
    molecules = isinstance(config.system, MoleculesOptions)
    molecule = read_molecule(folder) if molecules else None
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
    like = inference_group(initial_model(config, system, molecules=inputs), blank)
    stored = checkpoint.load(newest, "model", like)
    start = stored["start"]
    if molecule is not None:
        start = scaling.apply(centre(molecule.positions))[None]
    return LoadedRun(folder, config, system, scaling, limits, stored["model"], start, vocabulary)


def _blank_inputs(system: System, known: Known) -> MoleculeInputs:
    """Inputs that give a model of many molecules its shape, whatever it was trained on."""
    features = padded_features((system,), known.vocabulary)
    return MoleculeInputs(known.vocabulary.kinds, features, np.zeros(4, int), known.skeleton)


def _check_size(
    path: Path, config: Config, system: System, molecules: MoleculeInputs | None
) -> None:
    """Compare the model that a manifest describes with the size of its file, before it is made.

    Raises
    ------
    FokkerError
        If it needs more bytes than are there, or cannot be made.
    """
    file = path / "model.safetensors"
    try:
        model = eqx.filter_eval_shape(lambda: initial_model(config, system, molecules=molecules))
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
    before = stored.trained_by
    for name, value in config.trained_by.items():
        if before.get(name) != value:
            raise FokkerError(
                f"{folder.path}: the run to resume was started with other settings of {name!r}; "
                f"resume it with the settings in {folder.config}, or choose another folder."
            )


def save_config(folder: RunFolder, config: Config) -> None:
    """Write `config.toml`."""
    write_atomically(folder.config, to_toml(config))
