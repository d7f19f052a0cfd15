"""Trajectory and topology files: from a user's files to frames of beads, and back to files.

    topology file -> System        trajectory file -> frames (nm) -> trajectory file

Most formats are read here, block by block. `mdtraj` reads topologies, XTC, DCD and mmCIF and is
imported only when a file is touched. Binary files are first walked in Python (`dcd`, `xtc`, `trr`,
`netcdf`, `npy`): a cut or hostile file is told as such before any C code sees it.
"""

from .alternates import alternate_locations
from .frame_weights import FrameWeights
from .labelled import LabelledFrames, read_labelled
from .reading import Trajectory, box_of, read_frames, read_molecule, read_trajectory
from .sources import READABLE
from .topology import system_from_topology, topology_notes, topology_of, write_topology
from .writing import SUFFIXES, FrameWriter, check_output_path

__all__ = [
    "READABLE",
    "SUFFIXES",
    "FrameWeights",
    "FrameWriter",
    "LabelledFrames",
    "Trajectory",
    "alternate_locations",
    "box_of",
    "check_output_path",
    "read_frames",
    "read_labelled",
    "read_molecule",
    "read_trajectory",
    "system_from_topology",
    "topology_notes",
    "topology_of",
    "write_topology",
]
