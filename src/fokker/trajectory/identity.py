"""Which atoms are one residue and which residues are one chain, whatever the file says of it.

Formats tell chains apart by letters, by segments, by the record TER, or not at all. After
`with_identities` all are alike: a chain begins wherever residue numbers start again, and chain,
number and insertion code together are those of one residue only.
"""

import gzip
import re
from collections.abc import Iterator, Sequence
from itertools import chain, count, product
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import mdtraj

_AMBER = (".prmtop", ".parm7", ".prm7")
_UNNUMBERED = (*_AMBER, ".hoomdxml", ".gsd")
"""Formats without residue numbers, or with an optional table of them; they count from 1."""

_STATED = (*_UNNUMBERED, ".psf", ".mol2", ".arc", ".h5")
"""Formats that state all bonds; for the others the reader makes them from names."""

_JOINTS = (("C", "N"), ("O3'", "P"))
"""Atoms that bond a residue to the next one in a peptide and in a nucleic acid."""

_LETTERS = ascii_uppercase + ascii_lowercase + digits


class _Residue(NamedTuple):
    """Atoms that belong together, and what the file calls them; `part` counts its chains."""

    name: str
    number: int
    code: str
    chain: str
    segment: str
    part: int
    atoms: tuple[Any, ...]

    @property
    def place(self) -> tuple[int, str]:
        """What is unique in a chain."""
        return self.number, self.code

    @property
    def names(self) -> list[str]:
        """Names of the atoms."""
        return [atom.name for atom in self.atoms]


def insertion_code(residue: Any) -> str:
    """Insertion code of an `mdtraj` residue, for which that library has no place."""
    return getattr(residue, "insertion_code", "")


def with_identities(topology: Any, path: Path, suffix: str) -> "mdtraj.Topology":
    """Topology of the same atoms whose chains and residues are told apart.

    Numbers start again where a residue has the number and insertion code of an earlier one of its
    chain, or a number below all of them. A peptide bond that the reader made there, from the names
    of two residues that follow each other, goes. Where a format states its bonds they decide:
    bonded residues are one chain, and a peptide that ends without a bond ends its chain. Equal
    molecules in one residue become one residue each; a residue in two places of the file, its
    hydrogens at the end for example, becomes one.

    Parameters
    ----------
    topology
        `mdtraj.Topology` as the file gives it.
    path, suffix
        The file, for what `mdtraj` drops, and its format.

    Returns
    -------
    mdtraj.Topology
        `chain_id` of every chain is its name, or empty if a single chain has none. Every residue
        has the attribute `insertion_code`.
    """
    stated = suffix in _STATED
    bonds = [(a.index, b.index) for a, b in topology.bonds]
    given = list(_as_in_file(topology, path, suffix))
    residues = _gathered([piece for residue in given for piece in _copies(residue, bonds)])
    owner = {atom.index: at for at, residue in enumerate(residues) for atom in residue.atoms}
    joined = {(owner[i], owner[j]) for i, j in chain(bonds, (b[::-1] for b in bonds))}
    starts = _chain_starts(residues, joined if stated and bonds else None)
    made = _with_residues(residues, starts, _chain_names(residues, starts))
    if not stated and len(residues) != len(given):
        made.create_standard_bonds()
    known = {frozenset((a.index, b.index)) for a, b in made.bonds}
    for bond in topology.bonds:
        i, j = sorted((bond[0], bond[1]), key=lambda atom: atom.index)
        before, after = sorted((owner[i.index], owner[j.index]))
        apart = after == before + 1 and starts[after]
        if apart and residues[before].part == residues[after].part and _is_joint(i, j):
            continue
        if frozenset((i.index, j.index)) not in known:
            made.add_bond(made.atom(i.index), made.atom(j.index), bond.type, bond.order)
    return made


def _as_in_file(topology: Any, path: Path, suffix: str) -> Iterator[_Residue]:
    """Residues as the file names them, with what `mdtraj` leaves out."""
    numbers, codes, chains = [], [], []
    if suffix in _AMBER:
        numbers = [int(each) for each in _amber_table(path, "RESIDUE_NUMBER")]
        codes, chains = _amber_table(path, "RESIDUE_ICODE"), _amber_table(path, "RESIDUE_CHAINID")
    elif suffix in (".pdb", ".pdb.gz"):
        codes = _pdb_codes(path)
    # of mmCIF the library keeps insertion codes, under the name of segments
    is_cif = suffix.startswith((".cif", ".mmcif", ".pdbx"))
    for index, residue in enumerate(topology.residues):
        segment = residue.segment_id or ""
        code = segment if is_cif else codes[index] if index < len(codes) else ""
        number = index + 1 if suffix in _UNNUMBERED else residue.resSeq
        letter = chains[index] if index < len(chains) else residue.chain.chain_id or ""
        yield _Residue(
            residue.name,
            numbers[index] if index < len(numbers) else number,
            code.strip(),
            letter.strip(),
            "" if is_cif else segment,
            residue.chain.index,
            tuple(residue.atoms),
        )


def _pdb_codes(path: Path) -> list[str]:
    """Insertion code of each residue of the first model; empty if the file has none."""
    from mdtraj.formats.pdb.pdbstructure import PdbStructure

    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", errors="replace") as file:
        if not any(line.startswith(("ATOM", "HETATM")) and line[26:27].strip() for line in file):
            return []
        file.seek(0)
        structure: Any = PdbStructure(file, load_all_models=False)
    return [residue.insertion_code for residue in structure.iter_residues()]


