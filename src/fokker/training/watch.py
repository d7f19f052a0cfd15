"""Who looks on while a model is trained: a display, and somebody who may stop it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where training is, told after every block."""

    stage: int
    n_stages: int
    step: int
    n_steps: int
    terms: dict[str, float]


@dataclass(frozen=True)
class Watch:
    """What is called while training goes on.

    Attributes
    ----------
    on_progress
        Told where training is, after every block.
    on_message
        Told of an expert whose last weights are not the ones that are kept, and of a refinement or
        reweighting that ends because its chains break; training goes on from the weights before.
    should_stop
        Asked after every block, and within one whose steps are slow.
    """

    on_progress: Callable[[Progress], None] = lambda _: None
    on_message: Callable[[str], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False
