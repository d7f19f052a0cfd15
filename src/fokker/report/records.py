"""What a report needs of the files of a run folder: metrics, run, training log and plots."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    model_validator,
)

from ..metrics.judged import Judged, Worst, judged_js, worst_torsion
from .kinetic_records import Curve, Kinetics, same
from .torsion_records import Plane, Torsions

SetName: TypeAlias = Annotated[str, Field(pattern="^(data|reference|iid|sim)$")]
Edges: TypeAlias = Annotated[list[FiniteFloat], Field(min_length=2)]
Element: TypeAlias = Annotated[str, Field(max_length=4)]


class AbstractRecord(BaseModel):
    """Part of a file; what a newer version writes besides is not an error."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Distribution(AbstractRecord):
    """One bond, angle or collective variable against the frames it is compared with."""

    w1: float | None = None
    w1_error: float | None = None
    w1_relative: float | None = None
    floor: float | None = None
    mean: float | None = None
    std: float | None = None
    training_mean: float | None = None
    training_std: float | None = None


class Folding(AbstractRecord):
    """Folded fraction and contact map, as from `fokker.metrics.folding`."""

    threshold: float | None = None
    fraction: float | None = None
    fraction_error: float | None = None
    training_fraction: float | None = None
    training_fraction_error: float | None = None
    free_energy: float | None = None
    free_energy_error: float | None = None
    training_free_energy: float | None = None
    training_free_energy_error: float | None = None
    difference: float | None = None
    difference_error: float | None = None
    difference_floor: float | None = None
    contacts: float | None = None
    contacts_error: float | None = None
    contacts_floor: float | None = None


class Comparison(AbstractRecord):
    """Metrics of one set of frames, as from `fokker.metrics.compare`."""

    n: int | None = None
    n_training: int | None = None
    n_training_effective: int | None = None
    failed_fraction: float | None = None
    nan_fraction: float | None = None
    js_data: float | None = None
    js_data_bootstrap_error: float | None = None
    js_data_noise: float | None = None
    js_data_floor: float | None = None
    js_data_floor_std: float | None = None
    js_data_ratio: float | None = None
    js: float | None = None
    js_standard_error: float | None = None
    js_bootstrap_error: float | None = None
    js_noise: float | None = None
    pmf_bootstrap_error: float | None = None
    correlation_time: float | None = None
    effective_frames: float | None = None
    training_correlation_time: float | None = None
    training_effective_frames: float | None = None
    js_floor: float | None = None
    js_floor_std: float | None = None
    js_ratio: float | None = None
    pmf: float | None = None
    pmf_floor: float | None = None
    pmf_floor_std: float | None = None
    pmf_ratio: float | None = None
    bonds: dict[str, Distribution] = {}
    angles: dict[str, Distribution] = {}
    collective_variables: dict[str, Distribution] = {}
    chirality: dict[str, float | None] = {}
    folding: Folding | None = None
    torsions: Torsions | None = None

    @property
    def worst(self) -> Worst | None:
        """The torsion that is furthest above its floor."""
        return worst_torsion(self.torsions.model_dump() if self.torsions else None)

    @property
    def judged(self) -> Judged:
        """The divergence that the set is judged by."""
        return judged_js(vars(self))


class Held(AbstractRecord):
    """Metrics against reference frames that were never trained on."""

    training: Comparison | None = None
    iid: Comparison | None = None
    sim: Comparison | None = None


class Metrics(AbstractRecord):
    """metrics.json, as from `fokker.metrics.evaluate`."""

    against: str | None = None
    plane: Plane | None = None
    iid: Comparison | None = None
    sim: Comparison | None = None
    reference: Held | None = None
    kinetics: Kinetics | None = None


class Temperature(AbstractRecord):
    """Kinetic temperature of a simulation, K; kT in the system's own unit if it is not in K."""

    mean: float | None = None
    standard_error: float | None = None
    target: float | None = None
    unit: str = "K"


class Training(AbstractRecord):
    """What training took."""

    seconds: float | None = None
    steps: int | None = None


class Sampling(AbstractRecord):
    """How independent samples were drawn; `evaluations` of the network a sample.

    What follows `sampler` is of annealed samples alone.
    """

    n: int | None = None
    not_finite: int | None = None
    seconds: float | None = None
    evaluations: int | None = None
    sampler: str | None = None
    effective: float | None = None
    distinct_ancestors: int | None = None
    log_normalisation: float | None = None
    log_normalisation_error: float | None = None


class Simulation(AbstractRecord):
    """How the simulation was run; `diverged_at` holds the step at which each chain was lost."""

    chains: int | None = None
    steps: int | None = None
    stride: int | None = None
    start: str | None = None
    t: float | None = None
    conservative: bool | None = None
    integrator: dict[str, Any] = {}
    seconds: float | None = None
    steps_per_second: float | None = None
    temperature: Temperature | None = None
    diverged: int | None = None
    diverged_at: list[float | None] = []


class Run(AbstractRecord):
    """run.json: what was run, and what it took. Every part is optional."""

    fokker: str | None = None
    system: str | None = None
    method: str | None = None
    command: str | None = None
    training: Training | None = None
    sampling: Sampling | None = None
    simulation: Simulation | None = None


class TrainingStep(AbstractRecord):
    """One line of training.jsonl."""

    step: int
    stage: int = 0
    name: str | None = None
    loss: float | None = None
    terms: dict[str, float | None] = {}
    validation: dict[str, float | None] | None = None
    kept: int | None = None
    ended: str | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    seconds: float | None = None


class Axis(AbstractRecord):
    """One axis of a free-energy surface."""

    name: str
    unit: str = ""
    edges: Edges


