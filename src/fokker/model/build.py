"""Build the model that a configuration describes."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import jax

from ..network import Head, NetworkInputs, NetworkOptions
from ..process import AbstractProcess
from ..types import Key
from .base import AbstractScore
from .conservative import EnergyModel
from .direct import FieldModel, ScoreModel
from .mixture import Mixture


@runtime_checkable
class ExpertDesign(Protocol):
    """One expert of the mixture: an interval of diffusion time and the network that serves it."""

    @property
    def interval(self) -> tuple[float, float]:
        """Diffusion times served, within [0, 1]."""
        ...

    @property
    def kind(self) -> Head:
        """`energy` is conservative; of `score` and `field` see `ScoreModel` and `FieldModel`."""
        ...

    @property
    def network(self) -> NetworkOptions:
        """Options of the network."""
        ...


def edges_of(experts: Sequence[ExpertDesign]) -> tuple[float, ...]:
    """Edges of contiguous intervals that cover [0, 1].

    Raises
    ------
    ValueError
        If there is a gap or an overlap.
    """
    edges = (0.0, *(expert.interval[1] for expert in experts))
    for expert, low in zip(experts, edges, strict=False):
        if expert.interval[0] != low:
            raise ValueError(
                f"expert intervals must touch: one ends at {low}, the next starts at "
                f"{expert.interval[0]}"
            )
    if edges[-1] != 1.0:
        raise ValueError(f"expert intervals must cover [0, 1]: the last ends at {edges[-1]}")
    return edges


def build_model(
    experts: Sequence[ExpertDesign],
    process: AbstractProcess,
    inputs: NetworkInputs,
    *,
    centred: bool,
    key: Key,
) -> Mixture:
    """Initialise every expert.

    Parameters
    ----------
    experts
        In order of time.
    process
        Shared by all experts.
    inputs
        What networks may know of the data.
    centred
        Whether translation is removed.
    key
        For the initial weights.
    """
    models: list[AbstractScore] = []
    for index, expert in enumerate(experts):
        own = inputs._replace(interval=expert.interval)
        network = expert.network.build(own, expert.kind, jax.random.fold_in(key, index))
        if expert.kind == "energy":
            models.append(EnergyModel(network, process))
        else:
            direct = ScoreModel if expert.kind == "score" else FieldModel
            models.append(direct(network, process, centred))
    return Mixture(tuple(models), edges_of(experts))
