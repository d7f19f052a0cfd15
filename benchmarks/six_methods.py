"""Train, sample, simulate and evaluate every method on one system; a table as JSON and Markdown.

    python benchmarks/six_methods.py SYSTEM OUT [EFFORT] [MORE ARGUMENTS OF `fokker run`]

OUT.json and OUT.md are written after every method.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

METHODS = ("diffusion", "two-for-one", "mixture", "fokker-planck", "both", "fokker")
COLUMNS = ("js", "js_floor", "pmf", "pmf_floor", "failed_fraction", "n")


def row(system: str, method: str, effort: str, more: list[str]) -> dict:
    """One method: metrics, training and simulation figures."""
    folder = Path(tempfile.mkdtemp()) / "run"
    command = ["run", system, "-m", method, "--effort", effort, "-o", str(folder), *more]
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "fokker", *command], check=True)
    metrics = json.loads((folder / "metrics.json").read_text())
    record = json.loads((folder / "run.json").read_text())
    return {
        "command": "fokker " + " ".join(command).replace(str(folder), "RUN"),
        "iid": {name: metrics["iid"][name] for name in COLUMNS},
        "sim": {name: metrics["sim"][name] for name in COLUMNS},
        "training_seconds": record["training"]["seconds"],
        "chain_steps_per_second": record["simulation"]["steps_per_second"],
        "diverged_chains": record["simulation"]["diverged"],
        "all_seconds": round(time.monotonic() - began, 1),
    }


def markdown(system: str, table: dict) -> str:
    """The table as Markdown."""
    lines = [
        f"| {system} | iid JS (floor) | sim JS (floor) | failed iid, sim | diverged | training s |",
        "|---|---|---|---|---|---|",
    ]
    for method, found in table.items():
        cells = [f"{found[k]['js']:.4f} ({found[k]['js_floor']:.4f})" for k in ("iid", "sim")]
        failed = ", ".join(f"{found[k]['failed_fraction']:.2%}" for k in ("iid", "sim"))
        diverged, seconds = found["diverged_chains"], found["training_seconds"]
        lines.append(f"| {method} | {cells[0]} | {cells[1]} | {failed} | {diverged} | {seconds} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run every method."""
    system, out, *rest = sys.argv[1:]
    effort, more = (rest or ["1"])[0], rest[1:]
    table = {}
    for method in METHODS:
        table[method] = row(system, method, effort, more)
        Path(f"{out}.json").write_text(json.dumps(table, indent=1) + "\n")
        Path(f"{out}.md").write_text(markdown(system, table))


if __name__ == "__main__":
    main()
