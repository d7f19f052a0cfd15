"""Beads as the text of a PDB file, and of an mmCIF file where PDB has too few columns."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np
from jaxtyping import Float

from ..system import Bead, System
from ..units import ANGSTROM

_LAST_SERIAL = 99_999
_NUMBERS = range(-999, 10_000)
_NAME, _RESIDUE, _SEGMENT = 4, 4, 4
"""Columns of a PDB file; the fourth of a residue's name is beyond the standard, but usual."""

_LETTERS = ascii_uppercase + ascii_lowercase + digits

_SITE = (
    *("group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id"),
    *("label_asym_id", "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code"),
    *("Cartn_x", "Cartn_y", "Cartn_z", "auth_seq_id", "auth_comp_id", "auth_asym_id"),
    *("auth_atom_id", "pdbx_PDB_model_num"),
)
_PARTNER = ("label_asym_id", "label_comp_id", "label_seq_id", "label_atom_id")


def beyond_pdb(system: System) -> list[str]:
    """What a PDB file has too few columns for, in words; empty if it holds everything."""
    beads = system.beads
    checks = (
        ("bead names over 4 letters", any(len(bead.name) > _NAME for bead in beads)),
        ("residue names over 4 letters", any(len(bead.residue) > _RESIDUE for bead in beads)),
        ("chain names over 4 letters", any(len(bead.chain) > _SEGMENT for bead in beads)),
        ("insertion codes over a letter", any(len(bead.insertion_code) > 1 for bead in beads)),
        ("residue numbers over 9999", any(bead.residue_index not in _NUMBERS for bead in beads)),
        (
            "two beads of one name in a residue",
            len({(bead.place, bead.name) for bead in beads}) < len(beads),
        ),
    )
    return [what for what, applies in checks if applies]


def pdb_text(
    system: System, positions: Float[np.ndarray, "beads 3"], elements: Iterable[str], cif: str
) -> str:
    """PDB file with TER between chains and CONECT for every bond.

    Every residue has different names, cut and numbered if need be, so that readers which drop what
    looks like another location of an atom find all of them.

    Parameters
    ----------
    positions
        nm.
    elements
        Symbol of each bead.
    cif
        Name of the mmCIF file that holds what this one cannot.
    """
    lost = beyond_pdb(system)
    lines = [f"REMARK   1 {', '.join(lost)}: see {cif}"[:80]] if lost else []
    letters, names = _chain_letters(system.beads), _short_names(system.beads)
    before = None
    rows = zip(system.beads, names, positions / ANGSTROM, elements, strict=True)
    for serial, (bead, name, (x, y, z), element) in enumerate(rows, start=1):
        if before is not None and bead.chain_index != before.chain_index:
            lines.append("TER")
        before = bead
        shown = f" {name}" if len(name) < _NAME and len(element) < 2 else name
        number = bead.residue_index
        number = number if number in _NUMBERS else number % 10_000
        segment = bead.chain[:_SEGMENT] if len(bead.chain) > 1 else ""
        lines.append(
            f"ATOM  {serial % 100_000:5d} {shown:<4s} {bead.residue[:_RESIDUE]:>3s}"
            f"{'' if len(bead.residue) >= _RESIDUE else ' '}{letters[bead.chain_index]}"
            f"{number:4d}{bead.insertion_code[:1] or ' '}   {x:8.3f}{y:8.3f}{z:8.3f}"
            f"  1.00  0.00      {segment:<4s}{element[-2:]:>2s}  "
        )
    return "\n".join([*lines, *_connections(system), "END", ""])


def _connections(system: System) -> Iterator[str]:
    for i, neighbours in enumerate(system.neighbours):
        for at in range(0, len(neighbours), 4):
            if max(i, *neighbours) < _LAST_SERIAL:
                numbers = (i, *neighbours[at : at + 4])
                yield "CONECT" + "".join(f"{number + 1:5d}" for number in numbers)


def _chain_letters(beads: Sequence[Bead]) -> dict[int, str]:
    """One letter a chain, its name if that is one."""
    names = {bead.chain_index: bead.chain for bead in beads}
    if set(names.values()) == {""} and len(names) == 1:
        return dict.fromkeys(names, " ")
    free = (letter for letter in _LETTERS if letter not in names.values())
    return {chain: name if len(name) == 1 else next(free, "A") for chain, name in names.items()}


def _short_names(beads: Sequence[Bead]) -> list[str]:
    """Names of at most four letters that differ within each residue."""
    short: list[str] = [""] * len(beads)
    residues: dict[tuple[int, int, str, str], list[int]] = {}
    for i, bead in enumerate(beads):
        residues.setdefault(bead.place, []).append(i)
    for members in residues.values():
        taken: set[str] = set()
        # names that fit stay as they are, whatever comes before them
        for i in sorted(members, key=lambda i: len(beads[i].name) > _NAME):
            name = beads[i].name
            tries = (f"{name[: _NAME - len(str(n))]}{n}" for n in count(1))
            first = name[:_NAME]
            short[i] = first if first not in taken else next(t for t in tries if t not in taken)
            taken.add(short[i])
    return short


def cif_text(
    system: System, positions: Float[np.ndarray, "beads 3"], elements: Iterable[str]
) -> str:
    """The same beads as an mmCIF file, with names of any length.

    Bonds are left out if residues have insertion codes: readers find the partners of a bond by
    number alone. The PDB file has them.
    """
    rows = [
        _site(serial, bead, element, place)
        for serial, (bead, element, place) in enumerate(
            zip(system.beads, elements, positions / ANGSTROM, strict=True), start=1
        )
    ]
    lines = ["data_beads", *_loop("atom_site", _SITE, rows)]
    if system.bonds and not any(bead.insertion_code for bead in system.beads):
        fields = ("id", "conn_type_id", *(f"ptnr{n}_{each}" for n in (1, 2) for each in _PARTNER))
        bonds = [
            [f"covale{n}", "covale", *_partner(system.beads[i]), *_partner(system.beads[j])]
            for n, (i, j) in enumerate(system.bonds, start=1)
        ]
        lines += _loop("struct_conn", fields, bonds)
    return "\n".join([*lines, ""])


def _site(serial: int, bead: Bead, element: str, place: np.ndarray) -> list[str]:
    chain, number = bead.chain or "A", str(bead.residue_index)
    x, y, z = (f"{each:.3f}" for each in place)
    return [
        *("ATOM", str(serial), element, bead.name, ".", bead.residue, chain, "1", number),
        *(bead.insertion_code or "?", x, y, z, number, bead.residue, chain, bead.name, "1"),
    ]


def _partner(bead: Bead) -> list[str]:
    return [bead.chain or "A", bead.residue, str(bead.residue_index), bead.name]


def _loop(category: str, fields: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    heads = [f"_{category}.{field}" for field in fields]
    return ["#", "loop_", *heads, *(" ".join(map(_quoted, row)) for row in rows), "#"]


def _quoted(value: str) -> str:
    """A value as CIF wants it: between quotes if it could be taken for something else."""
    plain = value[0].isalnum() or value[0] in "+-"
    if value in (".", "?") or (plain and not set(value) & set("'\" ")):
        return value
    return f'"{value}"' if '"' not in value else f"'{value}'"