def _amber_table(path: Path, flag: str) -> list[str]:
    """Entries of a section of an Amber topology; empty if it has none."""
    found = re.search(
        rf"^%FLAG {flag}\s*\n(?:%COMMENT.*\n)*%FORMAT\(\d+[aI](\d+)\)\s*\n((?:[^%].*\n?)*)",
        path.read_text(errors="replace"),
        re.MULTILINE | re.IGNORECASE,
    )
    if found is None:
        return []
    width = int(found[1])
    lines = found[2].splitlines()
    return [line[at : at + width].strip() for line in lines for at in range(0, len(line), width)]


def _copies(residue: _Residue, bonds: Sequence[tuple[int, int]]) -> Iterator[_Residue]:
    """The residue, or each of the equal molecules that the reader took for one residue."""
    names = residue.names
    size = names.index(names[0], 1) if names.count(names[0]) > 1 else len(names)
    block = names[:size]
    repeats = 1 < size < len(names) and names == block * (len(names) // size)
    if not repeats or len(set(block)) < size or _bonded_across(residue, size, bonds):
        yield residue
        return
    for at in range(0, len(names), size):
        yield residue._replace(atoms=residue.atoms[at : at + size])


def _bonded_across(residue: _Residue, size: int, bonds: Sequence[tuple[int, int]]) -> bool:
    """Whether a bond joins two blocks of `size` atoms, which then are one molecule."""
    block = {atom.index: number // size for number, atom in enumerate(residue.atoms)}
    return any(i in block and j in block and block[i] != block[j] for i, j in bonds)


def _gathered(pieces: Sequence[_Residue]) -> list[_Residue]:
    """Residues, of which some may be in the file in several pieces, each with other atoms."""
    found: list[_Residue] = []
    latest: dict[tuple[int, str, int, str], int] = {}
    for piece in pieces:
        key = (piece.part, piece.name, *piece.place)
        at = latest.get(key)
        if at is None or set(found[at].names) & set(piece.names):
            latest[key] = len(found)
            found.append(piece)
        else:
            found[at] = found[at]._replace(atoms=found[at].atoms + piece.atoms)
    return found


def _chain_starts(residues: Sequence[_Residue], joined: set[tuple[int, int]] | None) -> list[bool]:
    """Whether each residue begins a chain.

    Parameters
    ----------
    joined
        Pairs of residues that a bond joins, if the format states its bonds.
    """
    starts: list[bool] = []
    used: set[tuple[int, str]] = set()
    for at, residue in enumerate(residues):
        before = residues[at - 1] if at else None
        begins = before is None or before.part != residue.part
        if before is not None and not begins:
            begins = _starts_again(before, residue, used)
            if joined is not None:
                bonded = (at - 1, at) in joined
                begins = not bonded and (begins or _are_peptide(before, residue))
        if begins:
            used = set()
        used.add(residue.place)
        starts.append(begins)
    return starts


def _starts_again(before: _Residue, residue: _Residue, used: set[tuple[int, str]]) -> bool:
    """Whether the numbers, or without letters the segments, tell of a new chain."""
    if not residue.chain and before.segment != residue.segment:
        return True
    if residue.place in used:
        return residue.place != before.place or residue.name == before.name
    # one less than the residue before it: numbers that count down
    return residue.number < min(number for number, _ in used) and residue.number < before.number - 1


def _are_peptide(before: _Residue, residue: _Residue) -> bool:
    return {"CA", "C"} <= set(before.names) and {"N", "CA"} <= set(residue.names)


def _is_joint(first: Any, second: Any) -> bool:
    return (first.name, second.name) in _JOINTS


def _chain_names(residues: Sequence[_Residue], starts: Sequence[bool]) -> list[str]:
    """Name of each chain: that of the file unless a residue would then have that of another."""
    firsts = [at for at, begins in enumerate(starts) if begins]
    chains = [residues[i:j] for i, j in zip(firsts, [*firsts[1:], len(residues)], strict=True)]
    wanted = [chain[0].chain or chain[0].segment for chain in chains]
    if len(chains) == 1:
        return wanted
    letters = ("".join(each) for n in count(1) for each in product(_LETTERS, repeat=n))
    free = (name for name in letters if name not in wanted)
    places: dict[str, set[tuple[int, str]]] = {}
    names = []
    for members, name in zip(chains, wanted, strict=True):
        own = {residue.place for residue in members}
        if not name or own & places.get(name, set()):
            name = next(free)
        places.setdefault(name, set()).update(own)
        names.append(name)
    return names


def _with_residues(
    residues: Sequence[_Residue], starts: Sequence[bool], names: Sequence[str]
) -> "mdtraj.Topology":
    """Topology without bonds, its atoms in the order of the file."""
    import mdtraj

    made = mdtraj.Topology()
    given = iter(names)
    place: dict[int, Any] = {}
    current = None
    for residue, begins in zip(residues, starts, strict=True):
        if begins or current is None:
            current = made.add_chain(next(given))
        new: Any = made.add_residue(residue.name, current, residue.number, residue.segment)
        new.insertion_code = residue.code
        place |= {atom.index: (atom, new) for atom in residue.atoms}
    for index in sorted(place):
        atom, owner = place[index]
        made.add_atom(atom.name, atom.element, owner, atom.serial, atom.formal_charge)
    return made
