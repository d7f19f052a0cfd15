"""JS on a few large bins, where the floor is low: whether whole basins have their weight.

    python benchmarks/accuracy/coarse.py RUN [RUN ...]

For each run prints a JSON line for its samples and for its simulation: the share of frames with the
first collective variable above zero, of those that did not fail, beside that of the training
frames; JS (`js_data`) above its floor on 8 x 8 bins against the training frames; and, of a
simulation, a quarter of the same between the two halves of its chains, which is the noise of the
simulation in that number.
"""

import json
import sys
from pathlib import Path

import numpy as np
from of_runs import files_of, frames_of

from fokker.metrics import compare, compute
from fokker.run.loaded import load_run
from fokker.workflow.evaluate import baseline_of

BINS = 8


def main() -> None:
    """Measure and print."""
    for name in sys.argv[1:]:
        loaded = load_run(Path(name))
        system = loaded.system.model_copy(update={"histogram_bins": BINS})
        training = baseline_of(loaded).frames

        def excess(data: np.ndarray, frames: np.ndarray, of=system) -> float:
            found = compare(of, data, frames)
            return found["js_data"] - found["js_data_floor"]

        def share(frames: np.ndarray, of=system) -> float:
            values = compute(of.collective_variables[0], frames)
            return float((values[np.isfinite(values)] > 0).mean())

        for kind, file in files_of(loaded).items():
            if not file.exists():
                continue
            frames = frames_of(loaded, file)
            row = {
                "run": name,
                "frames": kind,
                "positive": share(frames),
                "positive in training": share(training),
                "excess": excess(training, frames),
            }
            if kind == "sim":
                chains = loaded.folder.read_record()["simulation"]["chains"]
                each = frames.reshape(-1, chains, *frames.shape[1:])
                half = [
                    part.reshape(-1, *frames.shape[1:]) for part in np.split(each, [chains // 2], 1)
                ]
                row["noise"] = excess(*half) / 4
            print(json.dumps({key: _rounded(value) for key, value in row.items()}))


def _rounded(value: object) -> object:
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
