"""From atoms to beads: one bead an atom, one a residue, or groups that a file names."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import FokkerError
from ..system import Bead, bead_labels
from .beads_file import BeadsFile, read_beads_file
from .identity import insertion_code
from .library import quiet

_ALPHA_CARBON = "CA"


class Member(NamedTuple):
    """A bead, the atoms whose mass-weighted mean it lies at, and their masses in amu."""

    bead: Bead
    atoms: tuple[int, ...]
    weights: tuple[float, ...]


class Beads(NamedTuple):
    """All beads of a system; bonds only where a file states them."""

    members: list[Member]
    bonds: tuple[tuple[int, int], ...] | None = None


def map_beads(topology: Any, path: Path, *, select: str, mapping: str) -> Beads:
    """Beads of a topology, at least two.

    Parameters
    ----------
    topology
        `mdtraj.Topology`.
    path
        Its file, for messages.
    select
        Atoms that take part, in mdtraj's selection language; a mapping file has its own.
    mapping
        A key of `MAPPINGS`, or the path of a TOML file.

    Raises
    ------
    FokkerError
        On a bad selection, mapping or file, or an atom without a mass.
    """
    if mapping.lower().endswith(".toml"):
        return _from_file(topology, path, Path(mapping).expanduser())
    if mapping not in MAPPINGS:
        raise FokkerError(
            f"mapping: no mapping {mapping!r}; use {', '.join(MAPPINGS)} or the path of a .toml "
            f"file."
        )
    atoms = select_atoms(topology, select)
    members = MAPPINGS[mapping](topology, path, atoms)
    if len(members) < 2:
        found = "no atom" if not members else "a single atom"
        if mapping != "atoms":
            found = f"{len(members)} bead(s) for the mapping {mapping!r}"
        raise FokkerError(
            f"select: {select!r} matches {found} of {path}, at least two are needed; it has the "
            f"residues {_listed(r.name for r in topology.residues)} and the atoms "
            f"{_listed(a.name for a in topology.atoms)}."
        )
    return Beads(members)


def select_atoms(topology: Any, select: str) -> list[int]:
    """Atoms of a selection, in ascending order."""
    try:
        with quiet():
            return sorted(int(i) for i in topology.select(select))
    # the selection is compiled to Python: it fails with nearly any exception
    except Exception as error:
        raise FokkerError(
            f"select: {select!r} does not parse; write it in mdtraj's selection language, for "
            f"example 'backbone' or 'resname ALA and name CA'."
        ) from error


def _each_atom(topology: Any, path: Path, atoms: Sequence[int]) -> list[Member]:
    return [_member(topology, path, (atom,)) for atom in atoms]


def _alpha_carbons(topology: Any, path: Path, atoms: Sequence[int]) -> list[Member]:
    """A bead at each C-alpha with the mass of all atoms of its residue."""
    found = []
    for atom in (topology.atom(i) for i in atoms):
        if atom.name == _ALPHA_CARBON and atom.element is not None and atom.element.symbol == "C":
            mass = sum(_mass(other, path) for other in atom.residue.atoms)
            found.append(_member(topology, path, (atom.index,), mass=mass))
    return found


def _residues(topology: Any, path: Path, atoms: Sequence[int]) -> list[Member]:
    """A bead at the centre of mass of the selected atoms of each residue."""
    groups: dict[int, list[int]] = {}
    for atom in atoms:
        groups.setdefault(topology.atom(atom).residue.index, []).append(atom)
    return [_member(topology, path, tuple(group), name="COM") for group in groups.values()]


MAPPINGS: dict[str, Callable[[Any, Path, Sequence[int]], list[Member]]] = {
    "atoms": _each_atom,
    "alpha-carbons": _alpha_carbons,
    "residues": _residues,
}
"""Ways to make beads of selected atoms."""


def _from_file(topology: Any, path: Path, file: Path) -> Beads:
    """Groups of a mapping file."""
    stated: BeadsFile = read_beads_file(file)
    members: list[Member] = []
    taken: dict[int, str] = {}
    for each in stated.beads:
        atoms = each.atoms
        if isinstance(atoms, str):
            atoms = tuple(select_atoms(topology, atoms))
        beyond = [atom for atom in atoms if not 0 <= atom < topology.n_atoms]
        if not atoms or beyond:
            fault = f"has atom {beyond[0]}" if beyond else "matches no atom"
            raise FokkerError(
                f"{file}: bead {each.name!r} {fault}, {path} has {topology.n_atoms} atoms "
                f"(numbered from 0) in the residues {_listed(r.name for r in topology.residues)}."
            )
        shared = next((atom for atom in atoms if atom in taken), None)
        if shared is not None or len(set(atoms)) < len(atoms):
            other = taken.get(shared, each.name) if shared is not None else each.name
            raise FokkerError(
                f"{file}: an atom of bead {each.name!r} is in bead {other!r} already; give each "
                f"atom to one bead."
            )
        taken |= dict.fromkeys(atoms, each.name)
        members.append(
            _member(topology, path, atoms, name=each.name, residue=each.residue, mass=each.mass)
        )
    labels = bead_labels([member.bead for member in members])
    double = next((label for label in labels if labels.count(label) > 1), None)
    if double is not None:
        raise FokkerError(f"{file}: two beads are called {double}; give them different names.")
    return Beads(members, stated.bonded(file, labels))


def _member(
    topology: Any,
    path: Path,
    atoms: tuple[int, ...],
    *,
    name: str | None = None,
    residue: str | None = None,
    mass: float | None = None,
) -> Member:
    """Bead of a group of atoms; what is not given is that of the first atom, or the sum."""
    found = [topology.atom(i) for i in atoms]
    weights = tuple(_mass(atom, path) for atom in found)
    heaviest = found[weights.index(max(weights))]
    bead = Bead(
        name=name or found[0].name,
        element=heaviest.element.symbol,
        residue=residue or found[0].residue.name,
        residue_index=found[0].residue.resSeq,
        insertion_code=insertion_code(found[0].residue),
        chain=found[0].residue.chain.chain_id or "",
        chain_index=found[0].residue.chain.index,
        mass=mass or sum(weights),
    )
    return Member(bead, atoms, weights)


def _mass(atom: Any, path: Path) -> float:
    if atom.element is None or not atom.element.mass > 0:
        raise FokkerError(
            f"{path}: atom {atom} (number {atom.index} from 0) has no element and so no mass; "
            f"state its element in the topology or leave the atom out of `select`."
        )
    return float(atom.element.mass)


def _listed(names: Iterable[str], most: int = 20) -> str:
    """Distinct names in order of appearance."""
    distinct = list(dict.fromkeys(names))
    return ", ".join(distinct[:most]) + (", ..." if len(distinct) > most else "")
