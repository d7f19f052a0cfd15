"""Everything that a run can be told: systems, experts, sampling, simulation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ..dynamics import IntegratorOptions
from ..errors import FokkerError
from ..model import edges_of
from ..network import NetworkOptions
from ..options import Options
from ..process import ProcessOptions, VariancePreservingOptions
from ..sampler import SamplerOptions
from ..trajectory.clock import FROM_FILE, picoseconds
from ..trajectory.force_map import ForceMap
from ..trajectory.frame_weights import FrameWeights
from ..variables import VariableChoice
from .simulated import RefinementOptions, ReweightingOptions
from .training import T_MIN, TrainingOptions

EMBEDDED = "embedded:"
"""Prefix of trajectory and topology paths that name data inside the package."""

MANY = 2**31
"""Counts are 32-bit integers on the device."""


class MoleculeOptions(Options):
    """A molecule given by topology and trajectory."""

    kind: Literal["molecule"] = "molecule"
    name: str = "molecule"
    trajectory: tuple[str, ...] = Field(
        default=(), description="files that mdtraj reads; may be empty if there are `forces`"
    )
    forces: tuple[str, ...] = Field(
        default=(),
        description="NPZ or HDF5 files of more frames, with forces on all atoms or on the beads "
        "(kJ/mol/nm)",
    )
    force_map: ForceMap = Field(
        default="optimal",
        description="optimal: coefficients of least noise (arXiv 2302.07071); atoms: the forces on "
        "the atoms of a bead, summed",
    )
    topology: str = Field(description="PDB or another topology that mdtraj reads")
    select: str = Field(
        default="not element H", description="atoms that take part, in mdtraj's language"
    )
    mapping: str = Field(
        default="atoms",
        description="atoms, alpha-carbons, residues (centres of mass), or the path of a TOML file",
    )
    collective_variables: tuple[VariableChoice, ...] = Field(
        default=(),
        description="the first two span the plane of the metrics; empty: slowest motions",
    )
    temperature: float = Field(gt=0, description="K")
    stride: int = Field(default=1, ge=1, description="keep every n-th frame")
    frame_time: str = Field(
        default="",
        description="only if the frames are dynamics in the order of time: the time between two in "
        "the files, such as 0.1ns, or `file` if they state it; the kinetics are then compared",
    )
    weights: tuple[str, ...] = Field(
        default=(),
        description="files with the weight of each frame, one for each trajectory or one for all: "
        "NPY or text, FILE:column for one of several columns; empty: all count alike",
    )
    log_weights: tuple[str, ...] = Field(
        default=(), description="the same with natural logarithms of weights"
    )
    bias: tuple[str, ...] = Field(
        default=(),
        description="the same with the bias that each frame was simulated under, kJ/mol: the "
        "weight is exp(bias / kT)",
    )
    allow_cut: bool = Field(
        default=False, description="use the whole frames of files that end early"
    )
    reference: tuple[str, ...] = Field(
        default=(), description="independent frames for evaluation, never trained on"
    )
    validation_fraction: float = Field(default=0.05, ge=0, le=0.5, description="in time blocks")

    @model_validator(mode="after")
    def _has_frames(self) -> MoleculeOptions:
        if not self.trajectory and not self.forces:
            raise ValueError("there are no frames; give a trajectory, or a file with forces")
        given = [name for name in ("weights", "log_weights", "bias") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} say the same; give one of them")
        if given and self.forces:
            raise ValueError(
                f"{given[0]} and forces: the forces of a biased simulation hold those of its bias, "
                "and a model would learn them; leave out one of the two"
            )
        if given and self.frame_time:
            raise ValueError(
                f"{given[0]} and frame_time: a bias changes how fast things happen, which weights "
                "do not undo, so the kinetics cannot be compared; leave out frame_time"
            )
        return self

    @field_validator("frame_time")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        try:
            if text not in ("", FROM_FILE):
                picoseconds(text)
        except FokkerError as error:
            raise ValueError(str(error)) from error
        return text

    def frame_weights(self, kT: float) -> FrameWeights | None:
        """Where the weights of frames are; None if all count alike."""
        if self.bias:
            return FrameWeights(self.bias, kT)
        if self.log_weights:
            return FrameWeights(self.log_weights, 1.0)
        return FrameWeights(self.weights) if self.weights else None

    @property
    def without_forces(self) -> tuple[str, ...]:
        """Trajectory files that are not read as files with forces."""
        return tuple(name for name in self.trajectory if name not in self.forces)


class MoleculesOptions(Options):
    """Many molecules behind one model, each given by topology and trajectory."""

    kind: Literal["molecules"] = "molecules"
    name: str = "molecules"
    folder: str = Field(
        min_length=1,
        description="what is trained on: a folder of pairs such as KL.pdb and KL.dcd, or a TOML "
        "list of molecules",
    )
    validation: str = Field(
        default="", description="other molecules, whose frames choose the weights; empty: none"
    )
    test: str = Field(
        default="",
        description="more, never looked at, to judge by; empty: those of `validation`",
    )
    select: str = Field(
        default="not element H", description="atoms that take part, in mdtraj's language"
    )
    mapping: str = Field(
        default="atoms",
        description="atoms, alpha-carbons, residues (centres of mass), or the path of a TOML file",
    )
    temperature: float = Field(gt=0, description="K, of all trajectories")
    stride: int = Field(default=1, ge=1, description="keep every n-th frame")
    allow_cut: bool = Field(
        default=False, description="use the whole frames of files that end early"
    )
    max_frames: int = Field(
        default=20_000,
        ge=100,
        lt=MANY,
        description="frames of each molecule that are kept at most, evenly spread; bounds memory",
    )
    validation_fraction: float = Field(
        default=0.05,
        ge=0,
        le=0.5,
        description="of each molecule, in time blocks; not used if `validation` is given",
    )


class ToyOptions(Options):
    """A low-dimensional model system whose data are generated."""

    kind: Literal["toy"] = "toy"
    name: str = Field(description="mixture-1d, mixture-2d, checkerboard or mueller-brown")
    scaled: bool = Field(
        default=True, description="positions of zero mean and unit variance; false: as they are"
    )
    validation_fraction: float = Field(default=0.05, ge=0, le=0.5, description="in time blocks")


SystemOptions = Annotated[
    MoleculeOptions | MoleculesOptions | ToyOptions, Field(discriminator="kind")
]


class ExpertOptions(Options):
    """One expert of the mixture over diffusion time, and how it is trained."""

    interval: tuple[float, float] = Field(
        default=(0.0, 1.0), description="diffusion times served, within [0, 1]"
    )
    kind: Literal["energy", "score", "field"] = Field(
        default="energy",
        description="energy: conservative, can simulate; score: a denoiser, cheaper, can only "
        "sample; field: the score itself, scaled like the gradient of an energy but none",
    )
    network: NetworkOptions
    training: TrainingOptions = TrainingOptions()

    @model_validator(mode="after")
    def _sound(self) -> ExpertOptions:
        low, high = self.interval
        if not 0.0 <= low < high <= 1.0:
            raise ValueError(f"interval [{low}, {high}] must lie within [0, 1] and be increasing")
        needs_energy = [n for n in self.training.objectives if n not in ("dsm", "force-matching")]
        if self.kind != "energy" and needs_energy:
            raise ValueError(
                f'{needs_energy[0]} needs kind = "energy", this expert has "{self.kind}"'
            )
        midpoint = self.training.midpoint
        if midpoint is not None and not low < midpoint < high:
            raise ValueError(f"training.midpoint = {midpoint} must lie within ({low}, {high})")
        return self


class BiasOptions(Options):
    """A harmonic bias `k/2 (value - center)^2` on a collective variable."""

    variable: str = Field(
        description="name of one of the system, or words such as `distance ALA1-CA ALA5-CA`"
    )
    center: float = Field(description="rad, nm or the system's own unit")
    k: float = Field(gt=0, description="kJ/mol (or the system's own unit) per that squared")


class SamplingOptions(Options):
    """Independent samples."""

    n: int = Field(default=20_000, ge=1, lt=MANY, description="samples")
    batch_size: int = Field(default=4096, ge=1, lt=MANY, description="samples at a time")
    sampler: SamplerOptions
    bias: BiasOptions | None = Field(
        default=None, description="tilts the density; needs the annealed sampler"
    )

    @model_validator(mode="after")
    def _can_be_tilted(self) -> SamplingOptions:
        if self.bias is not None and self.sampler.name != "annealed":
            raise ValueError(
                f'a bias needs sampler.name = "annealed", this one is "{self.sampler.name}"'
            )
        return self


class SimulationOptions(Options):
    """Langevin dynamics with the model's force."""

    integrator: IntegratorOptions
    chains: int = Field(
        default=100, ge=1, lt=MANY, description="independent trajectories side by side"
    )
    steps: int = Field(default=50_000, ge=1, lt=MANY, description="steps of each chain")
    stride: int = Field(default=250, ge=1, lt=MANY, description="steps between stored frames")
    start: str = Field(
        default="training",
        description="training (random training frames; of many molecules: samples if there are, "
        "else the structure of the topology), samples (samples.xtc of the run), or the path of a "
        "structure",
    )
    t: float = Field(
        default=T_MIN, ge=T_MIN, le=1, description="diffusion time at which the force is evaluated"
    )


