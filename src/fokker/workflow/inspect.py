"""What was understood of a molecule and its trajectory, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config, MoleculeOptions
from ..dataset.frames import split_blocks
from ..dataset.source import drawn_by_weight, file_pieces, load_trajectory, resolve
from ..dataset.suspicions import Evidence, suspicions
from ..metrics import (
    chiral_centres,
    compute,
    distance,
    effective_number,
    plane_of,
    slowest_inefficiency,
    statistical_inefficiency,
)
from ..run.folder import RunFolder
from ..run.loaded import load_run
from ..system import Bead, CollectiveVariable, System
from ..trajectory import Trajectory, box_of, topology_notes
from ..units import BOLTZMANN


def inspect(
    what: Config | Path, *, on_message: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Read a trajectory and say what it is taken for.

    Parameters
    ----------
    what
        A configuration, or the folder of a run whose own system is then shown.
    on_message
        Told what is being done.

    Returns
    -------
    dict
        Plain data: `files` with their frames, `topology`, `atoms`, `chains` (name, first and last
        residue, number of beads), `beads` (label, element, mass in amu, source atoms), `bonds`
        (mean, std, min and max length in nm), `temperature` (K), `kT` (kJ/mol), `frames`, `box`
        (edge lengths in nm of the first frame, or None), `correlation_time` (frames to an
        independent one, slowest collective variable), `effective_frames`, `weights` (their
        `effective_number` of frames and `largest_share`, or None; means, correlation times and
        independent frames are then of frames drawn by weight), `plane` (the variables that span
        that of the metrics, and why), `collective_variables`, `chiral_centres`,
        `training_frames`, `validation_frames`, `warnings`.

    Raises
    ------
    FokkerError
        On whatever would stop a training run from reading the data.
    """
    stored = load_run(what) if isinstance(what, Path) else None
    config = stored.config if stored is not None else what
    assert isinstance(config, Config)
    on_message("reading")
    trajectory = load_trajectory(
        config, stored.system if stored is not None else None, min_frames=1
    )
    system, frames, weights = trajectory.system, trajectory.positions, trajectory.weights
    on_message("correlation times")
    # Held-out frames too: without them the pieces may be shorter than the time that is sought.
    pieces = file_pieces(drawn_by_weight(trajectory))
    training, validation = split_blocks(len(frames), config.system.validation_fraction)
    inefficiency = slowest_inefficiency(system, [piece[:, None] for piece in pieces])
    effective = len(training) / inefficiency
    on_message("checks")
    return {
        "system": system.name,
        "run": str(RunFolder(what).path) if isinstance(what, Path) else None,
        **_source(config, trajectory),
        "chains": _chains(system),
        "beads": _beads(system),
        "bonds": _bonds(system, np.concatenate(pieces)),
        "kT": system.kT,
        "length_unit": system.length_unit,
        "frames": len(frames),
        "training_frames": len(training),
        "validation_frames": len(validation),
        "correlation_time": inefficiency,
        "effective_frames": effective,
        "weights": None if weights is None else _weights(weights),
        "plane": plane_of(system),
        "collective_variables": [_variable(system, v, pieces) for v in system.collective_variables],
        "chiral_centres": [system.labels[c[0]] for c in chiral_centres(system, frames)],
        "warnings": [
            *_guesses(config, system),
            *trajectory.notes,
            *suspicions(Evidence(system, frames, effective, weights)),
        ],
    }


def _source(config: Config, trajectory: Trajectory) -> dict[str, Any]:
    """Where the frames are from; a model system has no files."""
    options, system = config.system, trajectory.system
    if not isinstance(options, MoleculeOptions):
        return {"files": [], "topology": None, "atoms": None, "temperature": None, "box": None}
    names = (*options.without_forces, *options.forces)
    return {
        "files": [
            {"path": name, "frames": n} for name, n in zip(names, trajectory.lengths, strict=True)
        ],
        "topology": options.topology,
        "atoms": system.mapping.n_atoms if system.mapping else None,
        "select": options.select,
        "mapping": options.mapping,
        "stride": options.stride,
        "temperature": system.kT / BOLTZMANN,
        "box": box_of(resolve(names[0]), system) if options.without_forces else None,
        "force_map": options.force_map if options.forces else None,
    }


def _guesses(config: Config, system: System) -> list[str]:
    """What the topology leaves open."""
    options = config.system
    if not isinstance(options, MoleculeOptions):
        return []
    return topology_notes(resolve(options.topology), system)


def _chains(system: System) -> list[dict[str, Any]]:
    """Each chain by the first and the last of its residues."""
    found: dict[int, list[Bead]] = {}
    for bead in system.beads:
        found.setdefault(bead.chain_index, []).append(bead)
    return [
        {
            "name": beads[0].chain,
            "first": beads[0].label.removesuffix(f"-{beads[0].name}"),
            "last": beads[-1].label.removesuffix(f"-{beads[-1].name}"),
            "beads": len(beads),
        }
        for beads in found.values()
    ]


def _beads(system: System) -> list[dict[str, Any]]:
    groups = system.mapping.groups if system.mapping else ((),) * system.n_beads
    return [
        {"label": label, "element": bead.element, "mass": bead.mass, "atoms": list(group)}
        for label, bead, group in zip(system.labels, system.beads, groups, strict=True)
    ]


def _bonds(system: System, frames: np.ndarray) -> list[dict[str, Any]]:
    found = []
    for bond, label in zip(system.bonds, system.bond_labels, strict=True):
        found.append({"beads": list(bond), "label": label, **_moments(distance(frames, bond))})
    return found


def _variable(
    system: System, variable: CollectiveVariable, pieces: tuple[np.ndarray, ...]
) -> dict[str, Any]:
    values = [compute(variable, piece) for piece in pieces]
    period = variable.limits[1] - variable.limits[0] if variable.periodic else None
    return {
        "name": variable.name,
        "kind": variable.kind,
        "unit": system.unit_of(variable),
        "limits": list(variable.limits),
        "correlation_time": statistical_inefficiency([v[:, None] for v in values], period),
        **_moments(np.concatenate(values)),
    }


def _weights(weights: np.ndarray) -> dict[str, float]:
    return {
        "effective_number": effective_number(weights),
        "largest_share": float(weights.max() / weights.sum()),
    }


def _moments(values: np.ndarray) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "max": float(values.max()),
    }
