"""What looks wrong with a trajectory before anything is trained on it: one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..metrics import chiral_centres, distance, effective_number
from ..system import System
from ..units import BOLTZMANN
from .source import MIN_TRAINING_FRAMES

FEW_FRAMES = 1000
"""Independent frames below which a model learns the noise of the trajectory."""

FEW_VISITS = 50
"""Independent frames below which not even the populations are known to ten per cent."""

_LARGE_SHARE = 0.05
"""Of all the weight, beyond which a single frame is called large."""

_SOLVENT = {
    *("HOH", "WAT", "SOL", "TIP3", "TIP4", "TP3", "SPC"),
    *("NA", "CL", "K", "SOD", "CLA", "NA+", "CL-", "Na+", "Cl-"),
}

_CHIRAL = {
    *("ALA", "ARG", "ASN", "ASP", "CYS", "CYX", "GLN", "GLU", "HIS", "HID", "HIE", "HIP", "ILE"),
    *("LEU", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL"),
}
"""Residues whose C-alpha is chiral."""

_TEMPERATURES = (150.0, 1500.0)
"""K, between which molecules are simulated."""

_CELSIUS = 273.15

_STIFF, _SOFT = 0.12, 0.4
"""Relative spread beyond which a bond of atoms, and one of larger beads, is called strange."""


@dataclass(frozen=True)
class Evidence:
    """What the sentences are drawn from; frames in nm or the system's length unit."""

    system: System
    frames: Float[np.ndarray, "frames beads dim"]
    effective_frames: float
    weights: Float[np.ndarray, " frames"] | None = None


def suspicions(evidence: Evidence) -> list[str]:
    """Every sentence that applies."""
    checks = (
        _too_few,
        _few,
        _weights,
        _duplicates,
        _temperature,
        _masses,
        _solvent,
        _bonds,
        _parts,
        _distances,
        _chirality,
        _kept,
    )
    return [text for check in checks for text in check(evidence)]


def doubt_temperature(kT: float) -> str | None:
    """Sentence on a thermal energy, kJ/mol, that no simulation of a molecule has."""
    kelvin = kT / BOLTZMANN
    low, high = _TEMPERATURES
    if low <= kelvin <= high:
        return None
    if kelvin > high:
        return f"{kelvin:.5g} K is hotter than molecules are simulated; give the temperature in K."
    return (
        f"{kelvin:.5g} K is colder than molecules are simulated; if {kelvin:.5g} is in degrees "
        f"Celsius, give {kelvin + _CELSIUS:.5g} K."
    )


def doubt_weights(weights: Float[np.ndarray, " frames"]) -> str | None:
    """Sentence on weights that leave few frames of many."""
    effective, share = effective_number(weights), float(weights.max() / weights.sum())
    if effective >= MIN_TRAINING_FRAMES and share <= _LARGE_SHARE:
        return None
    return (
        f"by their weights the {len(weights):,} frames are worth {effective:,.0f} that count "
        f"alike, and a single one has {share:.1%} of all the weight: a model will be of these "
        "few. Leave out where the bias still grows (weight 0), or simulate longer."
    )


def _weights(evidence: Evidence) -> Iterator[str]:
    doubt = None if evidence.weights is None else doubt_weights(evidence.weights)
    yield from () if doubt is None else (doubt,)


def _temperature(evidence: Evidence) -> Iterator[str]:
    if evidence.system.mapping is not None:
        doubt = doubt_temperature(evidence.system.kT)
        yield from () if doubt is None else (doubt,)


def _too_few(evidence: Evidence) -> Iterator[str]:
    n = len(evidence.frames)
    if evidence.system.mapping is not None and n < MIN_TRAINING_FRAMES:
        yield f"{n} frame(s): training takes at least {MIN_TRAINING_FRAMES}."


def _few(evidence: Evidence) -> Iterator[str]:
    n = evidence.effective_frames
    if len(evidence.frames) < MIN_TRAINING_FRAMES:
        return
    if n < FEW_VISITS:
        yield (
            f"about {n:.0f} independent frames: the slowest variable has hardly been sampled, and "
            f"a model will repeat this; simulate longer."
        )
    elif n < FEW_FRAMES:
        yield (
            f"about {n:.0f} independent frames: errors of {1 / np.sqrt(n):.0%} and more; rare "
            f"states are not to be trusted."
        )


