"""Ideal native structures of C-alpha chains, from geometry alone.

Helices are right-handed alpha helices: 0.23 nm radius, 100 degrees and 0.15 nm a residue, so that
neighbours are 0.383 nm apart. The two strands of the hairpin are 0.5 nm apart, pleated, and twist
right-handed along their direction as strands of natural sheets do. What joins them, a turn or a
loop, is placed by minimising

    sum over bonds (r - b)^2 + sum over i, i+2 outside [l, h] (r - limit)^2
        + sum over further pairs closer than c (r - c)^2

over the joining beads, from an arc between the ends. Last, all beads move by a few thousandths of a
nanometre until every bond is `b` long.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

BOND = 0.38
"""Distance of neighbouring C-alphas of trans peptides, nm."""

HELIX_RADIUS, HELIX_RISE, HELIX_TURN = 0.23, 0.15, np.deg2rad(100.0)
"""nm, nm a residue and rad a residue."""

STRAND_RISE, STRAND_DISTANCE, STRAND_PLEAT = 0.33, 0.5, 0.09
"""nm: along a strand a residue, between paired residues, out of the sheet."""

STRAND_TWIST = np.deg2rad(15.0)
"""rad a residue, right-handed."""

HELIX_DISTANCE = 0.9
"""Between the axes of neighbouring helices, nm."""

_NEXT_BUT_ONE = (0.53, 0.68)
"""Distances of beads i and i+2 that a loop may have, nm: angles of 88 to 127 degrees."""

_APART = 0.55
"""Least distance of further beads of a loop, nm."""

Structure = Float[np.ndarray, "beads 3"]


def helix(n: int) -> Structure:
    """Right-handed alpha helix about the z axis, rising, its middle at the origin."""
    i = np.arange(n)
    x = np.stack(
        [
            HELIX_RADIUS * np.cos(HELIX_TURN * i),
            HELIX_RADIUS * np.sin(HELIX_TURN * i),
            HELIX_RISE * i,
        ],
        axis=1,
    )
    x[:, 2] -= x[:, 2].mean()
    return x


def hairpin(strand: int = 4, turn: int = 2) -> Structure:
    """Two antiparallel strands joined by a turn.

    Parameters
    ----------
    strand
        Residues of each strand; the first pairs with the last.
    turn
        Residues between the strands.

    Returns
    -------
    Array
        Positions in nm, centred.
    """
    i = np.arange(strand)
    twist = STRAND_TWIST * i
    pleat = STRAND_PLEAT * (-1.0) ** i
    z = STRAND_RISE * i
    half = 0.5 * STRAND_DISTANCE
    up, down = (
        np.stack(
            [
                sign * half * np.cos(twist) - pleat * np.sin(twist),
                sign * half * np.sin(twist) + pleat * np.cos(twist),
                z,
            ],
            axis=1,
        )
        for sign in (1.0, -1.0)
    )
    return _joined([up, down[::-1]], turn, beyond=STRAND_RISE)


def bundle(helices: int, length: int, loop: int) -> Structure:
    """Antiparallel helices side by side, each joined to the next by a loop.

    Two helices lie beside each other, three on a triangle, four on a square; seen from where the
    first one ends, the chain goes round against the clock.

    Parameters
    ----------
    helices
        How many, from 2 to 4.
    length
        Residues of each helix.
    loop
        Residues between two helices.

    Returns
    -------
    Array
        Positions in nm, centred.
    """
    radius = HELIX_DISTANCE / (2.0 * np.sin(np.pi / helices))
    parts = []
    for k in range(helices):
        around = 2.0 * np.pi * k / helices
        x = helix(length)
        if k % 2:
            x = x * np.array([1.0, -1.0, -1.0])  # half a turn about x keeps the chirality
        # The end that a loop leaves and the one that it reaches both look at the other helix.
        end = x[0] if k else x[-1]
        towards = np.array([np.cos(around), np.sin(around)]) * -1.0
        x = x @ _about_z(np.arctan2(towards[1], towards[0]) - np.arctan2(end[1], end[0])).T
        x[:, :2] += radius * np.array([np.cos(around), np.sin(around)])
        parts.append(x)
    return _joined(parts, loop, beyond=2.0 * HELIX_RISE)


def _about_z(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _joined(parts: Sequence[Float[np.ndarray, "_part 3"]], n: int, beyond: float) -> Structure:
    """Parts with n beads between each two, which bulge `beyond` along the end of the former."""
    pieces, fixed = [parts[0]], [np.ones(len(parts[0]), bool)]
    for part in parts[1:]:
        start, end = pieces[-1][-1], part[0]
        outwards = np.sign(pieces[-1][-1, 2] - pieces[-1][0, 2])
        s = np.linspace(0.0, 1.0, n + 2)[1:-1]
        arc = start + s[:, None] * (end - start)
        arc[:, 2] += outwards * (beyond + 0.1 * n) * np.sin(np.pi * s)
        pieces += [arc, part]
        fixed += [np.zeros(n, bool), np.ones(len(part), bool)]
    x = _even(_relaxed(np.concatenate(pieces), np.concatenate(fixed)))
    return x - x.mean(axis=0)


def _relaxed(x: Structure, fixed: Bool[np.ndarray, " beads"]) -> Structure:
    """Move the beads that are not fixed to the minimum of the function above."""
    from scipy.optimize import minimize

    i, j = np.triu_indices(len(x), 1)
    moves = ~(fixed[i] & fixed[j])
    i, j = i[moves], j[moves]
    apart = j - i
    low = np.where(apart == 1, BOND, np.where(apart == 2, _NEXT_BUT_ONE[0], _APART))
    high = np.where(apart == 1, BOND, np.where(apart == 2, _NEXT_BUT_ONE[1], np.inf))
    weight = np.where(apart == 1, 10.0, 1.0)

    def value(free: np.ndarray) -> tuple[float, np.ndarray]:
        y = x.copy()
        y[~fixed] = free.reshape(-1, 3)
        d = y[i] - y[j]
        r = np.linalg.norm(d, axis=1)
        off = np.minimum(r - low, 0.0) + np.maximum(r - high, 0.0)
        pull = (2.0 * weight * off / r)[:, None] * d
        gradient = np.zeros_like(y)
        np.add.at(gradient, i, pull)
        np.add.at(gradient, j, -pull)
        return float(np.sum(weight * off**2)), gradient[~fixed].ravel()

    found = minimize(value, x[~fixed].ravel(), jac=True, method="L-BFGS-B", tol=1e-14)
    y = x.copy()
    y[~fixed] = found.x.reshape(-1, 3)
    return y


def _even(x: Structure, sweeps: int = 2000) -> Structure:
    """Give every bond its length by moving its two beads alike, bond after bond."""
    x = x.copy()
    for _ in range(sweeps):
        for i in range(len(x) - 1):
            d = x[i + 1] - x[i]
            r = np.linalg.norm(d)
            move = 0.5 * (1.0 - BOND / r) * d
            x[i] += move
            x[i + 1] -= move
        if np.abs(np.linalg.norm(np.diff(x, axis=0), axis=1) - BOND).max() < 1e-9:
            break
    return x
