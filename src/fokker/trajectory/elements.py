"""The element of every atom of a topology: one decision, whatever the file says or leaves out.

A mass tells no element: masses are often moved from heavy atoms to hydrogens. Two letters do not
either: CA is a carbon in an amino acid and calcium alone in the residue CA.
"""

import gzip
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from .residues import Template, template_of

_IONS = {
    **{"LI": "Li", "LIT": "Li", "NA": "Na", "SOD": "Na", "K": "K", "POT": "K", "RB": "Rb"},
    **{"RUB": "Rb", "CS": "Cs", "CES": "Cs", "MG": "Mg", "CA": "Ca", "CAL": "Ca", "SR": "Sr"},
    **{"BA": "Ba", "BAR": "Ba", "ZN": "Zn", "CD": "Cd", "CAD": "Cd", "HG": "Hg", "MN": "Mn"},
    **{"FE": "Fe", "CO": "Co", "NI": "Ni", "CU": "Cu", "AG": "Ag", "PB": "Pb", "AL": "Al"},
    **{"F": "F", "CL": "Cl", "CLA": "Cl", "BR": "Br", "I": "I", "IOD": "I"},
}
"""Residues of one ion, and the names of its atom, without charge."""

_ALSO_CARBON = {"CA", "CD", "CO", "CS", "HG"}
"""Names of ions that are also those of a single bead or atom of another element."""

_TWO_LETTERS = {
    *("CL", "BR", "SE", "SI", "FE", "ZN", "MG", "MN", "LI", "AL", "AS", "AG", "AU", "PT", "RU"),
    *("RH", "TI", "CU"),
}
"""Elements that no common name of an atom of H, C, N, O, S or P begins with."""

_ONE_LETTER = {"H", "D", "C", "N", "O", "S", "P", "F", "I"}

_NEVER = {"He", "Ne", "Ar", "Kr", "Xe", "Rn"}
"""Elements that are bonded to nothing."""

_LAST = 98
"""Beyond californium, no element has been seen in a molecule."""


class Decision(NamedTuple):
    """An element that was not simply read; `told` is what the file or its reader said instead."""

    atom: int
    label: str
    symbol: str
    told: str | None


def decide_elements(topology: Any, path: Path, suffix: str) -> list[Decision]:
    """Set the element of every atom, in place.

    The name decides in residues that are known, the file where it states a possible element, and
    else the name again. An atom that none of them decides has no element.

    Parameters
    ----------
    topology
        `mdtraj.Topology`.
    path, suffix
        Its file, which is looked into for what it states.

    Returns
    -------
    list
        What was guessed from a name, or taken against the file.
    """
    import mdtraj

    stated = _stated(path, suffix)
    weighed = suffix == ".psf"
    found = []
    for residue in topology.residues:
        template = template_of(residue.name)
        for atom in residue.atoms:
            said = _symbol(atom)
            sure = said if said and stated(atom) else None
            named = _by_template(atom.name, template)
            symbol = named or _said(sure, atom) or _guess(atom, said if weighed else None)
            if symbol != said:
                atom.element = (
                    mdtraj.element.get_by_symbol(symbol) if symbol else mdtraj.element.virtual
                )
            if symbol and (sure not in (symbol, None) or (sure is None and named is None)):
                label = f"{residue.name}{residue.resSeq}-{atom.name}"
                found.append(Decision(atom.index, label, symbol, sure))
    return found


def describe(decisions: Iterable[Decision]) -> list[str]:
    """One sentence for what was guessed, and one for what was taken against the file."""
    decisions = list(decisions)
    guessed = [d for d in decisions if d.told is None]
    against = [d for d in decisions if d.told is not None]
    found = []
    if guessed:
        found.append(
            f"the topology states no element of {len(guessed)} atom(s); guessed from the names: "
            f"{_examples(f'{d.label} is {d.symbol}' for d in guessed)}."
        )
    if against:
        found.append(
            f"the element that the topology states for {len(against)} atom(s) cannot be, the name "
            f"was taken: {_examples(f'{d.label} is {d.symbol}, not {d.told}' for d in against)}."
        )
    return found


def _examples(texts: Iterable[str], most: int = 6) -> str:
    found = list(texts)
    return ", ".join(found[:most]) + (", ..." if len(found) > most else "")


def _symbol(atom: Any) -> str | None:
    """Element that the reader took; None for a virtual site."""
    if atom.element is None or not atom.element.mass > 0:
        return None
    return str(atom.element.symbol)


def _by_template(name: str, template: Template | None) -> str | None:
    """Element of a standard name in a known residue."""
    if template is None or not template.has(name):
        return None
    letters = name.lstrip("0123456789").upper()
    return "H" if letters[0] == "D" else letters[0]


def _said(symbol: str | None, atom: Any) -> str | None:
    """Element that the file states, unless it cannot be."""
    if symbol is None:
        return None
    alone = atom.residue.n_atoms == 1
    names = {other.name for other in atom.residue.atoms}
    misread = symbol == "Ca" and {"N", "CA", "C"} <= names
    if misread or atom.element.number > _LAST or (symbol in _NEVER and not alone):
        return None
    return symbol


def _guess(atom: Any, weighed: str | None) -> str | None:
    """Element by the name alone; `weighed` is the one that its mass would have."""
    residue, name = atom.residue, atom.name
    ion = _ion(residue.name)
    bare = re.sub(r"[^A-Za-z]", "", name)
    if residue.n_atoms == 1 and (ion or bare.upper() not in _ALSO_CARBON):
        ion = ion or _ion(name)
        if ion:
            return ion
    if not bare:
        return None
    mixed = re.match(r"[A-Z][a-z]", bare)
    if mixed and mixed.group() in {*_IONS.values(), *(s.capitalize() for s in _TWO_LETTERS)}:
        return mixed.group()
    upper = bare.upper()
    if upper[:2] in _TWO_LETTERS:
        two = upper[:2].capitalize()
        # CL may be a carbon called L; mass moved to hydrogens makes chlorine no carbon
        return upper[0] if weighed == upper[0] else two
    if upper[0] in _ONE_LETTER:
        return "H" if upper[0] == "D" else upper[0]
    return "B" if upper == "B" else None


def _ion(name: str) -> str | None:
    return _IONS.get(re.sub(r"[^A-Z]", "", name.upper()))


def _stated(path: Path, suffix: str) -> Callable[[Any], bool]:
    """Whether the file itself states the element of an atom."""
    if suffix in (".gro", ".psf"):
        return lambda _: False
    if suffix in (".prmtop", ".parm7", ".prm7"):
        held = b"%FLAG ATOMIC_NUMBER" in path.read_bytes()
        return lambda _: held
    if suffix in (".pdb", ".pdb.gz"):
        blank = _without_element(path, zipped=suffix.endswith(".gz"))
        return lambda atom: (atom.residue.resSeq, atom.name) not in blank
    return lambda _: True


def _without_element(path: Path, *, zipped: bool) -> set[tuple[int, str]]:
    """Residue number and name of the atoms of a PDB file whose columns 77 and 78 are blank."""
    opened = gzip.open if zipped else open
    blank = set()
    with opened(path, "rt", errors="replace") as file:
        for line in file:
            if line.startswith("ENDMDL"):
                break
            if line[:6] in ("ATOM  ", "HETATM") and not line[76:78].strip():
                number = line[22:26].strip()
                blank.add((int(number) if number.isdecimal() else 0, line[12:16].strip()))
    return blank
