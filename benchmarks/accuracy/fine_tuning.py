"""Accuracy against the number of frames of one molecule, from scratch and from a model of many.

    python benchmarks/accuracy/fine_tuning.py RUN TOPOLOGY TRAJECTORY OUT

RUN is a run of many molecules, none of them this one. The first half of the trajectory is there to
train on, the second half to judge by. For every number of frames, evenly spread over the first
half, the method of RUN is trained with its networks from scratch and from its weights, for the same
steps; `as it is` is RUN itself. Writes OUT/table.json, OUT/table.md and OUT/table.svg. Can be
interrupted and continued.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import mdtraj
from matplotlib.figure import Figure

import fokker
from fokker.config import parse
from fokker.run.folder import RunFolder
from fokker.runtime.checkpoint import latest, read_manifest

FRAMES = (100, 400, 1600)
STEPS = 3000
SCRATCH_RATE, TUNED_RATE = 7e-3, 1e-3
SAMPLES, CHAINS, SIMULATED, STRIDE = 8000, 100, 40_000, 500
START = "as it is"


def halves(topology: Path, trajectory: Path, out: Path) -> Path:
    """Write the first half for training and the second as the reference, which is returned."""
    folder, reference = out / "data", out / "reference.dcd"
    if not reference.exists():
        folder.mkdir(parents=True, exist_ok=True)
        whole = mdtraj.load(str(trajectory), top=str(topology))
        (folder / topology.name).write_bytes(topology.read_bytes())
        whole[: len(whole) // 2].save_dcd(str(folder / f"{topology.stem}.dcd"))
        whole[len(whole) // 2 :].save_dcd(str(reference))
    return reference


def configuration(raw: dict[str, Any], out: Path, frames: int, base: Path | None) -> dict[str, Any]:
    """Settings of the run of many for one molecule and so many of its frames."""
    rate = SCRATCH_RATE if base is None else TUNED_RATE
    experts = []
    for expert in raw["experts"]:
        training = {**expert["training"], "learning_rate": rate, "batch_size": 256}
        experts.append({**expert, "training": {**training, "steps": STEPS}})
    data = {"folder": str(out / "data"), "validation": "", "max_frames": frames}
    return {
        **raw,
        "pretrained": None if base is None else str(base),
        "system": {**raw["system"], **data},
        "experts": experts,
    }


def judge(run: Path, topology: Path, reference: Path) -> dict[str, Any]:
    """Sample, simulate and compare with the second half."""
    folder = fokker.molecule(run, topology)
    loaded = fokker.load_run(folder)
    kept = {"chains": CHAINS, "steps": SIMULATED, "stride": STRIDE}
    fokker.sample(folder, n=SAMPLES, overwrite=True)
    options = loaded.config.simulation.model_copy(update=kept)
    fokker.simulate(folder, options=options, overwrite=True)
    metrics = fokker.evaluate(folder, reference=[reference])
    row: dict[str, Any] = {"diverged": metrics["diverged_chains"]}
    for kind in ("iid", "sim"):
        found = metrics[kind]
        bonds = [bond["w1_relative"] for bond in found["bonds"].values()]
        row[kind] = {
            **{key: found[key] for key in ("js", "js_floor", "js_standard_error", "pmf")},
            "failed": found["failed_fraction"],
            "bond": None if None in bonds else max(bonds),
        }
    return row


def markdown(command: str, rows: dict[str, Any]) -> str:
    """The table."""
    first = next(iter(rows.values()))
    text = [f"    {command}", ""]
    text += [f"Floor of JS {first['iid']['js_floor']:.4f} and {first['sim']['js_floor']:.4f}.", ""]
    text += ["| frames | start | iid JS | sim JS | bond W1 at most, iid | sim | diverged |"]
    text += ["|---|---|---|---|---|---|---|"]
    for name, row in rows.items():
        start, _, frames = name.partition(", ")
        found = [row[kind][key] for key in ("js", "bond") for kind in ("iid", "sim")]
        cells = ["" if value is None else f"{value:.3g}" for value in found]
        line = [frames or "0", start, *cells, str(row["diverged"])]
        text.append(f"| {' | '.join(line)} |")
    return "\n".join([*text, ""])


def draw(rows: dict[str, Any], path: Path) -> None:
    """JS against frames."""
    figure = Figure((8.0, 3.2), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("iid", "sim"), strict=True):
        for start in ("scratch", "fine-tuned"):
            found = [(n, rows[f"{start}, {n}"][kind]["js"]) for n in FRAMES]
            axes.loglog(*zip(*found, strict=True), "o-", label=start)
        axes.axhline(rows[START][kind]["js"], ls="--", color="grey", label=START)
        axes.axhline(rows[START][kind]["js_floor"], ls=":", color="black", label="floor")
        axes.set(title=kind, xlabel="frames of the molecule", ylabel="JS")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Train what is left to train, and write the table after each."""
    base, topology, trajectory, out = (Path(text) for text in sys.argv[1:])
    command = f"python benchmarks/accuracy/fine_tuning.py {' '.join(sys.argv[1:])}"
    reference = halves(topology, trajectory, out)
    raw = read_manifest(latest(RunFolder(base).checkpoint))["config"]
    file = out / "table.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else {}
    cases = [(START, base, None)]
    for n in FRAMES:
        cases += [(f"scratch, {n}", None, n), (f"fine-tuned, {n}", base, n)]
    for name, start, frames in cases:
        if name in rows:
            continue
        run = out / name.replace(", ", "-").replace(" ", "-")
        if frames is None:  # a copy, so that what RUN itself was judged by stays
            shutil.copytree(
                base, run, ignore=shutil.ignore_patterns("molecules*"), dirs_exist_ok=True
            )
        else:
            config = parse(configuration(raw, out, frames, start), str(base))
            fokker.train(config, run, resume=True)
        rows[name] = judge(run, topology, reference)
        print(name, json.dumps(rows[name]), flush=True)
        content = {"command": command, "steps": STEPS, "rows": rows}
        file.write_text(json.dumps(content, indent=1) + "\n")
        (out / "table.md").write_text(markdown(command, rows))
    draw(rows, out / "table.svg")


if __name__ == "__main__":
    main()
