"""When kinetics are compared, and which frames follow each other."""

import numpy as np
import pytest

from fokker.config import MoleculeOptions, ToyOptions
from fokker.errors import FokkerError
from fokker.report import Chains
from fokker.system import Bead, System
from fokker.trajectory import Trajectory
from fokker.workflow.kinetics import Interval, compare_kinetics

pytest.importorskip("deeptime")

SWITCH = 0.02
"""Probability of a step between two states that are alike."""

PAIR = System(name="pair", dim=3, beads=(Bead(name="C"), Bead(name="C")), kT=2.5)


def chains(n, length, seed):
    """Frames of n chains of two beads at one of two distances, time after time."""
    rng = np.random.default_rng(seed)
    flips = rng.random((length, n)) < SWITCH
    flips[0] = rng.random(n) < 0.5
    state = np.cumsum(flips, axis=0) % 2
    frames = np.zeros((length, n, 2, 3), np.float32)
    frames[:, :, 1, 0] = 0.3 + 0.2 * state + 0.005 * rng.normal(size=state.shape)
    return frames


def trajectory(n, length, seed):
    frames = np.swapaxes(chains(n, length, seed), 0, 1)
    return Trajectory(frames.reshape(-1, 2, 3), PAIR, (length,) * n)


def molecule(**changes):
    return MoleculeOptions(
        **({"trajectory": ("a.xtc",), "topology": "a.pdb", "temperature": 300.0} | changes)
    )


def test_files_and_chains_are_pieces_and_the_speed_up_is_known():
    data, n = trajectory(30, 800, 0), 30
    simulation = chains(n, 800, 1).reshape(-1, 2, 3)
    found = compare_kinetics(Interval("0.1ns", 1, n), data, simulation, Chains(n, 0.2))
    truth = -1.0 / np.log(1.0 - 2.0 * SWITCH)
    for side, unit in (("data", 100.0), ("simulation", 0.2)):
        slowest = found[side]["timescales"][0]
        assert found[side]["pieces"] == n
        error = np.log(slowest["high"] / slowest["value"])
        assert abs(np.log(slowest["value"] / (truth * unit))) < 4 * error
    ratio = found["speed_up"]["mean"]
    assert abs(np.log(ratio["value"] / 500.0)) < 4 * np.log(ratio["high"] / ratio["value"])


def test_a_simulation_of_unknown_order_has_no_kinetics():
    notes = []
    simulation = chains(10, 100, 1).reshape(-1, 2, 3)
    data = trajectory(10, 200, 0)
    found = compare_kinetics(Interval("1ps", 1, 10), data, simulation, None, notes.append)
    assert found["simulation"] is None
    assert "nothing records" in notes[0]


def test_frames_are_no_dynamics_unless_the_user_says_so():
    assert Interval.of(molecule(), None) is None
    assert Interval.of(ToyOptions(name="mixture-2d"), None) is None
    assert Interval.of(molecule(frame_time="2ps"), None).text == "2ps"
    assert Interval.of(molecule(frame_time="2ps"), "3ps").text == "3ps"


@pytest.mark.parametrize("text", ["0ns", "-1ns", "0.1", ""])
def test_a_bad_time_is_refused(text):
    with pytest.raises(FokkerError, match="positive time with its unit"):
        Interval.of(molecule(), text)
    if text:
        with pytest.raises(ValueError, match="positive time with its unit"):
            molecule(frame_time=text)


def test_what_cannot_be_dynamics_is_refused():
    with pytest.raises(FokkerError, match="not one molecule"):
        Interval.of(ToyOptions(name="mixture-2d"), "1ps")
    with pytest.raises(FokkerError, match="come with forces"):
        Interval.of(molecule(trajectory=(), forces=("a.npz",)), "1ps")


def test_time_of_the_files_is_taken_only_if_they_state_it():
    notes = []
    silent = trajectory(2, 30, 0)
    with pytest.raises(FokkerError, match="XTC or TRR"):
        Interval("file", 1, 2).picoseconds(silent, notes.append)
    stating = Trajectory(silent.positions, PAIR, silent.lengths, interval=20.0)
    assert Interval("file", 2, 2).picoseconds(stating, notes.append) == 20.0
    assert not notes
    assert Interval("1ps", 2, 2).picoseconds(stating, notes.append) == 2.0
    assert "the files state 10 ps" in notes[0]


def test_too_few_frames_are_one_sentence():
    with pytest.raises(FokkerError, match="too few for any lag"):
        compare_kinetics(Interval("1ps", 1, 5), trajectory(5, 10, 0), None, None)
