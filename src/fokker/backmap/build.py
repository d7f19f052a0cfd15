"""Atoms of given beads: the best fragments of the library, superposed and joined."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..system import System
from .library import Fragment, Library
from .quality import Yardstick

_CANDIDATES = 16
"""Frames of the library that each fragment may be taken from."""

_FRAMES_AT_ONCE = 64

_SWEEPS = 3
"""Times that each fragment is chosen again beside those of the others."""

_TOLERANCE = 0.02
"""Deviation of a bead, a joint or a contact that costs one unit, nm."""


class Builder:
    """Puts atoms to beads.

    Each residue is taken from a frame of the library whose beads in it and in its neighbours can be
    superposed on the given ones. Among the best such frames those are chosen whose bonds to the
    other residues have the right length and that do not clash, one residue after another, a few
    times over. Last, the atoms of each bead are moved to where the bead is.

    Parameters
    ----------
    library
        Frames of all atoms.
    yardstick
        What bonds and contacts should be.
    """

    def __init__(self, library: Library, yardstick: Yardstick):
        self._library = library
        self._joints = [
            _Surroundings.of(fragment, library.atoms.system, yardstick)
            for fragment in library.fragments
        ]

    def __call__(
        self, beads: Float[np.ndarray, "frames beads 3"]
    ) -> Float[np.ndarray, "frames atoms 3"]:
        """Atoms of finite beads, nm."""
        blocks = range(0, len(beads), _FRAMES_AT_ONCE)
        built = [self._build(beads[start : start + _FRAMES_AT_ONCE]) for start in blocks]
        return np.concatenate([np.empty((0, self._library.frames.shape[1], 3)), *built])

    def _build(self, beads: np.ndarray) -> np.ndarray:
        beads = beads.astype(np.float64)
        found = [self._candidates(number, beads) for number in range(len(self._joints))]
        atoms = np.empty((len(beads), self._library.frames.shape[1], 3))
        frames = np.arange(len(beads))
        for fragment, (placed, misfit) in zip(self._library.fragments, found, strict=True):
            atoms[:, fragment.atoms] = placed[frames, misfit.argmin(axis=1)]
        for _ in range(_SWEEPS):
            for number, (placed, misfit) in enumerate(found):
                cost = misfit + self._joints[number].cost(placed, atoms)
                fragment = self._library.fragments[number]
                atoms[:, fragment.atoms] = placed[frames, cost.argmin(axis=1)]
        return self._library.atoms.anchored(atoms, beads)

    def _candidates(self, number: int, beads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Atoms (frames, candidates, atoms, 3) and misfits (frames, candidates) of a fragment."""
        library, fragment = self._library, self._library.fragments[number]
        rows = library.nearest(number, beads, _CANDIDATES)
        placed, squares = superposed(
            library.frames[rows[..., None], fragment.atoms].astype(np.float64),
            library.beads[rows[..., None], fragment.beads].astype(np.float64),
            beads[:, None, fragment.beads],
            fragment.weights,
        )
        return placed, squares / _TOLERANCE**2


class _Surroundings:
    """Bonds and contacts of a fragment with the other atoms."""

    def __init__(self, inner: np.ndarray, outer: np.ndarray, lengths: np.ndarray, near: np.ndarray):
        self._inner, self._outer, self._lengths, self._near = inner, outer, lengths, near

    @staticmethod
    def of(fragment: Fragment, system: System, yardstick: Yardstick) -> _Surroundings:
        inside = np.isin(np.arange(system.n_beads), fragment.atoms)
        bonds = np.array(system.bonds, int).reshape(-1, 2)
        crossing = inside[bonds].sum(axis=1) == 1
        ends = np.where(inside[bonds[:, :1]], bonds, bonds[:, ::-1])[crossing]
        near = yardstick.contacts[fragment.atoms].copy()
        near[:, inside] = 0.0
        inner = np.searchsorted(fragment.atoms, ends[:, 0])
        return _Surroundings(inner, ends[:, 1], yardstick.lengths[crossing], near)

    def cost(
        self,
        placed: Float[np.ndarray, "frames candidates fragment 3"],
        atoms: Float[np.ndarray, "frames atoms 3"],
    ) -> Float[np.ndarray, "frames candidates"]:
        """Squared deviations of joints and contacts, in units of the tolerance."""
        step = placed[:, :, self._inner] - atoms[:, None, self._outer]
        cost = np.sum((np.linalg.norm(step, axis=-1) - self._lengths) ** 2, axis=-1)
        for atom, limits in enumerate(self._near):
            other = np.flatnonzero(limits)
            apart = np.linalg.norm(placed[:, :, atom, None] - atoms[:, None, other], axis=-1)
            cost += np.sum(np.maximum(limits[other] - apart, 0.0) ** 2, axis=-1)
        return cost / _TOLERANCE**2


def superposed(
    moved: Float[np.ndarray, "*batch atoms 3"],
    beads: Float[np.ndarray, "*batch beads 3"],
    onto: Float[np.ndarray, "*#batch beads 3"],
    weights: Float[np.ndarray, " beads"],
) -> tuple[Float[np.ndarray, "*batch atoms 3"], Float[np.ndarray, "*batch"]]:
    """Move atoms with their beads so that these lie on given ones.

    Proper rotations only, so a mirror image stays one (W. Kabsch, Acta Cryst. A 32, 922, 1976).

    Parameters
    ----------
    moved, beads, onto
        Positions, nm.
    weights
        Of the beads.

    Returns
    -------
    tuple
        The atoms, and the weighted mean square distance of the beads that remains, nm^2.
    """
    share = (weights / weights.sum())[:, None]
    start, end = (np.sum(share * x, axis=-2, keepdims=True) for x in (beads, onto))
    from_, to = beads - start, onto - end
    left, _, right = np.linalg.svd(np.swapaxes(share * from_, -1, -2) @ to)
    left[..., :, 2] *= np.sign(np.linalg.det(left @ right))[..., None]
    turn = left @ right
    squares = np.sum(share * (from_ @ turn - to) ** 2, axis=(-1, -2))
    return (moved - start) @ turn + end, np.asarray(squares)
