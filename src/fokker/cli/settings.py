"""Options that make a configuration: presets, a file, flags, in this order."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..config import Config, parse, read_toml
from ..config.presets import (
    assignment,
    combine,
    merge,
    takes_files,
    takes_folder,
    with_force_matching,
)
from ..errors import FokkerError
from ..variables import parse_choice

System = Annotated[
    str,
    typer.Argument(
        help="System preset (see `fokker presets`), or `molecule` with --trajectory, --topology "
        "and --temperature for your own, or `molecules` with --folder and --temperature for many."
    ),
]
Method = Annotated[str, typer.Option("--method", "-m", help="Method preset.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Run folder.")]
Sampler = Annotated[
    Literal["dpm-solver", "annealed", "euler-maruyama", "probability-flow"] | None,
    typer.Option(help="How samples are drawn; by default as the run's configuration says."),
]
Bias = Annotated[
    str | None,
    typer.Option(
        help="Collective variable that a harmonic bias k/2 (value - center)^2 is on, by name, such "
        "as 'phi ALA2', or as for --cv. Needs --center and --k; takes the annealed sampler.",
        metavar="NAME",
    ),
]
Center = Annotated[
    str | None,
    typer.Option(help="Centre of the bias, with its unit: 60deg, 1.05rad, 0.5nm.", metavar="VALUE"),
]
Stiffness = Annotated[
    float | None,
    typer.Option("--k", min=0.0, help="Stiffness of the bias, kJ/mol/rad^2 or kJ/mol/nm^2."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Change one setting by its key in config.toml, for example "
        "-s experts.0.training.steps=5000. Repeatable.",
    ),
]
File = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file with changes to the presets.")
]
Effort = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        help="Multiply the training steps of the presets.  [default: 1.0]",
        show_default=False,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        help="Instead of --effort: time to train on this machine, for example 30m or 1h30m. Speed "
        "is measured first; the steps that fit are then fixed. Sampling and simulation come on "
        "top. `fokker inspect ... --budget` says what to expect.",
        metavar="TIME",
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of everything random.")]
TrajectoryFiles = Annotated[
    list[str] | None,
    typer.Option("--trajectory", "-f", help="Trajectory file(s): -f a.xtc b.xtc, or -f for each."),
]
Topology = Annotated[str | None, typer.Option("--topology", "-p", help="Topology file, e.g. PDB.")]
Select = Annotated[
    str | None, typer.Option(help="Atoms to keep as beads, in mdtraj's selection language.")
]
Temperature = Annotated[
    float | None, typer.Option(help="Temperature of the trajectory, K.", metavar="KELVIN")
]
Folder = Annotated[
    str | None,
    typer.Option(
        help="Many molecules: a folder of pairs such as KL.pdb and KL.dcd, or a TOML list.",
        metavar="PATH",
    ),
]
Validation = Annotated[
    str | None,
    typer.Option(
        help="Molecules never trained on that choose among the weights of a training, given like "
        "--folder.",
        metavar="PATH",
    ),
]
Test = Annotated[
    str | None,
    typer.Option(
        help="Molecules that the model is judged by and its training never looks at, given like "
        "--folder; without it, those of --validation.",
        metavar="PATH",
    ),
]
NewMolecule = Annotated[
    Path | None,
    typer.Option(
        "--topology",
        "-p",
        help="For a run of many molecules: topology with one structure (PDB) of the molecule to "
        "use. Without it, all molecules of --test or, if there are none, of --validation.",
    ),
]
BeadMapping = Annotated[
    str | None,
    typer.Option(help="Beads: atoms, alpha-carbons, residues, or a TOML file that lists them."),
]
Variables = Annotated[
    list[str] | None,
    typer.Option(
        "--cv",
        help="Collective variable; the first two span the plane of the metrics, by default the "
        "slowest motions. 'phi ALA2', "
        "'distance ALA1-CA ALA5-CA', end-to-end, radius-of-gyration, 'rmsd FILE', "
        "'native-contacts FILE', tica. Repeatable.",
    ),
]
Pretrained = Annotated[
    str | None,
    typer.Option(
        help="Fine-tuning: start from the weights of this run, which has the same method. If it is "
        "a run of many molecules, give your molecule with --folder.",
        metavar="RUN",
    ),
]
Forces = Annotated[
    list[str] | None,
    typer.Option(
        help="Frames with forces: NPZ (positions in nm, forces in kJ/mol/nm, of all atoms or of "
        "the beads alone) or HDF5. With --trajectory or without. Repeatable."
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        help="Frames of a biased simulation: the weight of each, in an NPY or text file, one for "
        "each trajectory or one for all. FILE:NAME is a column of a PLUMED file, FILE:2 the second "
        "one of plain text. Repeatable.",
        metavar="FILE[:COLUMN]",
    ),
]
LogWeights = Annotated[
    list[str] | None,
    typer.Option(
        help="The same with natural logarithms of weights, such as those of MBAR.",
        metavar="FILE[:COLUMN]",
    ),
]
FrameBias = Annotated[
    list[str] | None,
    typer.Option(
        "--frame-bias",
        help="The same with the bias of each frame in kJ/mol, such as COLVAR:metad.rbias; the "
        "weight is exp(bias / kT).",
        metavar="FILE[:COLUMN]",
    ),
]
Stride = Annotated[int | None, typer.Option(min=1, help="Keep every n-th frame.")]
Reference = Annotated[
    list[Path] | None,
    typer.Option(help="Independent frames, never trained on. Repeatable."),
]
FrameTime = Annotated[
    str | None,
    typer.Option(
        help="The frames are dynamics in the order of time, and this is the time between two in "
        "the files, such as 0.1ns; or `file`, if XTC or TRR files state it. The kinetics of data "
        "and simulation are then compared. Not for replica exchange or other equilibrium frames.",
        metavar="TIME",
    ),
]
AllowCut = Annotated[
    bool | None,
    typer.Option("--allow-cut", help="Use the whole frames of trajectories that end early."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue what was interrupted.")]
Devices = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Devices that share the work; a CPU is split into that many. By default all "
        "accelerators; without any, simulated chains use all cores.",
        metavar="N",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]


def configuration(
    system: str,
    method: str | Mapping[str, Any],
    *,
    file: Path | None,
    changes: Sequence[str] | None,
    effort: float,
    seed: int | None,
    trajectory: Sequence[str] | None,
    topology: str | None,
    select: str | None,
    temperature: float | None,
    stride: int | None,
    allow_cut: bool | None = None,
    mapping: str | None = None,
    variables: Sequence[str] | None = None,
    folder: str | None = None,
    validation: str | None = None,
    test: str | None = None,
    forces: Sequence[str] | None = None,
    weights: Sequence[str] | None = None,
    log_weights: Sequence[str] | None = None,
    bias: Sequence[str] | None = None,
    pretrained: str | None = None,
    frame_time: str | None = None,
) -> Config:
    """Resolve presets, file and flags to a configuration.

    Raises
    ------
    FokkerError
        On an unknown preset, key or value.
    """
    own = {
        "trajectory": list(trajectory) if trajectory else None,
        "forces": list(forces) if forces else None,
        "weights": list(weights) if weights else None,
        "log_weights": list(log_weights) if log_weights else None,
        "bias": list(bias) if bias else None,
        "topology": topology,
        "select": select,
        "temperature": temperature,
        "stride": stride,
        "frame_time": frame_time,
        "allow_cut": allow_cut or None,
        "mapping": mapping,
        "folder": folder,
        "validation": validation,
        "test": test,
        "collective_variables": [parse_choice(text) for text in variables or ()] or None,
    }
    given: dict[str, Any] = {key: value for key, value in own.items() if value is not None}
    flags: dict[str, Any] = {"system": given} if given else {}
    if seed is not None:
        flags["seed"] = seed
    if pretrained is not None:
        flags["pretrained"] = pretrained
    own_files = takes_files(system)
    if trajectory and not own_files:
        raise FokkerError(
            f"--trajectory is for your own molecule: write `molecule` in place of {system!r}."
        )
    _refuse_weights(system, given, own_files)
    parts = [read_toml(file)] if file else []
    assigned: dict[str, Any] = {}
    for text in changes or ():
        assigned = merge(assigned, assignment(text))
    raw = combine(system, method, [*parts, flags, assigned], effort=effort)
    source = str(file) if file else "settings"
    if not _are_tables(raw):
        return parse(raw, source)  # which says what is wrong
    if raw["system"].get("forces"):
        raw = with_force_matching(raw)
    if own_files:
        _need_files(system, raw["system"])
    if raw["system"].get("kind") == "molecules":
        _need_folder(system, raw["system"])
    return parse(raw, source)


def _refuse_weights(system: str, given: Mapping[str, Any], own_files: bool) -> None:
    for key in ("weights", "log_weights", "bias"):
        if key in given and not own_files:
            why = "its frames count alike"
            if "folder" in given or takes_folder(system):
                why = "the frames of many molecules count alike; train one alone with `molecule`"
            raise FokkerError(
                f"--{key.replace('_', '-')} is for your own molecule, not for {system!r}: {why}."
            )


def _are_tables(raw: Mapping[str, Any]) -> bool:
    """Whether the parts that are looked into before a configuration is validated are tables."""
    system, experts = raw["system"], raw["experts"]
    if not (isinstance(system, Mapping) and isinstance(experts, list)):
        return False
    return all(
        isinstance(expert, Mapping) and isinstance(expert.get("training", {}), Mapping)
        for expert in experts
    )


def _need_files(system: str, given: dict[str, Any]) -> None:
    for key in ("trajectory", "topology", "temperature"):
        if key not in given and not (key == "trajectory" and given.get("forces")):
            raise FokkerError(
                f"system `{system}` needs --{key}; for example fokker run {system} "
                "--trajectory md.xtc --topology md.pdb --temperature 300."
            )


def _need_folder(system: str, given: dict[str, Any]) -> None:
    for key in ("folder", "temperature"):
        if key not in given:
            raise FokkerError(
                f"system `{system}` needs --{key}; for example fokker run molecules --folder data "
                "--test others --temperature 300."
            )


_UNITS = {"deg": math.pi / 180.0, "rad": 1.0, "nm": 1.0, "": 1.0}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(deg|rad|nm|)\s*")


def sampling_changes(
    sampler: str | None, bias: str | None, center: str | None, k: float | None
) -> list[str]:
    """Settings of the `sampling` table that the options of `fokker sample` stand for.

    Raises
    ------
    FokkerError
        If a bias is incomplete, or its centre is no quantity.
    """
    if bias is None:
        if center is not None or k is not None:
            raise FokkerError("--center and --k are of a bias; name its variable with --bias.")
        return [] if sampler is None else [f"sampler.name={sampler}"]
    if center is None or k is None:
        raise FokkerError(f"--bias {bias!r} needs --center and --k, such as --center 60deg --k 5.")
    quantity = _QUANTITY.fullmatch(center)
    if quantity is None:
        raise FokkerError(
            f"--center {center!r} is not a quantity; write a number with deg, rad or nm, such as "
            "60deg."
        )
    value = float(quantity[1]) * _UNITS[quantity[2]]
    return [
        f"sampler.name={sampler or 'annealed'}",
        f"bias.variable={bias}",
        f"bias.center={value!r}",
        f"bias.k={k!r}",
    ]
