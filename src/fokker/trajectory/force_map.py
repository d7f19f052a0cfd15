r"""From forces on atoms to forces on beads, `F = B f`, whose mean at fixed beads is the mean force.

Beads lie at `x = M r`. For a constant B with

    B M^T = 1

the mean of `B f` over all atoms at fixed beads is `kT grad log p(x)`, minus the gradient of the
potential of mean force (Noid et al., J. Chem. Phys. 128, 244114, 2008; Ciccotti et al.,
ChemPhysChem 6, 1809, 2005, with a divergence that vanishes as B is constant). Where bonds are held
rigid, forces lack those of the constraints; these drop out if the two atoms of such a bond have the
same coefficient.

All such B are right on average, and differ in their noise. The optimal one has the least mean
square (Krämer et al., arXiv 2302.07071): with C the second moment of the forces,

    B = B_0 - B_0 C K^T (K C K^T)^-1 K,      the rows of K spanning the null space of M.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from ..errors import FokkerError

ForceMap = Literal["optimal", "atoms"]

RIGID = 1e-3
"""A bond whose length varies by less than this part of its mean is held rigid."""

_SAMPLES_A_COEFFICIENT = 10
_RIDGE = 1e-6
_CHUNK = 4096


def rigid_groups(
    positions: Float[np.ndarray, "frames atoms 3"], bonds: Int[np.ndarray, "bonds 2"]
) -> Int[np.ndarray, " atoms"]:
    """Number of the group of each atom; atoms joined by rigid bonds share one."""
    first, second = positions[:, bonds[:, 0]], positions[:, bonds[:, 1]]
    lengths = np.linalg.norm(first.astype(np.float64) - second, axis=-1)
    rigid = lengths.std(axis=0) < RIGID * lengths.mean(axis=0)
    group = np.arange(positions.shape[1])
    for i, j in bonds[rigid] if len(positions) > 1 else []:
        group[group == group[j]] = group[i]
    return np.unique(group, return_inverse=True)[1].reshape(-1)


def force_map(
    kind: ForceMap,
    position_map: Float[np.ndarray, "beads atoms"],
    forces: Float[np.ndarray, "frames atoms 3"],
    groups: Int[np.ndarray, " atoms"],
) -> Float[np.ndarray, "beads atoms"]:
    """Coefficients B of the bead forces.

    Parameters
    ----------
    kind
        `atoms`: the sum of the forces on the atoms of each bead; `optimal`: the least noise.
    position_map
        M; rows sum to one.
    forces
        On the atoms, in any unit; only `optimal` looks at them.
    groups
        Of `rigid_groups`: atoms of one group have the same coefficient.

    Raises
    ------
    FokkerError
        If rigid bonds tie two beads together, or there are too few frames for `optimal`.
    """
    collect = np.equal.outer(np.arange(groups.max() + 1), groups).astype(float)
    grouped = position_map @ collect.T
    basic = (grouped > 0).astype(float)
    if not np.allclose(basic @ grouped.T, np.eye(len(grouped))):
        if np.linalg.matrix_rank(grouped) < len(grouped):
            raise FokkerError(
                "forces: bonds of a fixed length tie two beads together, so that no force on one "
                "alone is known; choose beads that can move apart, or constrain bonds to "
                "hydrogen only."
            )
        basic = np.linalg.solve(grouped @ grouped.T, grouped)
    if kind == "atoms":
        return basic @ collect
    from scipy.linalg import null_space  # which every command would wait for otherwise

    free = null_space(grouped).T
    if not len(free):
        return basic @ collect
    if 3 * len(forces) < _SAMPLES_A_COEFFICIENT * len(free):
        raise FokkerError(
            f"forces: {len(forces)} frame(s) are too few to choose {len(free)} coefficients of the "
            'optimal force map; give more, or use force_map = "atoms".'
        )
    second = np.zeros((grouped.shape[1],) * 2)
    for start in range(0, len(forces), _CHUNK):
        part = forces[start : start + _CHUNK].astype(np.float64)
        part = np.einsum("ga,nad->ngd", collect, part)
        second += np.einsum("ngd,nhd->gh", part, part) / (3 * len(forces))
    inner = free @ second @ free.T
    inner += _RIDGE * np.trace(inner) / len(inner) * np.eye(len(inner))
    return (basic - np.linalg.solve(inner, free @ second @ basic.T).T @ free) @ collect


def internal_part(
    forces: Float[np.ndarray, "frames beads 3"], positions: Float[np.ndarray, "frames beads 3"]
) -> Float[np.ndarray, "frames beads 3"]:
    """Forces without their net force and torque.

    The mean force of a free molecule has neither, so this takes away noise alone.
    """
    x = (positions - positions.mean(axis=1, keepdims=True)).astype(np.float64)
    f = forces - forces.mean(axis=1, keepdims=True, dtype=np.float64)
    torque = np.cross(x, f).sum(axis=1)
    square = np.einsum("nbd,nbd->n", x, x)
    inertia = square[:, None, None] * np.eye(3) - np.einsum("nbc,nbd->ncd", x, x)
    turn = np.einsum("ncd,nd->nc", np.linalg.pinv(inertia, hermitian=True), torque)
    return f - np.cross(turn[:, None], x)


def virial_ratio(
    forces: Float[np.ndarray, "frames beads 3"],
    positions: Float[np.ndarray, "frames beads 3"],
    pairs: Int[np.ndarray, "pairs 2"],
    kT: float,
) -> tuple[float, float]:
    """Virial of the distances of some pairs over that of equilibrium, and its standard error.

    By partial integration, `E[<F, v>] = -kT E[div v]` for any field v. With `v = (d - mean d)
    grad d` of a stiff distance d the left side hardly fluctuates. It is not one at another
    temperature, in other units or with the opposite sign.
    """
    i, j = pairs.T
    difference = positions[:, i].astype(np.float64) - positions[:, j]
    d = np.linalg.norm(difference, axis=-1)
    swing = d - d.mean(axis=0)
    along = np.einsum("npx,npx->np", forces[:, i] - forces[:, j], difference / d[..., None])
    virial = -(swing * along).mean(axis=1)
    expected = kT * float(np.mean(2.0 + 4.0 * swing / d))
    return float(virial.mean() / expected), float(virial.std() / np.sqrt(len(d)) / expected)
