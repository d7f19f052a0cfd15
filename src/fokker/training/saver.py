"""Checkpoints of a training: when they are due, what is in them, and where they say it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..dataset.subject import Subject
from ..model import Mixture
from ..runtime import checkpoint
from . import block
from .held_out import Best
from .stage import TrainingState


class Position(NamedTuple):
    """Where a checkpoint is.

    Attributes
    ----------
    stage, step, counter
        Its stage, the steps of this one, and those of all stages.
    lost
        Chains that broke since the last whole block.
    """

    stage: int = 0
    step: int = 0
    counter: int = 0
    lost: float = 0.0

    @staticmethod
    def read(path: Path) -> Position:
        """Position of a checkpoint."""
        progress = checkpoint.read_manifest(path)["progress"]
        return Position(**{name: progress.get(name, 0) for name in Position._fields})


def inference_group(
    model: Mixture, start_frames: Float[np.ndarray, "start beads dim"]
) -> dict[str, Any]:
    """Arrays that inference needs, as they are named in a checkpoint."""
    return {"model": model, "start": start_frames}


@dataclass
class Saver:
    """Writes checkpoints, numbered by the optimiser steps of all stages."""

    folder: Path
    subject: Subject
    counter: int
    last: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        """Whether the last one is older than a minute."""
        return time.monotonic() - self.last > block.CHECKPOINT_SECONDS

    def save(self, at: Position, model: Mixture, state: TrainingState, best: Best | None) -> None:
        """Write one: a model for inference, and the state that training goes on from."""
        groups = {
            "model": inference_group(model, self.subject.start_frames),
            "training": state,
        }
        groups |= {} if best is None else {"best": best}
        metadata = {**self.subject.metadata, "progress": at._asdict()}
        checkpoint.save(self.folder, at.counter, groups, metadata)
        self.last = time.monotonic()
