"""Bonds of a trajectory against the lengths that bonds of their elements have.

Median lengths tell what single frames do not: the unit of the file, another order of the atoms, or
a bond that the molecule does not have.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from .checks import Part, check_units, usual_bond_lengths
from .lengths import PLAUSIBLE

_MOST_FRAMES = 200
"""Frames that medians are taken of."""

_FEWEST = 5
"""Bonds whose common scale is known to a tenth or so."""

_SCALE = (0.8, 1.2)
"""Median over bonds of their length in covalent lengths; 0.9 to 1 in molecules."""

_SPREAD = (0.72, 1.38)
"""Ratio of a bond to that median, if the scale alone is wrong."""

_BOHR = 1 / 0.529177
_UNITS = (
    (10.0, "look like angstrom, not nm", "divide them by 10"),
    (0.1, "are too small for nm, as if nm stood where angstrom are due", "multiply them by 10"),
    (_BOHR, "look like Bohr, not angstrom", "multiply them by 0.529177"),
    (10 * _BOHR, "look like Bohr, not nm", "multiply them by 0.0529177"),
)
_UNIT_RANGE = (0.82, 1.1)
"""The scale of molecules in their own unit, for a unit to be named."""

_SELDOM = 0.1
"""A bond that is right in more frames than this jumps; what is never right is no bond."""


_FEW = 0.1
"""Share of bonds of hydrogens that may be wrong: a topology names them, and no bead needs them."""


def check_scale(path: Path, lengths: Float[np.ndarray, "frames bonds"], part: Part) -> None:
    """Raise if all bonds are too long or too short by one factor.

    Parameters
    ----------
    lengths
        Of the bonds of the part, nm; some may be torn by a box.
    """
    ratios = _ratios(lengths, part)
    if not ratios.size:
        if part.chemical and not part.expected.any():
            check_units(path, usual_bond_lengths(lengths).overall)
        return
    each = np.median(ratios, axis=0)
    scale = float(np.median(each))
    low, high = _SCALE if len(each) >= _FEWEST else PLAUSIBLE
    alike = (each > _SPREAD[0] * scale) & (each < _SPREAD[1] * scale)
    if low < scale < high or alike.mean() < 0.8:
        return
    usual = float(np.median(lengths[:, part.expected > 0]))
    seen = f"median bonded distance {usual:.3g}, {scale:.3g} times what their elements have"
    for factor, fault, remedy in _UNITS:
        if _UNIT_RANGE[0] < scale / factor < _UNIT_RANGE[1]:
            raise FokkerError(f"{path}: the coordinates {fault} ({seen}); {remedy}.")
    raise FokkerError(
        f"{path}: the coordinates are too {'large' if scale > 1 else 'small'} ({seen}); a scale "
        f"factor that was not applied, or another unit? Multiply them by about {1 / scale:.2g}."
    )


def check_lengths(path: Path, lengths: Float[np.ndarray, "frames bonds"], part: Part) -> None:
    """Raise if a bond never has the length of a bond of its elements.

    Bonds that have it now and then are left to `checks.check_whole`.

    Parameters
    ----------
    lengths
        Of the bonds of the part, nm, after a box has been taken out.
    """
    ratios = _ratios(lengths, part)
    if not ratios.size:
        return
    each = np.median(ratios, axis=0)
    right = ((ratios > PLAUSIBLE[0]) & (ratios < PLAUSIBLE[1])).mean(axis=0)
    jumps = (each > PLAUSIBLE[1]) & (right > _SELDOM)
    wrong = ((each < PLAUSIBLE[0]) | (each > PLAUSIBLE[1])) & ~jumps
    judged = np.flatnonzero(part.expected > 0)
    if wrong.mean() < _FEW and _of_hydrogens(part, judged[wrong]):
        return
    if wrong.any():
        raise FokkerError(f"{path}: {_reason(lengths, part, judged[wrong], len(judged))}")


def _of_hydrogens(part: Part, bonds: np.ndarray) -> bool:
    """Whether only hydrogens are bonded wrongly: their names differ between force fields."""
    return all("H" in {part.names[i].element for i in part.bonds[bond]} for bond in bonds)


def _ratios(lengths: np.ndarray, part: Part) -> Float[np.ndarray, "frames bonds"]:
    """Length of each bond that is judged, in covalent lengths, in some frames."""
    step = max(1, len(lengths) // _MOST_FRAMES)
    some = lengths[::step, part.expected > 0]
    some = some[np.isfinite(some).all(axis=1)]
    return some / part.expected[part.expected > 0]


def _reason(lengths: np.ndarray, part: Part, wrong: np.ndarray, n_judged: int) -> str:
    """The sentence that fits the bonds that are wrong, of so many whose length is known."""
    first = wrong[0]
    i, j = sorted(part.bonds[first].tolist())
    a, b = part.names[i], part.names[j]
    places = f"atoms {part.atoms[i]} and {part.atoms[j]} from 0"
    far = float(np.median(lengths[:, first]))
    told = f"{far:.3g} nm apart, a bond of {a.element} and {b.element} has about "
    told += f"{part.expected[first]:.2g}"
    steps = _steps(part, wrong)
    if not np.isin(steps, (0, 1)).any():
        if steps[0] > 1:
            between = f"{a.residue_index + 1} to {b.residue_index - 1}"
            what = "residue " + between.split()[0] if steps[0] == 2 else f"residues {between}"
            verb = "is" if steps[0] == 2 else "are"
            return (
                f"{what} {verb} missing between {a.label} and {b.label} ({places}), which the "
                f"topology bonds: {told}; give the parts different chains in the topology, or "
                f"model what is missing."
            )
        return (
            f"the topology joins residue {a.residue_index} and the next residue "
            f"{b.residue_index} by a bond of {a.label} and {b.label} ({places}): {told}; if they "
            f"are two molecules, give them different chains in the topology."
        )
    if len(wrong) == 1:
        return (
            f"in frame 0 the bonded atoms {part.atoms[i]} and {part.atoms[j]} (from 0; {a.label} "
            f"and {b.label}) are {told}, as in nearly all frames: the topology joins two "
            f"molecules, its atoms are in another order, or a periodic box has cut the molecule "
            f"(gmx trjconv -pbc whole)."
        )
    return (
        f"{len(wrong)} of {n_judged} bonds do not have the length of their elements ({a.label} "
        f"{b.label}, {places}: {told}): the atoms of the trajectory are in another order than "
        f"those of the topology, or it belongs to another molecule; give the topology that "
        f"the trajectory was written with."
    )


def _steps(part: Part, bonds: np.ndarray) -> np.ndarray:
    """Residue numbers from the first to the second atom of each bond."""
    pairs = np.sort(part.bonds[bonds], axis=1)
    numbers = np.array([name.residue_index for name in part.names])
    return numbers[pairs[:, 1]] - numbers[pairs[:, 0]]
