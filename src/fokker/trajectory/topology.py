"""From a topology file to a System, and back to topologies that other programs read."""

import os
import tempfile
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from ..errors import FokkerError
from ..system import Atom, Mapping, System
from ..units import thermal_energy
from .beads import map_beads
from .chemistry import understand
from .contraction import contracted_bonds
from .identity import with_identities
from .library import ascii_path, calling_mdtraj, check_file, file_suffix
from .structure_text import beyond_pdb, cif_text, pdb_text
from .variables import collective_variables

if TYPE_CHECKING:
    import mdtraj

TOPOLOGIES = (
    *(".pdb", ".pdb.gz", ".cif", ".cif.gz", ".mmcif", ".mmcif.gz", ".pdbx", ".pdbx.gz"),
    *(".gro", ".psf", ".prmtop", ".parm7", ".prm7", ".mol2", ".arc", ".hoomdxml"),
    *(".h5", ".gsd"),
)
"""Suffixes of topology files."""


def load_topology(path: Path) -> Any:
    """Topology of a file, an `mdtraj.Topology` of at least one atom, with chains told apart.

    Raises
    ------
    FokkerError
        If the file is missing, of an unknown format, unreadable or without atoms.
    """
    suffix = file_suffix(path)
    if path.is_dir():
        check_file(path, "topology")
    if suffix not in TOPOLOGIES:
        raise FokkerError(
            f"{path}: topology suffix {suffix!r} is not known; use one of {', '.join(TOPOLOGIES)}."
        )
    check_file(path, "topology")
    with calling_mdtraj(path, "give a complete topology file"), ascii_path(path) as name:
        import mdtraj

        topology: Any = mdtraj.load_topology(name)
        topology = with_identities(topology, path, suffix)
    if topology.n_atoms == 0:
        raise FokkerError(f"{path}: the topology has no atoms; give a complete topology file.")
    return topology


def system_from_topology(
    path: Path, *, select: str, temperature: float, name: str, mapping: str = "atoms"
) -> System:
    """Make the beads, bonds and collective variables of a molecule from its topology.

    Parameters
    ----------
    path
        Any topology that mdtraj reads.
    select
        Atoms that take part, in mdtraj's selection language.
    temperature
        K.
    name
        Name of the system.
    mapping
        How atoms become beads: `atoms`, `alpha-carbons`, `residues`, or the path of a TOML file.

    Raises
    ------
    FokkerError
        On a bad file, selection or temperature, or an atom without a mass.
    """
    if not (isfinite(temperature) and temperature > 0):
        raise FokkerError(f"temperature: {temperature} K is not positive; use for example 300.")
    topology = load_topology(path)
    chemistry = understand(topology, path)
    beads = map_beads(topology, path, select=select, mapping=mapping)
    groups = [bead.atoms for bead in beads.members]
    chemical = np.array([(a.index, b.index) for a, b in topology.bonds], int).reshape(-1, 2)
    bonds = beads.bonds
    if bonds is None:
        bonds = contracted_bonds(chemical, groups, topology.n_atoms)
    single = all(len(group) == 1 for group in groups)
    inner = _molecule_bonds(chemical, groups, topology.n_atoms)
    atoms = sorted({atom for group in (*groups, *inner) for atom in group})
    bare = System(
        name=name,
        dim=3,
        beads=tuple(member.bead for member in beads.members),
        kT=thermal_energy(temperature),
        bonds=bonds,
        mapping=Mapping(
            n_atoms=topology.n_atoms,
            indices=tuple(atom for group in groups for atom in group),
            sizes=() if single else tuple(len(group) for group in groups),
            weights=() if single else tuple(w for m in beads.members for w in m.weights),
            bonds=inner,
            lengths=tuple(round(chemistry.lengths.get(frozenset(pair), 0.0), 4) for pair in inner),
            atoms=tuple(_atom(topology.atom(i)) for i in atoms),
        ),
    )
    return bare.model_copy(update={"collective_variables": collective_variables(topology, bare)})


def topology_notes(path: Path, system: System) -> list[str]:
    """What was guessed of the atoms of a system that its topology does not state.

    Raises
    ------
    FokkerError
        On a bad file.
    """
    atoms = set(system.mapping.indices) if system.mapping else set()
    return understand(load_topology(path), path).notes(atoms)


def _atom(atom: Any) -> Atom:
    symbol = atom.element.symbol if atom.element is not None else ""
    return Atom(atom.name, symbol, atom.residue.name, atom.residue.resSeq)


def _molecule_bonds(
    chemical: Int[np.ndarray, "bonds 2"], groups: list[tuple[int, ...]], n_atoms: int
) -> tuple[tuple[int, int], ...]:
    """Bonds among all atoms that are bonded to a bead, directly or not.

    What a box must not cut apart; the solvent is left out.
    """
    inside = np.zeros(n_atoms, bool)
    inside[[atom for group in groups for atom in group]] = True
    n_inside = 0
    while inside.sum() > n_inside:  # once a bond length of the longest chain at most
        n_inside = inside.sum()
        inside[chemical[inside[chemical].any(axis=1)]] = True
    within = chemical[inside[chemical].all(axis=1)]
    return tuple((int(i), int(j)) for i, j in within)


def topology_of(system: System) -> "mdtraj.Topology":
    """Topology of the beads with chains, residues and bonds."""
    import mdtraj

    topology = mdtraj.Topology()
    chain: Any = None
    residue: Any = None
    before = None
    for bead in system.beads:
        if before is None or bead.chain_index != before.chain_index:
            chain = topology.add_chain(bead.chain or None)
        if before is None or bead.place != before.place:
            residue = topology.add_residue(bead.residue, chain, resSeq=bead.residue_index)
        before = bead
        try:
            element = mdtraj.element.get_by_symbol(bead.element)
        except KeyError:
            element = mdtraj.element.virtual
        topology.add_atom(bead.name, element, residue)
    for i, j in system.bonds:
        topology.add_bond(topology.atom(i), topology.atom(j))
    return topology


def write_topology(
    path: Path, system: System, positions: Float[np.ndarray, "beads dim"]
) -> str | None:
    """Write the beads to a PDB file with a CONECT record for every bond.

    What PDB has too few columns for, such as long names, is shortened there and written in full to
    an mmCIF file beside it. Each file appears complete or not at all, and replaces one of the same
    name.

    Parameters
    ----------
    path
        `NAME.pdb`; the other file is `NAME.cif`.
    positions
        Shape (beads, 3), nm.

    Returns
    -------
    str or None
        A sentence on what the PDB file does not hold.

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
    lost = beyond_pdb(system)
    full = path.with_suffix(".cif")
    elements = [atom.element.symbol for atom in topology_of(system).atoms]
    if lost:
        _write(full, cif_text(system, positions, elements))
    _write(path, pdb_text(system, positions, elements, full.name))
    return f"{path}: PDB cannot hold {' and '.join(lost)}; {full.name} does." if lost else None


def _write(path: Path, text: str) -> None:
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".fokker-", suffix=path.suffix)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise FokkerError(f"{path}: the topology cannot be written ({error}).") from error
