"""What a step of each stage of a preset takes, on as many devices as the CPU is split in.

    python benchmarks/speed/stages.py [SYSTEM] [--method METHOD] [--devices N] [--seconds 4]

For each stage prints a JSON line: wall time of a step in ms, the least of several repeats of about
so many seconds, from weights that are not trained. With `taskset -c 0` on one core; nothing else
should run.
"""

import argparse
import json
import time

from fokker.config import parse
from fokker.config.presets import DEFAULT_METHOD, combine
from fokker.runtime import parallel
from fokker.training.block import MAX_BLOCK, run_block

REPEATS = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", nargs="?", default="alanine-dipeptide")
    parser.add_argument("--method", default=DEFAULT_METHOD)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    parallel.start(given.devices, {})

    from fokker.dataset.subject import load_subject
    from fokker.training.schedule import Devices, Stages, initial_model

    config = parse(combine(given.system, given.method), given.system)
    subject = load_subject(config)
    model = initial_model(config, subject.system, subject.dataset.training)
    stages = Stages(config, subject, Devices.of(config))
    for index in filter(config.steps_of, range(config.n_stages)):
        job = stages.create(index, model)
        stage, state = parallel.share((job.stage, job.state), job.stage.sharding)
        took = step_seconds(stage, state, job.pool, given.seconds)
        row = {"stage": config.name_of(index), "devices": given.devices}
        print(json.dumps({**row, "ms": round(1e3 * took, 2)}), flush=True)


def step_seconds(stage, state, pool, seconds: float) -> float:
    """Least wall time of a step; the first two calls compile and say how many fit the time."""
    run_block(stage, state, pool, 1)
    began = time.perf_counter()
    run_block(stage, state, pool, 2)
    n = min(MAX_BLOCK, 1 + int(seconds / (time.perf_counter() - began) * 2))
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        run_block(stage, state, pool, n)
        found.append((time.perf_counter() - began) / n)
    return min(found)


if __name__ == "__main__":
    main()
