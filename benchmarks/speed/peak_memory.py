"""Peak memory and wall time of every command, as JSON.

    python benchmarks/speed/peak_memory.py OUT.json [SYSTEM ...]

Each command runs in a process of its own; the peak is that process's largest resident set.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "train": ["train", "{system}", "--effort", "0.02", "-o", "{run}"],
    "sample": ["sample", "{run}"],
    "simulate": ["simulate", "{run}", "--steps", "20000"],
    "evaluate": ["evaluate", "{run}"],
    "report": ["report", "{run}"],
}


def peak(arguments: list[str]) -> dict[str, float]:
    """Run one command in a fresh child, since the system keeps a maximum; GiB and seconds."""
    code = (
        "import json, resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    began = time.monotonic()
    command = [sys.executable, "-c", code, sys.executable, "-m", "fokker", *arguments]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    kib = float(found.stdout.split()[-1])
    return {"GiB": round(kib / 2**20, 3), "seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    """Measure every command on every system."""
    out, *systems = sys.argv[1:]
    table = {}
    for system in systems or ["alanine-dipeptide", "mueller-brown"]:
        folder = Path(tempfile.mkdtemp())
        try:
            for name, pattern in COMMANDS.items():
                arguments = [part.format(system=system, run=folder / "run") for part in pattern]
                table.setdefault(system, {})[name] = peak(arguments)
                print(system, name, table[system][name], flush=True)
        finally:
            shutil.rmtree(folder)
    Path(out).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
