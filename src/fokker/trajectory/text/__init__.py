"""Text trajectories: the lines of a file, and a parser for the frames of each format."""

from .arc import ARCParser
from .gro import GROParser
from .lammps import LAMMPSParser
from .lines import AbstractParser, CutShort, Frame, Lines, blocks, frames, opened
from .pdb import PDBParser, Seen
from .xyz import XYZParser

__all__ = [
    "ARCParser",
    "AbstractParser",
    "CutShort",
    "Frame",
    "GROParser",
    "LAMMPSParser",
    "Lines",
    "PDBParser",
    "Seen",
    "XYZParser",
    "blocks",
    "frames",
    "opened",
]
