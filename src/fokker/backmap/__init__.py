"""From beads back to atoms: fragments of the training trajectory, joined, then minimised.

    topology -> Atoms      frames of atoms -> Library      beads -> Builder -> atoms -> Minimiser

OpenMM is imported only where a molecule is minimised.
"""

from .atoms import Atoms, atoms_of
from .build import Builder
from .library import Library
from .minimise import Minimiser
from .quality import Quality, Yardstick

__all__ = ["Atoms", "Builder", "Library", "Minimiser", "Quality", "Yardstick", "atoms_of"]
