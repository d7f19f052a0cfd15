"""What a kind of collective variable must tell, and how a user's choice becomes variables."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator

from ..errors import FokkerError
from ..options import Options

Values: TypeAlias = Float[np.ndarray, " frames"]

_MARGIN = 0.05
"""Share of the range seen in training that the axis of a plot shows beyond it, at both ends."""


class AbstractKind(ABC):
    """One kind of scalar function of the positions.

    Attributes
    ----------
    spatial
        Whether it exists in three dimensions only.
    periodic
        Whether it is an angle on the whole circle.
    of_axes
        Whether its indices are axes of space, not beads.
    """

    spatial: bool = False
    periodic: bool = False
    of_axes: bool = False

    @abstractmethod
    def compute(
        self,
        frames: Float[np.ndarray, "frames beads dim"],
        indices: tuple[int, ...],
        values: tuple[float, ...],
    ) -> Values:
        """Values in all frames; not finite where a position that is used is not finite."""

    @abstractmethod
    def fault(self, n_indices: int, n_values: int) -> str | None:
        """What is wrong with so many indices and values, or None."""

    @abstractmethod
    def unit(self, length_unit: str) -> str:
        """Unit of the values, given that of lengths."""


KINDS: dict[str, AbstractKind] = {}
"""Every kind by its name; each file of this package enters its own."""


class CollectiveVariable(Options):
    """A scalar function of the positions, named for plots and histograms. Data only."""

    name: str
    kind: str = Field(description="dihedral, distance, coordinate or another key of `KINDS`")
    indices: tuple[int, ...] = Field(description="the beads it is made of, or one axis")
    limits: tuple[float, float] = Field(description="rad, nm or the system's length unit")
    periodic: bool = False
    values: tuple[float, ...] = Field(
        default=(), description="constants of the kind: masses, a reference structure, weights"
    )

    @model_validator(mode="after")
    def _sound(self) -> CollectiveVariable:
        if self.kind not in KINDS:
            raise ValueError(
                f"collective variable {self.name!r}: no kind {self.kind!r}; there are "
                f"{', '.join(sorted(KINDS))}"
            )
        fault = KINDS[self.kind].fault(len(self.indices), len(self.values))
        if fault is not None:
            raise ValueError(f"collective variable {self.name!r}: {fault}")
        return self


@dataclass(frozen=True)
class Context:
    """What is known of a molecule when its collective variables are chosen.

    Attributes
    ----------
    labels
        One unique name a bead, for example ``ALA2-CA``.
    masses
        amu.
    neighbours
        Bonded neighbours of each bead.
    segments
        Training frames in pieces without a gap in time, each (frames, beads, dim), nm.
    automatic
        Variables that would be taken if none were chosen.
    read_structure
        Positions of the beads in the first frame of a file, (beads, 3), nm.
    """

    labels: tuple[str, ...]
    masses: tuple[float, ...]
    neighbours: tuple[tuple[int, ...], ...]
    segments: tuple[Float[np.ndarray, "_frames beads dim"], ...]
    automatic: tuple[CollectiveVariable, ...]
    read_structure: Callable[[str], Float[np.ndarray, "beads dim"]]
    _joined: list[np.ndarray] = field(default_factory=list, repr=False)

    @property
    def frames(self) -> Float[np.ndarray, "frames beads dim"]:
        """All training frames."""
        if not self._joined:
            self._joined.append(np.concatenate(self.segments))
        return self._joined[0]

    def bead(self, name: str) -> int:
        """Index of a bead given by its label, by its atom name if that is unique, or by number.

        Raises
        ------
        FokkerError
            If no bead, or more than one, has that name.
        """
        return find_bead(self.labels, name)


class AbstractChoice(Options):
    """A collective variable as a user asks for it: by names, without limits."""

    @abstractmethod
    def build(self, context: Context) -> tuple[CollectiveVariable, ...]:
        """Variables with limits and constants.

        Raises
        ------
        FokkerError
            If the molecule does not have what is named.
        """


def find_bead(labels: tuple[str, ...], name: str) -> int:
    """Index of the bead of that label, with or without its chain, or of that atom name or number.

    Raises
    ------
    FokkerError
        If no bead, or more than one, has that name.
    """
    ways = (
        [i for i, label in enumerate(labels) if label == name],
        [i for i, label in enumerate(labels) if label.partition(":")[2] == name],
        [i for i, label in enumerate(labels) if label.rpartition("-")[2] == name],
    )
    found = next((each for each in ways if each), [])
    if len(found) == 1:
        return found[0]
    if name.isdecimal() and int(name) < len(labels):
        return int(name)
    if len({labels[i] for i in found}) > 1:
        several = ", ".join(labels[i] for i in found[:8])
        raise FokkerError(f"bead {name!r} is one of several: write {several} in full.")
    if found:
        numbers = ", ".join(map(str, found[:8]))
        raise FokkerError(
            f"bead {name!r}: several beads have that name; write its number instead ({numbers})."
        )
    near = difflib.get_close_matches(name, labels, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(labels[:12])}."
    raise FokkerError(f"no bead {name!r}: {hint}")


def finished(
    context: Context,
    name: str,
    kind: str,
    indices: tuple[int, ...],
    values: tuple[float, ...] = (),
    limits: tuple[float, float] | None = None,
) -> CollectiveVariable:
    """Variable whose limits, if none are given, are what the training frames visit."""
    chosen = limits or _limits(name, KINDS[kind].compute(context.frames, indices, values))
    periodic = KINDS[kind].periodic
    return CollectiveVariable(
        name=name, kind=kind, indices=indices, limits=chosen, periodic=periodic, values=values
    )


def _limits(name: str, values: np.ndarray) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    if not np.isfinite([low, high]).all():
        raise FokkerError(f"collective variable {name!r}: its values in the data are not finite.")
    margin = _MARGIN * (high - low) or 0.01 * max(abs(high), 1e-3)
    return low - margin, high + margin
