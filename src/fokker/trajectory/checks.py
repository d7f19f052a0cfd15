"""Checks of the coordinates of a molecule, and repair of molecules broken by a periodic box."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from ..errors import FokkerError
from ..system import Atom

BOND_RANGE = (0.05, 0.6)
"""Median bonded distance of any molecule or coarse-grained chain, nm."""

_JUMP = 3.0
"""A bond this many times its median is not a vibration."""

_SHORTEST_JUMP = 0.3
"""No jump across a box makes a bond shorter than this, nm."""


class Part(NamedTuple):
    """What is read from a file, and how beads are made of it.

    Attributes
    ----------
    atoms
        In ascending order.
    bonds
        Among these atoms.
    chemical
        Whether the bonds are those of atoms, whose lengths are known, not of larger beads.
    members
        Atoms, as numbered here, bead after bead.
    starts
        Where each bead begins in `members`.
    weights
        Of the members; the weights of a bead sum to one.
    expected
        Covalent length of each bond, nm; 0 where none is known.
    names
        What the topology calls these atoms; empty if no length is known.
    """

    atoms: Int[np.ndarray, " atoms"]
    bonds: Int[np.ndarray, "bonds 2"]
    chemical: bool
    members: Int[np.ndarray, " members"]
    starts: Int[np.ndarray, " beads"]
    weights: Float[np.ndarray, " members"]
    expected: Float[np.ndarray, " bonds"]
    names: tuple[Atom, ...] = ()

    def beads(
        self, frames: Float[np.ndarray, "frames atoms dim"]
    ) -> Float32[np.ndarray, "frames beads dim"]:
        """Positions of the beads in frames of the atoms."""
        if len(self.members) == len(self.starts):
            return frames[:, self.members]
        weighted = frames[:, self.members] * self.weights[:, None]
        return np.add.reduceat(weighted, self.starts, axis=1).astype(np.float32)


class BondLengths(NamedTuple):
    """Usual bonded distances of a molecule, nm: of all bonds, and of each one."""

    overall: float
    each: Float[np.ndarray, " bonds"]


def bond_lengths(
    frames: Float[np.ndarray, "frames atoms 3"], bonds: Int[np.ndarray, "bonds 2"]
) -> Float[np.ndarray, "frames bonds"]:
    """Distance of the two atoms of each bond, nm."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.linalg.norm(frames[:, bonds[:, 1]] - frames[:, bonds[:, 0]], axis=-1)


def check_frames(
    path: Path, frames: Float[np.ndarray, "frames atoms dim"], numbers: Int[np.ndarray, " frames"]
) -> None:
    """Raise on the first frame that is not finite, or that has all its atoms at the origin.

    Parameters
    ----------
    numbers
        Number of each frame in its file, for the message.
    """
    finite = np.isfinite(frames).all(axis=(1, 2))
    if not finite.all():
        raise FokkerError(
            f"{path}: frame {numbers[finite.argmin()]} has a position that is NaN or infinite; "
            f"remove such frames or repeat the simulation."
        )
    zero = (frames == 0).all(axis=(1, 2))
    if frames.shape[1] > 1 and zero.any():
        raise FokkerError(
            f"{path}: frame {numbers[zero.argmax()]} has every atom at the origin, the mark of a "
            f"frame that was never written or has failed; remove such frames."
        )


def usual_bond_lengths(lengths: Float[np.ndarray, "frames bonds"]) -> BondLengths:
    """Medians over whole frames; a bond torn in most of them falls back on all bonds."""
    lengths = lengths[np.isfinite(lengths).all(axis=1)]
    if not len(lengths):
        return BondLengths(np.inf, np.full(lengths.shape[1], np.inf))
    overall = float(np.median(lengths))
    return BondLengths(overall, np.minimum(np.median(lengths, axis=0), 2 * overall))


