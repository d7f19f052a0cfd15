"""A trained model read back from its checkpoint, without the data it was trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .. import checkpoint
from ..config import Config, parse, to_toml
from ..data import Dataset, Scaling
from ..errors import FokkerError
from ..metrics import GeometryLimits
from ..model import AbstractEnergy, AbstractScore, Mixture
from ..system import System
from ..training import features_of, inference_group, initial_model
from ..types import Features, Positions, Time
from .folder import RunFolder

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
    finished: bool

    @property
    def features(self) -> Features:
        """Bead features."""
        return features_of(self.system)

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


def start_frames(dataset: Dataset) -> Float[np.ndarray, "frames beads dim"]:
    """Training frames that travel with the checkpoint, in scaled coordinates, evenly spread."""
    chosen = np.linspace(0, len(dataset.training) - 1, min(START_FRAMES, len(dataset.training)))
    return dataset.training[chosen.round().astype(int)]


def load_run(path: Path) -> LoadedRun:
    """Read the newest checkpoint of a run.

    Parameters
    ----------
    path
        Run folder.

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
    config = parse(_section(manifest, "config", newest), f"{newest}/manifest.json")
    try:
        system = System.model_validate(manifest["system"])
        scaling = Scaling.model_validate(manifest["scaling"])
        limits = GeometryLimits.model_validate(manifest["limits"])
        finished = int(manifest["progress"]["stage"]) >= len(config.experts)
        rows = int(manifest["n_start_frames"])
        blank = np.broadcast_to(np.float32(0), (rows, system.n_beads, system.dim))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FokkerError(
            f"{newest}/manifest.json: incomplete or altered ({type(error).__name__}); restore it "
            "from a copy or train again."
        ) from error
    _check_size(newest, config, system)
    like = inference_group(initial_model(config, system), blank)
    stored = checkpoint.load(newest, "model", like)
    return LoadedRun(
        folder, config, system, scaling, limits, stored["model"], stored["start"], finished
    )


def _check_size(path: Path, config: Config, system: System) -> None:
    """Compare the model that a manifest describes with the size of its file, before it is made.

    Raises
    ------
    FokkerError
        If it needs more bytes than are there, or cannot be made.
    """
    file = path / "model.safetensors"
    try:
        model = eqx.filter_eval_shape(initial_model, config, system)
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
    stored = parse(_section(manifest, "config", folder.checkpoint), str(folder.checkpoint))
    for name in ("seed", "system", "process", "experts"):
        if getattr(stored, name) != getattr(config, name):
            raise FokkerError(
                f"{folder.path}: the run to resume was started with other settings of {name!r}; "
                f"resume it with the settings in {folder.config}, or choose another folder."
            )


def save_config(folder: RunFolder, config: Config) -> None:
    """Write `config.toml`."""
    from .folder import write_atomically

    write_atomically(folder.config, to_toml(config))


def _section(manifest: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    section = manifest.get(name)
    if not isinstance(section, dict):
        raise FokkerError(f"{path}/manifest.json: section {name!r} is missing or altered.")
    return json.loads(json.dumps(section))