_AFTER_EXPERTS = "refinement", "reweighting"


class Config(Options):
    """A whole run."""

    method: str = "custom"
    seed: int = Field(default=0, ge=0, lt=2**32)
    pretrained: str | None = Field(
        default=None, description="run folder whose weights training starts from"
    )
    system: SystemOptions
    process: ProcessOptions = VariancePreservingOptions()
    experts: tuple[ExpertOptions, ...] = Field(min_length=1)
    refinement: RefinementOptions = RefinementOptions()
    reweighting: ReweightingOptions = ReweightingOptions()
    sampling: SamplingOptions
    simulation: SimulationOptions

    @model_validator(mode="after")
    def _sound(self) -> Config:
        edges_of(self.experts)
        left = [i for i, e in enumerate(self.experts) if e.training.steps == 0]
        if left and self.pretrained is None:
            raise ValueError(
                f"experts.{left[0]}.training.steps = 0 keeps the weights of a run; name it with "
                "--pretrained"
            )
        if self.next_stage(0) == self.n_stages:
            raise ValueError("every stage has 0 steps, so there is nothing to train")
        if self.reweighting.simulation is not None:
            self._simulated_by_the_weights()
        expert = self.experts[self.simulating_expert]
        for name, key in zip(_AFTER_EXPERTS, ("steps", "rounds"), strict=True):
            options = getattr(self, name)
            if not getattr(options, key):
                continue
            if expert.kind != "energy":
                raise ValueError(
                    f"a {name} needs an energy, and the expert that serves the time of the "
                    f'simulation has kind = "{expert.kind}"; set {name}.{key} = 0'
                )
            if options.emphasise and not expert.training.rare:
                raise ValueError(
                    f"{name}.emphasise: how rare frames are emphasised is said by "
                    f"experts.{self.simulating_expert}.training.rare, which is 0; set it, for "
                    "example to 0.5"
                )
        return self

    def _simulated_by_the_weights(self) -> None:
        if isinstance(self.system, MoleculesOptions):
            raise ValueError("reweighting.simulation is of one molecule; leave it out for many")
        if self.pretrained is None or self.next_stage(0) < self.n_stages - 1:
            raise ValueError(
                "reweighting.simulation is by weights that nothing may change before: name their "
                "run with --pretrained, and set experts.*.training.steps = 0 and "
                "refinement.steps = 0"
            )

    @property
    def simulating_expert(self) -> int:
        """Number of the expert that serves the time of the simulation."""
        t = self.simulation.t
        return sum(t >= edge for edge in edges_of(self.experts)[1:-1])

    @property
    def trained_by(self) -> dict[str, Any]:
        """What the trained weights depend on, by name."""
        names = ("seed", "pretrained", "system", "process", "experts", "refinement", "reweighting")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.n_stages > len(self.experts):
            simulation = self.simulation
            found |= {"simulation.t": simulation.t, "simulation.integrator": simulation.integrator}
        return found

    @property
    def n_stages(self) -> int:
        """Stages of training: one an expert, the refinement and the reweighting if there are."""
        if self.reweighting.rounds:
            return len(self.experts) + 2
        return len(self.experts) + (self.refinement.steps > 0)

    def next_stage(self, stage: int) -> int:
        """First stage from this one on that has steps; `n_stages` if none has."""
        stages = range(stage, self.n_stages)
        return next((i for i in stages if self.steps_of(i)), self.n_stages)

    def name_of(self, stage: int) -> str:
        """What a stage is, in words."""
        n = len(self.experts)
        return f"expert {stage + 1} of {n}" if stage < n else _AFTER_EXPERTS[stage - n]

    def steps_of(self, stage: int) -> int:
        """Steps of a stage: of the optimiser and, in a reweighting, to its recorded frames."""
        if stage < len(self.experts):
            return self.experts[stage].training.steps
        if self.name_of(stage) == "refinement":
            return self.refinement.steps
        return self.reweighting.rounds * (self.reweighting.frames + self.reweighting.steps)
