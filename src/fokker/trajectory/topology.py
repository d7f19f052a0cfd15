"""From a topology file to a System, and back to topologies that other programs read."""

import os
import tempfile
from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from ..system import Bead, Mapping, System
from ..units import ANGSTROM, thermal_energy
from .checks import Part
from .library import ascii_path, calling_mdtraj, check_file, file_suffix, quiet
from .variables import collective_variables

if TYPE_CHECKING:
    import mdtraj

TOPOLOGIES = (
    *(".pdb", ".pdb.gz", ".cif", ".cif.gz", ".mmcif", ".mmcif.gz", ".pdbx", ".pdbx.gz"),
    *(".gro", ".psf", ".prmtop", ".parm7", ".prm7", ".mol2", ".arc", ".hoomdxml"),
    *(".h5", ".gsd"),
)
"""Suffixes of topology files."""

_LAST_SERIAL = 99_999
"""Largest atom number that a PDB file can hold."""


def load_topology(path: Path) -> Any:
    """Topology of a file, an `mdtraj.Topology` of at least one atom.

    Raises
    ------
    FokkerError
        If the file is missing, of an unknown format, unreadable or without atoms.
    """
    suffix = file_suffix(path)
    if suffix not in TOPOLOGIES:
        raise FokkerError(
            f"{path}: topology suffix {suffix!r} is not known; use one of {', '.join(TOPOLOGIES)}."
        )
    check_file(path, "topology")
    with calling_mdtraj(path, "give a complete topology file"), ascii_path(path) as name:
        import mdtraj

        topology: Any = mdtraj.load_topology(name)
    if topology.n_atoms == 0:
        raise FokkerError(f"{path}: the topology has no atoms; give a complete topology file.")
    return topology


def system_from_topology(path: Path, *, select: str, temperature: float, name: str) -> System:
    """Make the beads, bonds and collective variables of a molecule from its topology.

    Parameters
    ----------
    path
        Any topology that mdtraj reads.
    select
        Atoms that become beads, in mdtraj's selection language.
    temperature
        K.
    name
        Name of the system.

    Raises
    ------
    FokkerError
        On a bad file, selection or temperature, or an atom without a mass.
    """
    topology = load_topology(path)
    return system_of(topology, path, select=select, temperature=temperature, name=name)


def system_of(topology: Any, path: Path, *, select: str, temperature: float, name: str) -> System:
    """`system_from_topology` of a topology that is loaded; `path` is for messages."""
    if not (isfinite(temperature) and temperature > 0):
        raise FokkerError(f"temperature: {temperature} K is not positive; use for example 300.")
    indices = _select(topology, path, select)
    bead_of = {atom: bead for bead, atom in enumerate(indices)}
    pairs = {
        tuple(sorted((bead_of[a.index], bead_of[b.index])))
        for a, b in topology.bonds
        if a.index in bead_of and b.index in bead_of
    }
    bare = System(
        name=name,
        dim=3,
        beads=tuple(_bead(topology.atom(i), path) for i in indices),
        kT=thermal_energy(temperature),
        bonds=tuple((i, j) for i, j in sorted(pairs)),
        mapping=Mapping(n_atoms=topology.n_atoms, indices=tuple(indices)),
    )
    return bare.model_copy(
        update={"collective_variables": collective_variables(topology, bead_of, bare)}
    )


def _select(topology: Any, path: Path, select: str) -> list[int]:
    """Selected atoms, at least two."""
    try:
        with quiet():
            indices = [int(i) for i in topology.select(select)]
    # the selection is compiled to Python: it fails with nearly any exception
    except Exception as error:
        raise FokkerError(
            f"select: {select!r} does not parse; write it in mdtraj's selection language, for "
            f"example 'backbone' or 'resname ALA and name CA'."
        ) from error
    if len(indices) < 2:
        found = "no atom" if not indices else "a single atom"
        raise FokkerError(
            f"select: {select!r} matches {found} of {path}, at least two are needed; it has the "
            f"residues {_listed(r.name for r in topology.residues)} and the atoms "
            f"{_listed(a.name for a in topology.atoms)}."
        )
    return indices


def _listed(names: Iterable[str], most: int = 20) -> str:
    """Distinct names in order of appearance."""
    distinct = list(dict.fromkeys(names))
    return ", ".join(distinct[:most]) + (", ..." if len(distinct) > most else "")


