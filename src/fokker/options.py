"""Base class of everything that can be written in a configuration file."""

import codecs

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A frozen block of options; unknown keys are errors, field descriptions state units."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


def plain_text(content: bytes) -> str:
    """Text in UTF-8, or in what its byte order mark says; without that mark.

    Raises
    ------
    UnicodeDecodeError
        If it is none.
    """
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


MOST_STEPS = 2**31
"""Simulation steps of a chain are counted in 32 bits."""


def fewer_than_most(steps: int, name: str) -> None:
    """Refuse more steps of a chain than can be counted.

    Raises
    ------
    ValueError
        If there are `MOST_STEPS` or more.
    """
    if steps >= MOST_STEPS:
        raise ValueError(f"{name} is {steps:,} simulation steps of each chain; at most 2**31 - 1")
