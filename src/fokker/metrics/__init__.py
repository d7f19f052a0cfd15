"""Metrics: they take trajectories and a `System` and return plain data; they never see a model."""

from ..variables import angle, dihedral, distance, triple_product
from .ancestry import Ancestry
from .collective_variables import compute, compute_all
from .correlation import slowest_inefficiency, statistical_inefficiency
from .discretisation import kinetic_features
from .divergence import (
    data_edges,
    jensen_shannon,
    jensen_shannon_error,
    joint_bins,
    joint_edges,
    joint_size,
    pmf_bins,
    pmf_error,
    pmf_size,
)
from .floor import Floor, histogram_floor, js_floor, pmf_floor, wasserstein_floor
from .folding import (
    contact_pairs,
    contact_probabilities,
    contact_reach,
    folding,
    folding_threshold,
    native_contacts,
)
from .free_energy import (
    FreeEnergy1D,
    FreeEnergy2D,
    free_energies_1d,
    free_energy_1d,
    free_energy_2d,
)
from .geometry import (
    GeometryLimits,
    chiral_centres,
    chirality,
    failed_frames,
    finite_frames,
    lost_frames,
    mark_failed,
)
from .judged import Judged, Worst, judged_js, worst_torsion
from .kinetics import Dynamics, kinetics
from .noise import js_noise
from .plane import plane_of
from .summary import compare, evaluate
from .temperature import Temperature, kinetic_temperature
from .torsion_metrics import torsion_metrics
from .torsions import Motion, torsions_of
from .wasserstein import wasserstein_1d
from .weighted import effective_number, evenly

__all__ = [
    "Ancestry",
    "Dynamics",
    "Floor",
    "FreeEnergy1D",
    "FreeEnergy2D",
    "GeometryLimits",
    "Judged",
    "Motion",
    "Temperature",
    "Worst",
    "angle",
    "chiral_centres",
    "chirality",
    "compare",
    "compute",
    "compute_all",
    "contact_pairs",
    "contact_probabilities",
    "contact_reach",
    "data_edges",
    "dihedral",
    "distance",
    "effective_number",
    "evaluate",
    "evenly",
    "failed_frames",
    "finite_frames",
    "folding",
    "folding_threshold",
    "free_energies_1d",
    "free_energy_1d",
    "free_energy_2d",
    "histogram_floor",
    "jensen_shannon",
    "jensen_shannon_error",
    "joint_bins",
    "joint_edges",
    "joint_size",
    "js_floor",
    "js_noise",
    "judged_js",
    "kinetic_features",
    "kinetic_temperature",
    "kinetics",
    "lost_frames",
    "mark_failed",
    "native_contacts",
    "plane_of",
    "pmf_bins",
    "pmf_error",
    "pmf_floor",
    "pmf_size",
    "slowest_inefficiency",
    "statistical_inefficiency",
    "torsion_metrics",
    "torsions_of",
    "triple_product",
    "wasserstein_1d",
    "wasserstein_floor",
    "worst_torsion",
]
