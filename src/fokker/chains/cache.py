"""Files of the chains, made on first use and kept in the user's cache folder.

A folder a chain: `native.pdb` and `chain-0.dcd`, `chain-1.dcd`, ..., beside a manifest with their
checksums. If the one that is asked for is missing or altered, all are made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..runtime.cache import cache_folder
from ..system import Bead, System
from ..trajectory import FrameWriter, write_topology
from ..units import thermal_energy
from .engine import MASS
from .folds import FOLDS
from .workers import simulate

GENERATOR_VERSION = 2
"""Counts changes of structures, energy and dynamics; their settings are told apart by a digest."""

Report = Callable[[int, int], None]
_MANIFEST = "manifest.json"


def chain_file(
    name: str,
    *,
    seed: int = 0,
    cache: Path | None = None,
    on_progress: Report = lambda done, total: None,
) -> Path:
    """Path of a file such as ``hairpin/native.pdb``, which is made if it is not there.

    Parameters
    ----------
    name
        Chain and file.
    seed
        Of the simulation.
    cache
        Folder; by default `$XDG_CACHE_HOME/fokker` or `~/.cache/fokker`.
    on_progress
        Told the steps done and in total while the chain is simulated.

    Raises
    ------
    FokkerError
        If there is no such chain or file, OpenMM is needed and missing, or the folder cannot be
        written.
    """
    chain, _, file = name.partition("/")
    if chain not in FOLDS:
        raise FokkerError(f"no chain {chain!r} is made here; there are {', '.join(FOLDS)}.")
    known = ["native.pdb", *(f"chain-{i}.dcd" for i in range(FOLDS[chain].dynamics.chains))]
    if file not in known:
        raise FokkerError(f"{name}: no such file; there are {known[0]} and {known[1]} onwards.")
    parent = cache_folder() if cache is None else cache
    folder = parent / f"{chain}-seed{seed}-v{GENERATOR_VERSION}-{FOLDS[chain].digest}"
    if not _intact(folder, file):
        try:
            with _alone(parent, folder.name):
                if not _intact(folder, file):
                    _make(folder, chain, seed, on_progress)
        except OSError as error:
            raise FokkerError(
                f"{folder}: the files of {chain!r} cannot be kept ({error.strerror}); set "
                "XDG_CACHE_HOME to a folder that can be written."
            ) from error
    return folder / file


def manifest(path: Path) -> dict[str, Any]:
    """What is known of how a file of `chain_file` was made: `seconds`, `seed`, `files`."""
    return json.loads((path.parent / _MANIFEST).read_text(encoding="utf-8"))


def chain_system(chain: str) -> System:
    """Beads and bonds of a chain, without collective variables."""
    n = len(FOLDS[chain].native())
    return System(
        name=chain,
        dim=3,
        beads=tuple(
            Bead(name="CA", element="C", residue="GLY", residue_index=i + 1, mass=MASS)
            for i in range(n)
        ),
        kT=thermal_energy(FOLDS[chain].dynamics.temperature),
        bonds=tuple((i, i + 1) for i in range(n - 1)),
    )


def _make(folder: Path, chain: str, seed: int, on_progress: Report) -> None:
    fold = FOLDS[chain]
    model = fold.model()
    began = time.monotonic()
    chains = simulate(model, fold.dynamics, seed=seed, on_progress=on_progress)
    seconds = round(time.monotonic() - began, 1)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write(work, chain_system(chain), model.native, chains)
        sums = {path.name: _sum(path) for path in sorted(work.iterdir())}
        text = json.dumps({"seconds": seconds, "seed": seed, "files": sums}, indent=1)
        (work / _MANIFEST).write_text(text + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or of an interrupted write
        work.replace(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(
    work: Path,
    system: System,
    native: Float[np.ndarray, "beads 3"],
    chains: Float[np.ndarray, "chains frames beads 3"],
) -> None:
    write_topology(work / "native.pdb", system, native)
    for i, frames in enumerate(chains):
        with FrameWriter(work / f"chain-{i}.dcd", system) as writer:
            writer.write(frames)


def _intact(folder: Path, file: str) -> bool:
    try:
        sums = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["files"]
        return sums[file] == _sum(folder / file)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(parent: Path, name: str) -> Iterator[None]:
    """Let one process make the files; others that want them wait and then find them."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / f".{name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
