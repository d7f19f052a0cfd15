"""Element symbols or names that a trajectory states, compared with those of the topology."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import FokkerError
from ..system import Atom, System

_NUMBERS = {
    **{"1": "H", "5": "B", "6": "C", "7": "N", "8": "O", "9": "F", "14": "Si", "15": "P"},
    **{"16": "S", "17": "Cl", "34": "Se", "35": "Br", "53": "I"},
}
"""Atomic numbers; others are taken for types of a force field."""


def check_symbols(path: Path, stated: Sequence[str], system: System) -> None:
    """Raise on the first atom that a trajectory calls other than its topology.

    A column of labels that are neither elements nor names of the topology is left alone, and so is
    one that calls all atoms alike.

    Parameters
    ----------
    stated
        What the file calls its atoms: element symbols, atomic numbers or names.
    """
    atoms = _atoms(system, len(stated))
    if len(set(stated)) < 2 or not atoms:
        return
    words = {index: stated[index] for index in atoms}
    symbols = {index: _symbol(word) for index, word in words.items()}
    names = {atom.name for atom in atoms.values()}
    if "6" not in words.values() and any(word in _NUMBERS for word in words.values()):
        return
    if any(symbols[i] is None and word not in names for i, word in words.items()):
        return
    wrong = [
        index
        for index, atom in atoms.items()
        if words[index] != atom.name and symbols[index] != atom.element
    ]
    if wrong:
        first = wrong[0]
        raise FokkerError(
            f"{path}: atom {first} (from 0) is {stated[first]!r}, but {atoms[first].label} in the "
            f"topology ({len(wrong)} of {len(atoms)} atoms differ; the file begins with "
            f"{' '.join(stated[:6])}, the topology with "
            f"{' '.join(atom.name for atom in list(atoms.values())[:6])}): the atoms are in "
            f"another order; give the topology that the trajectory was written with."
        )


def _atoms(system: System, n_atoms: int) -> dict[int, Atom]:
    """Atoms of the topology by their numbers in a file of so many; none if the file has beads."""
    mapping = system.mapping
    if mapping is None or not mapping.atoms:
        return {}
    used = sorted({*mapping.indices, *(i for bond in mapping.bonds for i in bond)})
    known = dict(zip(used, mapping.atoms, strict=True))
    if n_atoms == mapping.n_atoms:
        return known
    if n_atoms == system.n_beads and not mapping.sizes:
        return {bead: known[atom] for bead, atom in enumerate(mapping.indices)}
    return {}


def _symbol(word: str) -> str | None:
    """Element of a word; None if it is that of none."""
    from mdtraj.core.element import get_by_symbol

    try:
        return "H" if word == "D" else str(get_by_symbol(_NUMBERS.get(word, word)).symbol)
    except KeyError:
        return None