class Surfaces(AbstractRecord):
    """Free energies in kT over two collective variables, by set."""

    x: Axis
    y: Axis
    energy: dict[SetName, list[Curve]]

    @model_validator(mode="after")
    def _shapes(self) -> Surfaces:
        for energy in self.energy.values():
            same(len(energy), len(self.x.edges) - 1, "rows of a surface")
            for row in energy:
                same(len(row), len(self.y.edges) - 1, "columns of a surface")
        return self


class Profile(AbstractRecord):
    """Free energies in kT along one collective variable, and the share beyond the edges, by set."""

    unit: str = ""
    edges: Edges
    energy: dict[SetName, Curve]
    beyond: dict[SetName, float | None] = {}

    @model_validator(mode="after")
    def _shapes(self) -> Profile:
        for energy in self.energy.values():
            same(len(energy), len(self.edges) - 1, "bins of a profile")
        return self


class Density(AbstractRecord):
    """Densities of one bond or angle, and the share of frames beyond the edges, by set."""

    unit: str = ""
    edges: Edges
    density: dict[SetName, Curve]
    beyond: dict[SetName, float | None] = {}

    @model_validator(mode="after")
    def _shapes(self) -> Density:
        for density in self.density.values():
            same(len(density), len(self.edges) - 1, "bins of a density")
        return self


class Residual(AbstractRecord):
    """Fokker-Planck residual against diffusion time: root mean square and median magnitude."""

    t: Curve
    rms: Curve
    median: Curve | None = None
    unit: str = ""
    boundaries: list[float] = []

    @model_validator(mode="after")
    def _shapes(self) -> Residual:
        for curve in (self.rms, self.rms if self.median is None else self.median):
            same(len(curve), len(self.t), "values of the residual")
        return self


class Relaxation(AbstractRecord):
    """Approach of an ensemble that starts from one structure to equilibrium."""

    time: list[FiniteFloat]
    unit: str = "ps"
    start: str | None = None
    curves: dict[str, Curve] = {}
    targets: dict[str, float | None] = {}
    js_data: Curve | None = None
    js_data_floor: float | None = None
    js: Curve | None = None
    js_floor: float | None = None
    chains: int | None = None
    failed_fraction: float | None = None

    @property
    def judged(self) -> tuple[Curve, float | None]:
        """The divergence that is shown, and its floor; empty without one."""
        if self.js_data is not None:
            return self.js_data, self.js_data_floor
        return self.js or [], self.js_floor

    @model_validator(mode="after")
    def _shapes(self) -> Relaxation:
        for curve in (*self.curves.values(), self.js, self.js_data):
            found = self.time if curve is None else curve
            same(len(found), len(self.time), "values of a relaxation curve")
        return self


class Contacts(AbstractRecord):
    """Contact probabilities by set, pair after pair; `pairs` and `native` are flat."""

    beads: int
    pairs: list[NonNegativeInt]
    native: list[NonNegativeInt]
    reach: FiniteFloat
    unit: str = ""
    probability: dict[SetName, Curve]

    @model_validator(mode="after")
    def _shapes(self) -> Contacts:
        if max((*self.pairs, *self.native), default=0) >= self.beads:
            raise ValueError(f"a contact names a bead beyond the {self.beads} that there are")
        for curve in self.probability.values():
            same(2 * len(curve), len(self.pairs), "beads of the pairs in contact")
        return self


class Traces(AbstractRecord):
    """Share of native contacts along chains of the simulation, every `interval` ps."""

    interval: FiniteFloat
    values: list[Curve]


class State(AbstractRecord):
    """A populated cell of the collective variables: one frame of each set that visits it."""

    values: list[FiniteFloat]
    share: dict[SetName, FiniteFloat]
    frames: dict[SetName, list[int]]


class Movie(AbstractRecord):
    """One chain of the simulation; `interval` in ps between its frames.

    `failed` of all chains hold a failed frame; the chain that is shown ends before its own.
    """

    chain: int
    chains: int
    failed: int = 0
    interval: FiniteFloat
    values: list[list[FiniteFloat]]
    frames: Annotated[list[list[int]], Field(min_length=1)]

    @model_validator(mode="after")
    def _shapes(self) -> Movie:
        same(len(self.values), len(self.frames), "values of the moving chain")
        return self


class Structures(AbstractRecord):
    """Beads, bonds and structures for the eye; positions are whole picometres, flat."""

    elements: Annotated[list[Element], Field(min_length=1)]
    names: list[str]
    bonds: list[tuple[NonNegativeInt, NonNegativeInt]]
    variables: list[str]
    states: list[State] = []
    movie: Movie | None = None

    @model_validator(mode="after")
    def _shapes(self) -> Structures:
        n_beads = len(self.elements)
        same(len(self.names), n_beads, "names of beads")
        if any(max(bond) >= n_beads for bond in self.bonds):
            raise ValueError(f"a bond names a bead beyond the {n_beads} that there are")
        movie = self.movie.frames if self.movie else []
        for frame in (*movie, *(f for state in self.states for f in state.frames.values())):
            same(len(frame), 3 * n_beads, "positions of a structure")
        rows = self.movie.values if self.movie else []
        for values in (*rows, *(state.values for state in self.states)):
            same(len(values), len(self.variables), "values of a structure")
        return self


class Plots(AbstractRecord):
    """plots.json, as from `fokker.report.gather`."""

    system: str | None = None
    frames: dict[SetName, int] = {}
    not_finite: dict[SetName, int] = {}
    surfaces: Surfaces | None = None
    profiles: dict[str, Profile] = {}
    bonds: dict[str, Density] = {}
    angles: dict[str, Density] = {}
    residual: Residual | None = None
    relaxation: Relaxation | None = None
    structures: Structures | None = None
    contacts: Contacts | None = None
    traces: Traces | None = None