def _duplicates(evidence: Evidence) -> Iterator[str]:
    flat = np.ascontiguousarray(evidence.frames.reshape(len(evidence.frames), -1))
    rows = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    n = len(rows) - len(np.unique(rows))
    if n:
        yield (
            f"{n:,} of {len(rows):,} frames are exact copies of others; files given twice, or "
            f"overlapping parts of a restarted simulation?"
        )


def _masses(evidence: Evidence) -> Iterator[str]:
    system = evidence.system
    if system.mapping is None:
        return
    lightest = min(system.masses)
    if lightest < 2.0:
        yield (
            f"the lightest bead has {lightest:.2f} amu: hydrogens make simulations need short time "
            f"steps; select 'not element H' unless they matter."
        )
    if max(system.masses) > 4.0 * lightest and lightest >= 2.0:
        yield (
            f"bead masses range from {lightest:.1f} to {max(system.masses):.1f} amu; the light "
            f"ones set the time step of a simulation."
        )


def _solvent(evidence: Evidence) -> Iterator[str]:
    found = sorted({bead.residue for bead in evidence.system.beads} & _SOLVENT)
    if found:
        yield f"beads include solvent or ions ({', '.join(found)}); leave them out with --select."


def _bonds(evidence: Evidence) -> Iterator[str]:
    system = evidence.system
    if system.mapping is not None and not system.bonds:
        yield (
            "no bonds: broken molecules cannot be noticed and no bond is compared; give a topology "
            "with bonds (PSF, prmtop, or PDB with CONECT records)."
        )
    for bond, label in zip(system.bonds, system.bond_labels, strict=True):
        length = distance(evidence.frames, bond)
        mean, spread = float(length.mean()), float(length.std() / max(length.mean(), 1e-12))
        coarse = mean > 0.2  # no bond of two heavy atoms is longer, save to a metal
        if spread > (_SOFT if coarse else _STIFF):
            yield (
                f"the bond {label} is {mean:.3f} nm +- {spread:.0%} and up to {length.max():.3f} "
                f"nm: is it broken, or not a bond?"
            )


def _parts(evidence: Evidence) -> Iterator[str]:
    system = evidence.system
    n = _n_parts(system.neighbours)
    if system.bonds and n > 1:
        yield (
            f"the beads are {n} molecules without bonds between them; in a periodic box they may "
            f"jump apart, which nothing can repair. Select one, or make the complex whole first."
        )


def _distances(evidence: Evidence) -> Iterator[str]:
    """The unit of bonded molecules is checked when they are read."""
    system = evidence.system
    if system.mapping is None or system.bonds or system.n_beads < 2:
        return
    first = evidence.frames[0].astype(np.float64)
    apart = np.linalg.norm(first[:, None] - first[None], axis=-1) + np.diag([np.inf] * len(first))
    nearest = float(np.median(apart.min(axis=1)))
    if not 0.05 < nearest < 2.0:
        yield f"nearest beads are {nearest:.3g} nm apart: are lengths really in nm?"


def _chirality(evidence: Evidence) -> Iterator[str]:
    system = evidence.system
    chiral = sorted({bead.residue for bead in system.beads} & _CHIRAL)
    if system.n_beads >= 4 and chiral and not chiral_centres(system, evidence.frames):
        yield (
            f"no bead of {', '.join(chiral)} keeps its chirality with this choice of beads: left "
            f"and right differ only in how dihedrals are populated; add CB to keep chirality."
        )


def _kept(evidence: Evidence) -> Iterator[str]:
    n = evidence.system.n_beads
    if n > 200:
        yield f"{n} beads: beyond what has been tested; coarser beads train and simulate faster."


def _n_parts(neighbours: tuple[tuple[int, ...], ...]) -> int:
    seen: set[int] = set()
    n = 0
    for start in range(len(neighbours)):
        n += start not in seen
        queue = [] if start in seen else [start]
        seen.update(queue)
        while queue:
            new = set(neighbours[queue.pop()]) - seen
            seen |= new
            queue += new
    return n
