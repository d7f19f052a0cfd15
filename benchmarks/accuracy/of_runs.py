"""What the benchmarks that measure finished runs share."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fokker.metrics import failed_frames, mark_failed
from fokker.run.loaded import LoadedRun
from fokker.trajectory import read_frames


def files_of(loaded: LoadedRun) -> dict[str, Path]:
    """Where a run's samples (`iid`) and simulation (`sim`) are, if they have been made."""
    folder, system = loaded.folder, loaded.system
    return {"iid": folder.samples(system), "sim": folder.simulation(system)}


def frames_of(loaded: LoadedRun, file: Path) -> np.ndarray:
    """Frames of a file of a run, nm; not a number in every frame that failed."""
    frames = read_frames(file, loaded.system, allow_failed=True)
    return mark_failed(frames, failed_frames(loaded.system, frames, loaded.limits))


def print_each(doc: str | None, measure: Callable[[Path], dict]) -> None:
    """Print a JSON line of each run named on the command line."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args().runs:
        print(json.dumps(measure(run)), flush=True)
