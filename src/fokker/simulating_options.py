"""What a refinement and a reweighting say alike."""

from __future__ import annotations

from pydantic import Field

from .options import Options


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
