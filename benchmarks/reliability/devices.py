"""Training and simulation over several devices: strong and weak scaling on the cores at hand.

    python benchmarks/reliability/devices.py FOLDER OUT.json

Each row is a command as a user gives it, started with `taskset` on so many cores: one process
whose CPU is split in parts (`--devices`), or several processes that meet over loopback. Two cores
against one with the same batch and chains are strong scaling, against one with half of them weak.
Training: the median of the last blocks of the small-t expert of alanine dipeptide.
Simulation: the rate that the run records, of the same model.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

BATCH, CHAINS = 256, 64
BLOCKS, BLOCK = 5, 250
STEPS, STRIDE = 20_000, 1000


class Row(NamedTuple):
    """How a command is started."""

    cores: int
    devices: int
    processes: int


ROWS = (Row(1, 1, 1), Row(2, 1, 1), Row(2, 2, 1), Row(2, 1, 2))


def free_port() -> int:
    """A port that nothing listens to."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def run(row: Row, *arguments: object) -> None:
    """Start all processes of a command and wait for them."""
    port, started = free_port(), []
    for index in range(row.processes):
        place = {
            "FOKKER_COORDINATOR": f"127.0.0.1:{port}",
            "FOKKER_PROCESSES": str(row.processes),
            "FOKKER_PROCESS": str(index),
        }
        cores = "0" if row.cores == 1 else str(index % 2) if row.processes > 1 else "0,1"
        command = ["taskset", "-c", cores, sys.executable, "-m", "fokker", *map(str, arguments)]
        command += ["--devices", str(row.devices)]
        environment = {**os.environ, **(place if row.processes > 1 else {})}
        started.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in started:
        _, said = process.communicate()
        if process.returncode:
            sys.exit(f"{row}: exit code {process.returncode}: {said}")


def training_rate(folder: Path) -> float:
    """Steps a second of the first expert, without the first blocks."""
    lines = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines if line["stage"] == 0][2:]
    return BLOCK / float(np.median(seconds))


def measure(row: Row, grow: int, folder: Path) -> dict[str, float]:
    """Frames and chain-steps a second with so many times the batch and the chains of one part."""
    shutil.rmtree(folder, ignore_errors=True)
    batch, chains = BATCH * grow, CHAINS * grow
    sizes = [
        *("-s", f"experts.0.training.batch_size={batch}"),
        *("-s", f"experts.0.training.steps={BLOCKS * BLOCK}"),
        *("-s", "experts.1.training.steps=4", "-s", "experts.2.training.steps=4"),
        *("-s", "experts.0.training.objectives.diffclf.fraction=1.0", "-s", "refinement.steps=0"),
    ]
    run(row, "train", "alanine-dipeptide", "--method", "fokker", "-o", folder, *sizes)
    length = ("--chains", chains, "--steps", STEPS, "--stride", STRIDE)
    run(row, "simulate", folder, *length)
    record = json.loads((folder / "run.json").read_text())["simulation"]
    return {
        "batch": batch,
        "training_steps_per_second": training_rate(folder),
        "chains": chains,
        "chain_steps_per_second": record["steps_per_second"],
    }


def main() -> None:
    """Measure all rows, and the first with half the work."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    result = []
    for row in ROWS:
        for grow in (1, 2) if row == ROWS[0] else (2,):
            found = {**row._asdict(), **measure(row, grow, folder / "run")}
            result.append(found)
            print(found, flush=True)
            out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
