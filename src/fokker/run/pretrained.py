"""Weights of a finished run that the training of another one starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config, MoleculesOptions, parse
from ..dataset.corpus import Known
from ..dataset.frames import Scaling
from ..dataset.subject import NO_START_FRAMES, Subject
from ..errors import FokkerError
from ..model import Mixture
from ..runtime import checkpoint
from ..system import System
from ..training import inference_group
from ..training.schedule import initial_model
from .folder import RunFolder

KEPT = ("interval", "kind", "network")
"""What of every expert has to be that of the weights."""


@dataclass(frozen=True)
class Pretrained:
    """A run whose weights another one starts from: its units, what it knows, and where it is."""

    path: Path
    checkpoint: Path
    scaling: Scaling
    n_start_frames: int
    system: System | None
    """Its molecule; None if it has many."""
    known: Known | None
    """What it knows of many molecules."""

    def model(self, config: Config, subject: Subject) -> Mixture:
        """Its model, constants that networks took from its data included.

        Parameters
        ----------
        config, subject
            Of the new run.

        Raises
        ------
        FokkerError
            If its network cannot serve the molecules of the new run, or its file is altered.
        """
        system, molecules = subject.system, subject.dataset.molecules
        inputs = None if molecules is None else molecules.inputs
        start = NO_START_FRAMES
        if molecules is not None:
            fits = molecules.skeleton is not None or all(
                e.network.any_molecule for e in config.experts
            )
        else:
            fits = self.system is not None and self.system.skeleton == system.skeleton
            start = np.zeros((self.n_start_frames, system.n_beads, system.dim), np.float32)
        if not fits:
            raise FokkerError(
                f"{self.path}: its molecule has other beads or bonds than {system.name!r}, and its "
                "network is of fixed ones; choose another run, or leave out --pretrained."
            )
        like = inference_group(initial_model(config, system, molecules=inputs), start)
        return checkpoint.load(self.checkpoint, "model", like)["model"]


def pretrained(config: Config) -> Pretrained | None:
    """Run that a configuration starts from; None if it starts from nothing.

    Raises
    ------
    FokkerError
        If there is no finished run of the same kind with the same networks.
    """
    if config.pretrained is None:
        return None
    path = Path(config.pretrained).expanduser()
    newest = checkpoint.latest(RunFolder(path).checkpoint)
    manifest = checkpoint.read_manifest(newest)
    own = parse(checkpoint.section(manifest, "config", newest), f"{newest}/manifest.json")
    _check(path, own, config)
    try:
        if int(manifest["progress"]["stage"]) < len(own.experts):
            raise FokkerError(f"{path}: its training is not finished; continue it with --resume.")
        return _read(path, newest, manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise FokkerError(
            f"{newest}/manifest.json: incomplete or altered ({type(error).__name__}); restore it "
            "from a copy or train again."
        ) from error


def _read(path: Path, newest: Path, manifest: dict[str, Any]) -> Pretrained:
    several = "many" in manifest
    return Pretrained(
        path,
        newest,
        Scaling.model_validate(manifest["scaling"]),
        int(manifest["n_start_frames"]),
        None if several else System.model_validate(manifest["system"]),
        Known.of(manifest) if several else None,
    )


def _check(path: Path, own: Config, config: Config) -> None:
    several, new_several = (isinstance(c.system, MoleculesOptions) for c in (own, config))
    if several != new_several:
        raise FokkerError(
            f"{path}: a run of {'many molecules' if several else 'one molecule'}, and the new one "
            f"is of {'many' if new_several else 'one'}; "
            + ("give the one molecule with --folder." if several else "choose another run.")
        )
    if own.process != config.process:
        raise FokkerError(f"{path}: its process is not that of the new run; take the same.")
    if len(own.experts) != len(config.experts):
        raise FokkerError(
            f"{path}: it has {len(own.experts)} experts and the new run {len(config.experts)}; "
            f"take its method, {own.method!r}."
        )
    for index, (old, new) in enumerate(zip(own.experts, config.experts, strict=True)):
        for name in KEPT:
            if getattr(old, name) != getattr(new, name):
                raise FokkerError(
                    f"{path}: experts.{index}.{name} is not that of the new run; take its method, "
                    f"{own.method!r}, with the settings in {RunFolder(path).config}."
                )
