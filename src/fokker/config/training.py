"""How one expert is trained: everything of a stage that a configuration says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ..objective import ObjectiveOptions
from ..options import Options

T_MIN = 1e-5
"""Smallest diffusion time that is trained on; dynamics run here."""


def _named(value: Any) -> Any:
    """Let the key of a term be its name: `[objectives.dsm]` needs no `name = "dsm"`."""
    if not isinstance(value, dict):
        return value
    return {k: {"name": k, **v} if isinstance(v, dict) else v for k, v in value.items()}


def _counting(terms: dict[str, ObjectiveOptions]) -> dict[str, ObjectiveOptions]:
    """Leave out terms of weight 0, so that setting one to 0 takes it away."""
    kept = {name: term for name, term in terms.items() if term.weight > 0}
    if not kept:
        raise ValueError("every objective has weight 0")
    return kept


Objectives = Annotated[
    dict[str, ObjectiveOptions], BeforeValidator(_named), AfterValidator(_counting)
]


class TrainingOptions(Options):
    """How one expert is trained."""

    steps: int = Field(
        default=10_000,
        ge=0,
        lt=2**31,
        description="optimiser steps; 0: leave the weights of `pretrained` as they are",
    )
    batch_size: int = Field(default=512, ge=1, lt=2**31, description="frames a step")
    optimiser: Literal["adamw", "muon"] = Field(
        default="adamw",
        description="adamw (arXiv 1711.05101), or muon for the matrices (arXiv 2502.16982)",
    )
    learning_rate: float = Field(default=2e-3, gt=0, description="peak; cosine decay from there")
    final_learning_rate: float = Field(default=0.0, ge=0, description="where the decay ends")
    warmup: int = Field(default=100, ge=0, lt=2**31, description="steps of linear warm-up")
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0, description="global norm")
    average_decay: float = Field(
        default=0.998, ge=0, lt=1, description="exponential moving average of the weights"
    )
    keep: Literal["best", "last"] = Field(
        default="best",
        description="weights: the last ones unless their loss on held-out frames is more than a "
        "hundredth above the lowest, which happens with few frames; or always the last",
    )
    time_power: float = Field(
        default=1.0, gt=0, description="t = low + (high - low) u^power with u uniform"
    )
    midpoint: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="diffusion time with half of the weight of the loss on either side; none: all "
        "times count alike",
    )
    pair_width: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="in every other frame the second time lies within this distance of the first, "
        "in u; none: always anywhere",
    )
    rare: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="draw frames with probability density^-rare in the plane of the first two "
        "collective variables, and weigh their losses back; 0: all alike",
    )
    rotate: bool | None = Field(
        default=None,
        description="rotate frames at random; by default for molecules, where the network is not "
        "invariant by itself",
    )
    antithetic: bool = Field(
        default=False, description="use every noise twice, with either sign; doubles the work"
    )
    objectives: Objectives = Field(
        default_factory=lambda: _named({"dsm": {}}), description="terms of the loss, by name"
    )
