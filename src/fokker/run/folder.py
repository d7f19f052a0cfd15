"""A run folder: where everything of one run lies, who may write to it, what was recorded."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import FokkerError
from ..runtime import parallel
from ..system import System

_TEMPORARY = re.compile(
    r"\.(config\.toml|[a-z]+\.jsonl?|.*\.position\.json|.*\.npy|.*\.csv)\.\d+|\.fokker-.*"
)
"""Names under which files of a run folder are written before they are renamed."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, or of one molecule of a run of many.

    A molecule has a folder of its own, `molecules/NAME` in that of the run, with all that is made
    for it; model and configuration are the run's.
    """

    path: Path

    @property
    def molecule(self) -> Path:
        """The molecule that a folder is of, if the run has many."""
        return self.path / "molecule.json"

    @property
    def home(self) -> Path:
        """Folder of the run that a molecule belongs to; that of the run itself otherwise."""
        return self.path.parent.parent if self.molecule.exists() else self.path

    def of_molecule(self, name: str) -> RunFolder:
        """Folder of one molecule."""
        return RunFolder(self.path / "molecules" / name)

    @property
    def config(self) -> Path:
        """The whole configuration, as it was resolved."""
        return self.home / "config.toml"

    @property
    def checkpoint(self) -> Path:
        """Folder of checkpoints."""
        return self.home / "checkpoint"

    @property
    def training_log(self) -> Path:
        """One JSON line a block of training."""
        return self.home / "training.jsonl"

    @property
    def topology(self) -> Path:
        """The beads, with a first frame."""
        return self.path / "topology.pdb"

    @property
    def metrics(self) -> Path:
        """Metrics, as JSON."""
        return self.path / "metrics.json"

    @property
    def summary(self) -> Path:
        """Metrics of the molecules that a run of many is judged by, and their mean, as JSON."""
        return self.path / "molecules.json"

    @property
    def plots(self) -> Path:
        """Data of the figures, as JSON."""
        return self.path / "plots.json"

    @property
    def record(self) -> Path:
        """What was done, with which settings, in what time."""
        return self.path / "run.json"

    def samples(self, system: System) -> Path:
        """Independent samples; a NumPy file where a system is not three-dimensional."""
        return self.path / f"samples{suffix(system)}"

    def simulation(self, system: System) -> Path:
        """Frames of the simulation, all chains at one time after another."""
        return self.path / f"simulation{suffix(system)}"

    def read_record(self) -> dict[str, Any]:
        """Return what `run.json` says; empty if there is none."""
        if not self.record.exists():
            return {}
        try:
            record = json.loads(self.record.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise FokkerError(f"{self.record}: not valid JSON; delete it and go on.") from error
        return record if isinstance(record, dict) else {}

    def note(self, **sections: Any) -> None:
        """Put sections into `run.json`, replacing those of the same name."""
        record = {"fokker": __version__, **self.read_record(), **sections}
        if not parallel.is_primary():
            return
        write_atomically(self.record, json.dumps(record, indent=1))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; a second run into it is refused.

        Process 0 holds it for all that were started together.

        Raises
        ------
        FokkerError
            If the folder cannot be made or another process holds it.
        """
        if not parallel.is_primary():
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            stream = (self.path / ".lock").open("w")
        except OSError as error:
            raise FokkerError(
                f"{self.path}: cannot be written to ({error.strerror}); choose another folder."
            ) from error
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise FokkerError(
                    f"{self.path}: another fokker process is writing to this run; wait for it or "
                    "choose another folder."
                ) from error
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove temporary files of processes that were killed; the lock says none is at work."""
        for file in self.path.glob(".*"):
            if _TEMPORARY.fullmatch(file.name):
                with contextlib.suppress(OSError):
                    file.unlink()


def suffix(system: System) -> str:
    """Suffix of a run's trajectories."""
    return ".xtc" if system.dim == 3 else ".npy"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name, fsync it and rename it; text as UTF-8.

    Raises
    ------
    FokkerError
        If the disk does not take it; a file that was there stays.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise FokkerError(
            f"{path}: could not be written ({error.strerror}); what was there is untouched."
        ) from error
