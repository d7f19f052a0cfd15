"""C-alpha chains that fold: native structures from geometry, a Go-type energy, OpenMM, a cache.

    native structure -> GoModel -> OpenMM System -> chains of frames -> files that any run reads

The rest of the package sees topology and trajectory files, as of any other molecule.
"""

from .cache import chain_file, chain_system, manifest
from .engine import Dynamics, energies_and_forces, energy_and_forces, openmm_system, run_chain
from .folds import FOLDS, TRAINING_CHAINS, Fold
from .model import ForceField, GoModel
from .native import bundle, hairpin, helix
from .workers import simulate

__all__ = [
    "FOLDS",
    "TRAINING_CHAINS",
    "Dynamics",
    "Fold",
    "ForceField",
    "GoModel",
    "bundle",
    "chain_file",
    "chain_system",
    "energies_and_forces",
    "energy_and_forces",
    "hairpin",
    "helix",
    "manifest",
    "openmm_system",
    "run_chain",
    "simulate",
]
