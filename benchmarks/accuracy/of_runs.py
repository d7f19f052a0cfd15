"""What the benchmarks that measure finished runs share."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from fokker.run.loaded import LoadedRun


def files_of(loaded: LoadedRun) -> dict[str, Path]:
    """Where a run's samples (`iid`) and simulation (`sim`) are, if they have been made."""
    folder, system = loaded.folder, loaded.system
    return {"iid": folder.samples(system), "sim": folder.simulation(system)}


def print_each(doc: str | None, measure: Callable[[Path], dict]) -> None:
    """Print a JSON line of each run named on the command line."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("runs", nargs="+", type=Path)
    for run in parser.parse_args().runs:
        print(json.dumps(measure(run)), flush=True)
