"""How a trained model is refined: everything of that stage that a configuration says."""

from __future__ import annotations

from pydantic import Field, model_validator

from .options import fewer_than_most
from .simulating_options import AbstractSimulatingOptions


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
