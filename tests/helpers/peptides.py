"""Two tiny made-up peptides of different size, as files: beads that shake about one structure."""

from pathlib import Path

import numpy as np

from fokker.system import System
from fokker.trajectory import FrameWriter, system_from_topology

SELECT = "name N CA CB C O"
STRUCTURE = {
    "N": ((-0.640, 0.740, 2.741), (1.608, -0.148, 0.100)),
    "CA": ((-0.377, 0.168, 1.445), (2.717, 0.213, -0.845)),
    "C": ((0.795, 0.758, 0.733), (2.204, 0.855, -2.056)),
    "O": ((1.051, 1.992, 0.745), (2.689, 1.985, -2.428)),
    "CB": ((-1.561, 0.153, 0.486), (3.483, -1.064, -1.309)),
}
"""Angstrom, in the first and in the second residue."""


def write_pdb(path: Path, residues: str) -> Path:
    """One or two residues, for example `ALA SER`."""
    lines = []
    for number, residue in enumerate(residues.split()):
        for name, places in STRUCTURE.items():
            x, y, z = places[number]
            lines.append(
                f"ATOM  {len(lines) + 1:5d}  {name:<3s} {residue} A{number + 1:4d}    "
                f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           {name[0]}"
            )
    path.write_text("\n".join([*lines, "END", ""]))
    return path


def system_of(path: Path) -> System:
    """System of such a file."""
    return system_from_topology(path, select=SELECT, temperature=300.0, name=path.stem)


def write_molecule(folder: Path, name: str, residues: str, n_frames: int = 120) -> System:
    """Topology and trajectory of one molecule."""
    system = system_of(write_pdb(folder / f"{name}.pdb", residues))
    number = len(residues.split())
    places = [STRUCTURE[bead.name][bead.residue_index - 1] for bead in system.beads]
    assert len(places) == 5 * number
    noise = np.random.default_rng(number).normal(size=(n_frames, len(places), 3))
    with FrameWriter(folder / f"{name}.dcd", system) as writer:
        writer.write((0.1 * np.array(places) + 0.004 * noise).astype(np.float32))
    return system


def write_folders(root: Path) -> tuple[Path, Path]:
    """Folders of molecules to train on and never to train on."""
    trained, held_out = root / "trained", root / "held-out"
    for folder in (trained, held_out):
        folder.mkdir()
    write_molecule(trained, "AS", "ALA SER", 160)
    write_molecule(trained, "A", "ALA", 120)
    write_molecule(held_out, "SA", "SER ALA", 120)
    return trained, held_out
