"""From the configuration's system to frames: files, embedded data or generated data."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..config import EMBEDDED, Config, MoleculeOptions
from ..errors import FokkerError
from ..trajectory import Trajectory, read_frames, read_molecule

MIN_TRAINING_FRAMES = 100


def resolve(name: str) -> Path:
    """Path of a user's file, or of a data file inside the package."""
    if not name.startswith(EMBEDDED):
        return Path(name).expanduser()
    path = Path(str(files("fokker"))) / "data" / name.removeprefix(EMBEDDED)
    if ".." in path.parts or not path.is_file():
        raise FokkerError(f"{name}: no such data set inside the package.")
    return path


def load_trajectory(config: Config) -> Trajectory:
    """Frames and system that a configuration names.

    Raises
    ------
    FokkerError
        On bad files or names.
    """
    options = config.system
    if isinstance(options, MoleculeOptions):
        return read_molecule(
            [resolve(name) for name in options.trajectory],
            resolve(options.topology),
            select=options.select,
            temperature=options.temperature,
            name=options.name,
            stride=options.stride,
            min_frames=MIN_TRAINING_FRAMES,
        )
    from ..datasets import load_toy

    return load_toy(options.name, seed=0)


def load_reference(
    config: Config, trajectory: Trajectory, given: list[Path] | None = None
) -> Float[np.ndarray, "frames beads dim"] | None:
    """Independent frames for evaluation: the given files, or those of the configuration.

    Returns
    -------
    Array or None
        Frames in user units, or None if there are none.
    """
    options = config.system
    if given:
        return np.concatenate([read_frames(path, trajectory.system) for path in given])
    if isinstance(options, MoleculeOptions):
        if not options.reference:
            return None
        paths = [resolve(name) for name in options.reference]
        return np.concatenate([read_frames(path, trajectory.system) for path in paths])
    from ..datasets import reference_frames

    return reference_frames(options.name).positions