def _bead(atom: Any, path: Path) -> Bead:
    if atom.element is None or not atom.element.mass > 0:
        raise FokkerError(
            f"{path}: atom {atom} (number {atom.index} from 0) has no element and so no mass; "
            f"state its element in the topology or leave the atom out of `select`."
        )
    return Bead(
        name=atom.name,
        element=atom.element.symbol,
        residue=atom.residue.name,
        residue_index=atom.residue.resSeq,
        mass=atom.element.mass,
    )


def molecule_of(topology: Any, mapping: Mapping) -> Part:
    """Every atom that is bonded, directly or not, to a bead: what a box must not cut apart."""
    bonds = np.array([(a.index, b.index) for a, b in topology.bonds], int).reshape(-1, 2)
    inside = np.zeros(topology.n_atoms, bool)
    inside[list(mapping.indices)] = True
    n_inside = 0
    while inside.sum() > n_inside:  # once a bond length of the longest chain at most
        n_inside = inside.sum()
        touched = bonds[inside[bonds].any(axis=1)]
        inside[touched] = True
    atoms = np.flatnonzero(inside)
    within = bonds[inside[bonds].all(axis=1)]
    beads = np.searchsorted(atoms, mapping.indices)
    return Part(atoms, np.searchsorted(atoms, within), beads)


def topology_of(system: System) -> "mdtraj.Topology":
    """Topology of the beads: one chain, with bonds."""
    import mdtraj

    topology = mdtraj.Topology()
    chain = topology.add_chain()
    residue = None
    for bead in system.beads:
        if residue is None or (residue.name, residue.resSeq) != (bead.residue, bead.residue_index):
            residue = topology.add_residue(bead.residue, chain, resSeq=bead.residue_index)
        try:
            element = mdtraj.element.get_by_symbol(bead.element)
        except KeyError:
            element = mdtraj.element.virtual
        topology.add_atom(bead.name, element, residue)
    for i, j in system.bonds:
        topology.add_bond(topology.atom(i), topology.atom(j))
    return topology


def write_topology(path: Path, system: System, positions: Float[np.ndarray, "beads dim"]) -> None:
    """Write the beads to a PDB file with a CONECT record for every bond.

    The file appears complete or not at all, and replaces one of the same name.

    Parameters
    ----------
    positions
        Shape (beads, 3), nm.

    Raises
    ------
    FokkerError
        If the suffix is not `.pdb`, the folder is missing or full, or a position is not finite or
        too large for the format.
    """
    if path.suffix != ".pdb":
        raise FokkerError(f"{path}: a topology is written as PDB; use the suffix .pdb.")
    if positions.shape != (system.n_beads, 3):
        raise FokkerError(
            f"{path}: positions of shape {positions.shape} do not fit the {system.n_beads} beads "
            f"in 3 dimensions that a PDB file of {system.name!r} needs."
        )
    if not (np.isfinite(positions).all() and np.abs(positions).max() < 1e3):
        raise FokkerError(
            f"{path}: a position is not finite or beyond 1000 nm, which a PDB file cannot hold; "
            f"give a frame that has not diverged."
        )
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".fokker-", suffix=".pdb")
        os.close(handle)
        try:
            _write_pdb(Path(name), system, positions)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise FokkerError(f"{path}: the topology cannot be written ({error}).") from error


def _write_pdb(path: Path, system: System, positions: np.ndarray) -> None:
    """Atoms as mdtraj writes them; bonds here, because it leaves out those of standard residues."""
    from mdtraj.formats import PDBTrajectoryFile

    with quiet(), PDBTrajectoryFile(str(path), "w") as file:
        file.write(positions / ANGSTROM, topology_of(system), ter=False)
    atoms = [line for line in path.read_text().splitlines() if line.startswith("ATOM")]
    bonds = [
        "CONECT" + "".join(f"{serial + 1:5d}" for serial in (i, *neighbours[at : at + 4]))
        for i, neighbours in enumerate(system.neighbours)
        for at in range(0, len(neighbours), 4)
        if max(i, *neighbours) < _LAST_SERIAL
    ]
    with path.open("w") as file:
        file.write("\n".join([*atoms, *bonds, "END", ""]))
        file.flush()
        os.fsync(file.fileno())