def check_units(path: Path, overall: float) -> None:
    """Raise if bonds have no molecular length in nm."""
    low, high = BOND_RANGE
    if overall > high:
        raise FokkerError(
            f"{path}: the coordinates look like angstrom, not nm (median bonded distance "
            f"{overall:.3g}); divide them by 10."
        )
    if overall < low:
        raise FokkerError(
            f"{path}: the coordinates are too small for nm (median bonded distance {overall:.3g}, "
            f"at least {low} expected); check the units, and that the topology belongs to the file."
        )


def half_box(
    cells: Float[np.ndarray, "frames 3 3"], overall: float
) -> Float[np.ndarray, " frames"]:
    """Half the shortest edge of each frame's box, nm; infinite where the box is a dummy."""
    with np.errstate(over="ignore", invalid="ignore"):
        edge = np.linalg.norm(cells, axis=-1).min(axis=-1)
    real = np.isfinite(cells).all(axis=(1, 2)) & (edge > 2 * overall)
    return np.where(real, 0.5 * edge, np.inf)


def make_whole(
    frames: Float32[np.ndarray, "frames atoms 3"],
    cells: Float[np.ndarray, "frames 3 3"],
    broken: Bool[np.ndarray, " frames"],
    bonds: Int[np.ndarray, "bonds 2"],
) -> Float32[np.ndarray, "frames atoms 3"]:
    """Move atoms by box vectors until bonded atoms of the broken frames are neighbours.

    The box may lie in any direction. A bond is shorter than half the distance of two faces, so the
    nearest whole numbers of its fractional coordinates are those of the image.
    """
    some = np.flatnonzero(broken)
    box = cells[some].astype(np.float64)
    flat = np.abs(np.linalg.det(box)) < np.finfo(np.float32).tiny  # has no inverse, and no images
    some, box = some[~flat], box[~flat]
    inverse = np.linalg.inv(box)
    whole = frames[some].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for i, j in _outward(bonds).tolist():
            step = whole[:, j] - whole[:, i]
            images = np.round(np.einsum("fa,fab->fb", step, inverse))
            whole[:, j] -= np.einsum("fb,fba->fa", images, box)
        repaired = frames.copy()
        repaired[some] = whole
    return repaired


def _outward(bonds: Int[np.ndarray, "bonds 2"]) -> Int[np.ndarray, "tree 2"]:
    """Bonds of a spanning forest, each from an atom that is already placed to a new one."""
    neighbours: dict[int, list[int]] = {}
    for i, j in bonds.tolist():
        neighbours.setdefault(i, []).append(j)
        neighbours.setdefault(j, []).append(i)
    placed: set[int] = set()
    tree = []
    for root in neighbours:
        queue = [] if root in placed else [root]
        placed.add(root)
        for i in queue:  # grows while it is walked
            for j in neighbours[i]:
                if j not in placed:
                    placed.add(j)
                    tree.append((i, j))
                    queue.append(j)
    return np.array(tree, np.int32).reshape(-1, 2)


def check_whole(
    path: Path,
    lengths: Float[np.ndarray, "frames bonds"],
    usual: BondLengths,
    limit: Float[np.ndarray, " frames"],
    numbers: Int[np.ndarray, " frames"],
    pairs: Int[np.ndarray, "bonds 2"],
) -> None:
    """Raise on the first frame in which a bond is torn.

    Parameters
    ----------
    limit
        Longest bond the box of each frame allows, nm.
    pairs
        Atoms of each bond, as numbered in the file, for the message.
    """
    longest = np.maximum(_SHORTEST_JUMP, _JUMP * usual.each)
    torn = lengths > np.minimum(longest, limit[:, None])
    if torn.any():
        frame = int(torn.any(axis=1).argmax())
        bond = int(torn[frame].argmax())
        i, j = pairs[bond]
        raise FokkerError(
            f"{path}: in frame {numbers[frame]} the bonded atoms {i} and {j} (from 0) are "
            f"{lengths[frame, bond]:.3g} nm apart, usually {usual.each[bond]:.3g}, as if the "
            f"molecule jumps across a periodic box; make it whole first (gmx trjconv -pbc whole, "
            f"or make_molecules_whole of mdtraj)."
        )
