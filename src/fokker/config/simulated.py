"""Options of the stages that hold the model's own simulation to the frames."""

from __future__ import annotations

from pydantic import Field, model_validator

from ..options import Options, fewer_than_most


class AbstractSimulatingOptions(Options):
    """A stage that holds the model's own simulation to the frames."""

    weight: float = Field(
        default=8.0,
        gt=0,
        description="of the relative entropy a degree of freedom, beside the expert's objectives",
    )
    gradient_clip: float = Field(default=1.0, gt=0, description="global norm")
    batch_size: int = Field(
        default=64, ge=1, lt=2**31, description="frames a step of the expert's objectives"
    )


class RefinementOptions(AbstractSimulatingOptions):
    """The stage after the experts, in which the model's own simulation is held to the frames."""

    steps: int = Field(default=0, ge=0, lt=2**31, description="optimiser steps; 0: no refinement")
    learning_rate: float = Field(default=1e-3, gt=0, description="peak; cosine decay to 0")
    warmup: int = Field(default=100, ge=0, lt=2**31, description="steps of linear warm-up")
    weight_decay: float = Field(default=1e-4, ge=0)
    average_decay: float = Field(
        default=0.99, ge=0, lt=1, description="exponential moving average of the weights"
    )
    chains: int = Field(
        default=128,
        ge=1,
        lt=2**31,
        description="chains simulated along with the training; of many molecules, each has its "
        "share of them",
    )
    stride: int = Field(
        default=30, ge=1, lt=2**31, description="simulation steps of each between two updates"
    )
    frames: int = Field(
        default=4,
        ge=1,
        lt=2**31,
        description="training frames of its part of them that each is compared with at an update",
    )
    lifetime: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="updates after which a chain begins again from a training frame; 0: chains go "
        "on for ever",
    )
    emphasise: bool = Field(
        default=False,
        description="chains begin from rare frames, and are compared with these, as often as the "
        "expert is trained on them, each for less; needs a lifetime",
    )

    @model_validator(mode="after")
    def _steps_can_be_counted(self) -> RefinementOptions:
        fewer_than_most(self.steps * self.stride, "steps x stride")
        return self

    @model_validator(mode="after")
    def _emphasis_is_forgotten(self) -> RefinementOptions:
        if self.steps and self.emphasise and not self.lifetime:
            raise ValueError(
                "emphasise: chains that go on for ever forget where they began; set a lifetime"
            )
        return self


class ReweightingOptions(AbstractSimulatingOptions):
    """The very last stage: a long simulation with fixed weights, then these are set right by it."""

    rounds: int = Field(
        default=0,
        ge=0,
        lt=2**15,
        description="of a simulation and the optimiser steps on its frames; 0: no reweighting",
    )
    simulation: str | None = Field(
        default=None,
        description="trajectory of a simulation by the weights to start from, such as "
        "RUN/simulation.xtc, in the place of a new one; of so many chains and frames of each, in "
        "one round",
    )
    chains: int = Field(
        default=100,
        ge=1,
        lt=2**31,
        description="chains simulated in each round, from training frames; of many molecules, each "
        "has its share of them",
    )
    frames: int = Field(
        default=300, ge=2, lt=2**15, description="recorded of each chain in each round"
    )
    stride: int = Field(
        default=1000, ge=1, lt=2**31, description="simulation steps between two recorded frames"
    )
    discard: float = Field(
        default=0.25,
        ge=0,
        lt=1,
        description="share of the frames, at the start of each round, in which chains forget where "
        "they began",
    )
    emphasise: bool = Field(
        default=False,
        description="chains begin from rare frames, and are compared with these, as often as the "
        "expert is trained on them, each for less",
    )
    steps: int = Field(default=100, ge=1, lt=2**15, description="optimiser steps of each round")
    learning_rate: float = Field(
        default=5e-4,
        gt=0,
        description="peak, divided by the degrees of freedom; cosine decay to 0 over all rounds",
    )
    draws: int = Field(
        default=20,
        ge=1,
        lt=2**31,
        description="recorded frames of each chain in a step, and training frames of its part of "
        "them",
    )
    least: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="effective share of the recorded frames below which weights stay as they are "
        "until the next round",
    )

    @model_validator(mode="after")
    def _simulation_is_one(self) -> ReweightingOptions:
        if self.simulation is not None and (self.rounds != 1 or self.emphasise):
            raise ValueError(
                "simulation: a given one is of one round, and how its chains began is not known; "
                "set rounds = 1 and emphasise = false"
            )
        return self

    @model_validator(mode="after")
    def _steps_can_be_counted(self) -> ReweightingOptions:
        fewer_than_most(self.rounds * self.frames * self.stride, "rounds x frames x stride")
        return self
