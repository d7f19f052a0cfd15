"""Toy data sets: analytic targets as trajectories of one bead.

Frames are made on first use and kept in the user's cache folder; every other part of the package
sees them as it sees a molecule's trajectory: positions and a `System`.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

import numpy as np
from jax import random
from jaxtyping import Float

from ..dynamics import BlockResult, LangevinOptions, simulate
from ..errors import FokkerError
from ..potential import Checkerboard, MuellerBrown, bimodal_1d, bimodal_2d
from ..runtime.cache import cache_folder
from ..system import Bead, CollectiveVariable, System
from ..trajectory import Trajectory
from ..types import Key

GENERATOR_VERSION = 1
"""Counts changes of the generators below; cached frames of another version are not read."""

MUELLER_BROWN_CHAINS = 1000
MUELLER_BROWN_STRIDE = 50
MUELLER_BROWN_DYNAMICS = LangevinOptions(dt=5e-3, friction=1.0)

Frames = Float[np.ndarray, "frames 1 dim"]


class Toy(NamedTuple):
    """A toy system, how its frames are made, and how many are made unless told otherwise."""

    system: System
    generate: Callable[[Key, int], Frames]
    n_frames: int


def load_toy(
    name: str, *, seed: int = 0, n_frames: int | None = None, cache: Path | None = None
) -> Trajectory:
    """Training frames of a toy system.

    Parameters
    ----------
    name : "mixture-1d", "mixture-2d", "checkerboard" or "mueller-brown"
    seed : of the frames; equal seeds give equal frames
    n_frames : how many; by default 50,000, Müller-Brown 100,000
    cache : folder; by default `$XDG_CACHE_HOME/fokker` or `~/.cache/fokker`

    Raises
    ------
    FokkerError
        if there is no such system or `n_frames` is not positive.
    """
    return _load(name, "train", seed, n_frames, cache)


def reference_frames(
    name: str, *, seed: int = 0, n_frames: int | None = None, cache: Path | None = None
) -> Trajectory:
    """Frames independent of those of `load_toy` for every seed, for evaluation.

    Parameters and errors are those of `load_toy`.
    """
    return _load(name, "reference", seed, n_frames, cache)


def toy_names() -> tuple[str, ...]:
    """Names that `load_toy` knows."""
    return tuple(TOYS)


def _load(name: str, part: str, seed: int, n_frames: int | None, cache: Path | None) -> Trajectory:
    if name not in TOYS:
        raise FokkerError(f"there is no toy system {name!r}; choose one of {', '.join(TOYS)}")
    toy = TOYS[name]
    n_frames = toy.n_frames if n_frames is None else n_frames
    if n_frames < 1:
        raise FokkerError(f"n_frames must be at least 1 for {name!r}, got {n_frames}")
    folder = cache_folder() if cache is None else Path(cache)
    stem = f"{name}-{part}-seed{seed}-{n_frames}-v{GENERATOR_VERSION}"
    positions = _read_cached(folder, stem, (n_frames, 1, toy.system.dim))
    if positions is None:
        key = random.fold_in(random.key(seed), ("train", "reference").index(part))
        positions = toy.generate(key, n_frames)
        _write_cached(folder, stem, positions)
    return Trajectory(positions, toy.system)


def _mueller_brown(key: Key, n: int) -> Frames:
    """Langevin dynamics from exact Boltzmann samples, chain after chain."""
    potential = MuellerBrown(MUELLER_BROWN_SYSTEM.kT)
    integrator = MUELLER_BROWN_DYNAMICS.build(MUELLER_BROWN_SYSTEM.masses, potential.kT)
    start_key, run_key = random.split(key)
    blocks: list[BlockResult] = []
    simulate(
        integrator,
        potential.force,
        potential.sample(start_key, MUELLER_BROWN_CHAINS),
        run_key,
        n_steps=MUELLER_BROWN_STRIDE * -(-n // MUELLER_BROWN_CHAINS),
        stride=MUELLER_BROWN_STRIDE,
        centred=False,
        on_block=blocks.append,
    )
    by_frame = np.concatenate([block.frames for block in blocks])
    # A chain's frames stay together, so that a split in blocks of time separates chains.
    return np.swapaxes(by_frame, 0, 1).reshape(-1, 1, 2)[:n]


def _toy_system(
    name: str, axes: dict[str, tuple[float, float]], mass: float, kT: float, bins: int = 64
) -> System:
    return System(
        name=name,
        dim=len(axes),
        beads=(Bead(name="X", mass=mass),),
        kT=kT,
        collective_variables=tuple(
            CollectiveVariable(name=axis, kind="coordinate", indices=(i,), limits=limits)
            for i, (axis, limits) in enumerate(axes.items())
        ),
        histogram_bins=bins,
        length_unit="",
        centred=False,
    )


MUELLER_BROWN_SYSTEM = _toy_system(
    "mueller-brown", {"x": (-1.8, 1.1), "y": (-0.5, 2.0)}, mass=0.5, kT=23.0, bins=100
)

TOYS = {
    "mixture-1d": Toy(
        _toy_system("mixture-1d", {"x": (-3.0, 3.0)}, mass=1.0, kT=1.0),
        lambda key, n: np.asarray(bimodal_1d().sample(key, n)),
        50_000,
    ),
    "mixture-2d": Toy(
        _toy_system("mixture-2d", {"x": (-2.5, 2.5), "y": (-2.5, 2.5)}, mass=1.0, kT=1.0),
        lambda key, n: np.asarray(bimodal_2d().sample(key, n)),
        50_000,
    ),
    "checkerboard": Toy(
        _toy_system("checkerboard", {"x": (-2.0, 2.0), "y": (-2.0, 2.0)}, mass=1.0, kT=1.0),
        lambda key, n: np.asarray(Checkerboard().sample(key, n)),
        50_000,
    ),
    "mueller-brown": Toy(MUELLER_BROWN_SYSTEM, _mueller_brown, 100_000),
}


def _read_cached(folder: Path, stem: str, shape: tuple[int, ...]) -> Frames | None:
    """Frames of an intact cache entry, or None."""
    try:
        manifest = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        content = (folder / f"{stem}.npy").read_bytes()
        if manifest["sha256"] != hashlib.sha256(content).hexdigest():
            return None
        positions = np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return positions if positions.shape == shape and positions.dtype == np.float32 else None


def _write_cached(folder: Path, stem: str, positions: Frames) -> None:
    buffer = io.BytesIO()
    np.save(buffer, positions, allow_pickle=False)
    content = buffer.getvalue()
    manifest = {"sha256": hashlib.sha256(content).hexdigest(), "shape": positions.shape}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_atomically(folder / f"{stem}.npy", content)
        _write_atomically(folder / f"{stem}.json", json.dumps(manifest).encode())
    except OSError as error:
        warnings.warn(
            f"cache folder {folder}: frames are not kept ({error.strerror}); they are made again "
            "next time, or set XDG_CACHE_HOME to a folder that can be written",
            stacklevel=3,
        )


def _write_atomically(path: Path, content: bytes) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.close()
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
