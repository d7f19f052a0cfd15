"""Base class of everything that can be written in a configuration file."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A frozen block of options; unknown keys are errors, field descriptions state units."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )
