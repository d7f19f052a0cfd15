"""Elements, bonds and lengths of bonds of a topology, beyond what its file states."""

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import FokkerError
from .bonding import complete_bonds, named_bonds
from .elements import Decision, decide_elements, describe
from .lengths import Structure, expected_lengths
from .library import ascii_path, calling_mdtraj, file_suffix

_NAMED = (".pdb", ".gro", ".cif", ".mmcif", ".pdbx")
"""Formats in which few bonds or none are stated, because names imply them."""

_POSITIONED = (*_NAMED, ".mol2", ".h5")


class Chemistry(NamedTuple):
    """What was made of a topology.

    Attributes
    ----------
    decisions
        Elements that were not simply read.
    by_distance
        Residues with bonds that were taken from distances.
    lengths
        Covalent length of each bond whose length is known, nm.
    """

    decisions: list[Decision]
    by_distance: list[str]
    lengths: dict[frozenset[int], float]

    def notes(self, atoms: set[int]) -> list[str]:
        """What a user should check of these atoms: one sentence each."""
        found = describe(each for each in self.decisions if each.atom in atoms)
        if self.by_distance:
            found.append(
                f"bonds of {', '.join(self.by_distance)} are not known and were taken from the "
                "distances in the topology; state them with CONECT records if one is wrong."
            )
        return found


def understand(topology: Any, path: Path) -> Chemistry:
    """Decide the elements of a topology and complete its bonds, both in place.

    Parameters
    ----------
    topology
        `mdtraj.Topology`.
    path
        Its file.

    Raises
    ------
    FokkerError
        If the file cannot be read again.
    """
    suffix = file_suffix(path)
    plain = suffix.removesuffix(".gz")

    @cache
    def structure() -> Structure | None:
        return _structure(path, topology.n_atoms) if plain in _POSITIONED else None

    decisions = decide_elements(topology, path, suffix)
    by_distance = complete_bonds(topology, structure) if plain in _NAMED else []
    named = {frozenset((a.index, b.index)) for a, b in named_bonds(topology)}
    return Chemistry(decisions, by_distance, expected_lengths(topology, named, structure))


def _structure(path: Path, n_atoms: int) -> Structure | None:
    """First structure of a topology file; None if it holds none of these atoms."""
    with suppress(FokkerError), calling_mdtraj(path, ""), ascii_path(path) as name:
        import mdtraj

        # of the formats that only hold structures, not all can be read by frames
        frame = mdtraj.load_frame(name, 0) if path.suffix == ".h5" else mdtraj.load(name)
        cells = frame.unitcell_vectors
        positions = frame.xyz[0].astype(np.float64)
        if positions.shape == (n_atoms, 3) and np.isfinite(positions).all():
            return Structure(positions, None if cells is None else cells[0].astype(np.float64))
    return None
