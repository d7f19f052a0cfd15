"""Kinetics of a run: when they are compared, and which frames follow each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..config import MoleculeOptions, MoleculesOptions, ToyOptions
from ..dataset.source import file_pieces
from ..errors import FokkerError
from ..metrics import (
    Dynamics,
    GeometryLimits,
    failed_frames,
    kinetic_features,
    kinetics,
    mark_failed,
)
from ..report import Chains
from ..trajectory import Trajectory
from ..trajectory.clock import FROM_FILE, picoseconds

_DISAGREES = 0.01
"""Share by which the user's time may differ from that of the files before it is told."""


@dataclass(frozen=True)
class Interval:
    """Time between frames of dynamics, by the word of the user.

    Attributes
    ----------
    text
        A time with its unit, or `file`.
    stride
        Every so many frames of the files are read.
    plain
        Files without forces; frames with forces have no order of time.
    """

    text: str
    stride: int
    plain: int

    @staticmethod
    def of(
        options: MoleculeOptions | MoleculesOptions | ToyOptions, frame_time: str | None
    ) -> Interval | None:
        """What is given or configured; None if nobody says that frames are dynamics.

        Raises
        ------
        FokkerError
            If it is no time, or the run is not of one molecule.
        """
        if not isinstance(options, MoleculeOptions):
            if frame_time is None:
                return None
            raise FokkerError(
                f"--frame-time: system {options.name!r} is not one molecule with a trajectory of "
                "its own; leave it out."
            )
        text = options.frame_time if frame_time is None else frame_time
        if frame_time is None and not text:
            return None
        if text != FROM_FILE:
            picoseconds(text)
        if options.frame_weights(1.0) is not None:
            raise FokkerError(
                "--frame-time: the frames have weights, and a bias changes how fast things happen, "
                "which weights do not undo; leave it out."
            )
        if not options.without_forces:
            raise FokkerError(
                "--frame-time: frames that come with forces are not taken as dynamics, and there "
                "are no others; give them with --trajectory or leave the time out."
            )
        return Interval(text, options.stride, len(options.without_forces))

    def picoseconds(self, trajectory: Trajectory, on_note: Callable[[str], None]) -> float:
        """Time between the frames that are read, ps.

        Raises
        ------
        FokkerError
            If the files are to say it and do not.
        """
        stated = trajectory.interval
        if self.text == FROM_FILE:
            if stated is None:
                raise FokkerError(
                    "--frame-time file: not all files are XTC or TRR with even times; give the "
                    "time between two frames, for example 0.1ns."
                )
            return stated
        given = self.stride * picoseconds(self.text)
        if stated is not None and abs(stated - given) > _DISAGREES * given:
            on_note(
                f"--frame-time {self.text}: the files state {stated / self.stride:g} ps between "
                "frames; yours is taken."
            )
        return given


def compare_kinetics(
    interval: Interval,
    trajectory: Trajectory | None,
    simulation: Float[np.ndarray, "frames beads dim"] | None,
    chains: Chains | None,
    on_note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Kinetics of a run's own trajectory and simulation.

    Parameters
    ----------
    interval
        Of the trajectory.
    trajectory
        Each of its files is a piece.
    simulation
        All chains at one time, then all at the next; each chain is a piece.
    chains
        Number of chains and time between frames; None if that is not recorded.
    on_note
        Told what is to be said.

    Raises
    ------
    FokkerError
        If the data are too short for any lag.
    """
    assert trajectory is not None
    time = interval.picoseconds(trajectory, on_note)
    pieces = file_pieces(trajectory)[: interval.plain]
    system, limits = (
        trajectory.system,
        GeometryLimits.from_frames(trajectory.system, trajectory.positions),
    )
    data = Dynamics([kinetic_features(system, piece) for piece in pieces], time)
    other = None
    if simulation is not None and chains is not None and not len(simulation) % chains.count:
        whole = mark_failed(simulation, failed_frames(system, simulation, limits))
        by_chain = np.swapaxes(whole.reshape(-1, chains.count, *whole.shape[1:]), 0, 1)
        features = [kinetic_features(system, each) for each in by_chain]
        other = Dynamics(features, chains.interval)
    table = kinetics(data, other)
    if simulation is not None and other is None:
        fault = "nothing records how the frames of this file follow each other."
        table["without_simulation"] = fault
    if simulation is not None and table["without_simulation"]:
        on_note(f"no kinetics of the simulation: {table['without_simulation']}")
    return table
