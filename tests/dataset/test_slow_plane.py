"""The plane of the metrics without a choice: the slow motions, whatever the frames allow."""

import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from fokker.cli import app
from fokker.dataset.slow_plane import slow_plane
from fokker.metrics import compute, plane_of
from fokker.system import Bead, System
from fokker.trajectory import FrameWriter, write_topology
from fokker.variables import Context
from tests.helpers.backbone import build, peptide

RESIDUES = 6

SHARED, PART_OF_IT = (0, 1, 2, 3, 8), 0.5
"""How often a torsion is where the slow motion has it, else where chance has it."""


def telegraph(rng, n, n_signals, lifetime):
    """Two states of equal weight that are forgotten at random, once in `lifetime` frames."""
    fresh = rng.random((n, n_signals)) < 1 / lifetime
    fresh[0] = True
    last = np.maximum.accumulate(np.where(fresh, np.arange(n)[:, None], 0), axis=0)
    return np.take_along_axis(rng.random((n, n_signals)) < 0.5, last, axis=0)


def motions(n, lifetime, slow=(2,), part=1.0, seed=0):
    """Frames, and the state of one slow motion that some torsions follow; others are fast.

    Torsion k is phi of residue k + 2, or psi of residue k - 4 from k = 5 on. The fast ones have
    forgotten their state after three frames.
    """
    rng = np.random.default_rng(seed)
    states = telegraph(rng, n, 2 * (RESIDUES - 1), 3)
    state = telegraph(rng, n, 1, lifetime)[:, 0]
    for k in slow:
        states[:, k] = np.where(rng.random(n) < part, state, rng.random(n) < 0.5)
    angles = np.where(states, -1.2, 1.0) + 0.2 * rng.normal(size=states.shape)
    return build(angles[:, : RESIDUES - 1], angles[:, RESIDUES - 1 :]), state


def automatic(system):
    """Phi and psi in the order of the chain."""
    from fokker.metrics import torsions_of

    found = {v.name: v for motion in torsions_of(system) for v in motion.variables}
    return tuple(sorted(found.values(), key=lambda v: v.indices))


def context_of(system, *segments):
    return Context(
        labels=system.labels,
        masses=system.masses,
        neighbours=system.neighbours,
        segments=segments,
        automatic=automatic(system),
        read_structure=lambda name: segments[0][0],
    )


def test_a_slow_motion_of_several_torsions_is_the_first_axis():
    system = peptide(RESIDUES)
    frames, slow = motions(20_000, 100, slow=SHARED, part=PART_OF_IT)
    found = slow_plane(system, context_of(system, frames[:12_000], frames[12_000:]))
    assert [v.name for v in found.variables[:2]] == ["TICA 1", "TICA 2"]
    assert found.variables[2:] == automatic(system)
    assert found.why.startswith("slowest combinations of 10 torsions (TICA)")
    # The mean of five signs that are each right by PART_OF_IT has this correlation at most.
    best = PART_OF_IT / np.sqrt(PART_OF_IT**2 + (1 - PART_OF_IT**2) / 5)
    agreement = abs(np.corrcoef(compute(found.variables[0], frames), slow)[0, 1])
    alone = max(abs(np.corrcoef(compute(v, frames), slow)[0, 1]) for v in automatic(system))
    assert alone < 0.6 < 0.95 * best < agreement


def test_one_slow_torsion_among_many_fast_ones_is_the_first_axis():
    system = peptide(RESIDUES)
    frames, _ = motions(20_000, lifetime=100)
    found = slow_plane(system, context_of(system, frames))
    assert found.variables[0].name == "phi of ALA 4"
    assert "hardly slower" in found.why


def test_frames_too_few_to_fit_are_judged_by_the_slowest_torsions():
    system = peptide(RESIDUES)
    frames, _ = motions(1500, lifetime=100)
    found = slow_plane(system, context_of(system, frames))
    assert found.variables[0].name == "phi of ALA 4"
    assert set(found.variables) == set(automatic(system))
    assert "slowest of the automatic variables, by their autocorrelation" in found.why
    assert "too few" in found.why


def test_without_deeptime_the_slowest_torsions_are_taken(monkeypatch):
    monkeypatch.setitem(sys.modules, "deeptime.decomposition", None)
    system = peptide(RESIDUES)
    frames, _ = motions(20_000, lifetime=100)
    found = slow_plane(system, context_of(system, frames))
    assert found.variables[0].name == "phi of ALA 4"
    assert "deeptime" in found.why


def test_shuffled_frames_are_judged_where_they_spread_most():
    system = peptide(RESIDUES)
    rng = np.random.default_rng(1)
    angles = 0.2 * rng.normal(size=(4000, 2 * (RESIDUES - 1)))
    angles[:, 1], angles[:, 8] = rng.uniform(-np.pi, np.pi, (2, 4000))
    frames = build(angles[:, : RESIDUES - 1], angles[:, RESIDUES - 1 :])
    found = slow_plane(system, context_of(system, frames))
    assert {v.name for v in found.variables[:2]} == {"phi of LEU 3", "psi of ALA 4"}
    assert "most spread" in found.why


@pytest.mark.parametrize("n", [1, 2, 40])
def test_hardly_any_frames_or_motion(n):
    system = peptide(RESIDUES)
    frames, _ = motions(n, lifetime=5)
    for each in (frames, np.repeat(frames[:1], 200, axis=0)):
        found = slow_plane(system, context_of(system, each))
        assert len(found.variables) == 10
        assert found.why


def test_a_molecule_that_is_no_peptide_is_judged_by_any_of_its_torsions():
    chain = System(
        name="chain",
        dim=3,
        beads=tuple(Bead(name=f"C{i}", residue="LIG") for i in range(9)),
        kT=2.5,
        bonds=tuple((i, i + 1) for i in range(8)),
    )
    frames, _ = motions(1500, lifetime=100)
    two = automatic(peptide(RESIDUES))[:2]
    context = context_of(peptide(RESIDUES), frames[:, 3:12])
    context = Context(**{**vars(context), "automatic": two, "labels": chain.labels})
    found = slow_plane(chain, context)
    assert found.variables[0].indices == (5, 6, 7, 8)
    assert set(two) <= set(found.variables)


def test_two_torsions_leave_no_choice():
    system = peptide(3).model_copy(update={"bonds": ((1, 2), (2, 3), (3, 4), (4, 5), (5, 6))})
    frames = build(*np.random.default_rng(0).normal(size=(2, 100, 2)))
    context = context_of(system, frames)
    found = slow_plane(system, context)
    assert found.variables == context.automatic
    assert "no other torsions" in found.why


def test_a_system_without_a_reason_has_one_all_the_same():
    system = peptide(4)
    assert plane_of(system) == {
        "variables": ["phi ALA2", "psi ALA2"],
        "why": "the first of the collective variables",
    }
    bare = system.model_copy(update={"collective_variables": ()})
    assert plane_of(bare) == {"variables": [], "why": "no collective variables"}


def test_inspect_says_which_plane_and_why(tmp_path):
    system = peptide(RESIDUES)
    frames, _ = motions(12_000, 40, slow=SHARED, part=PART_OF_IT)
    write_topology(tmp_path / "md.pdb", system, frames[0])
    with FrameWriter(tmp_path / "md.dcd", system) as writer:
        writer.write(frames.astype(np.float32))
    given = ["-f", tmp_path / "md.dcd", "-p", tmp_path / "md.pdb", "--temperature", 300]
    for extra, names, why in (
        ([], ["TICA 1", "TICA 2"], "slowest combinations of 15 torsions"),
        (["--cv", "phi LEU3", "--cv", "end-to-end"], ["phi LEU3", "end to end"], "chosen by"),
    ):
        arguments = ["inspect", "molecule", *given, *extra, "--json", tmp_path / "seen.json"]
        done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
        assert done.exit_code == 0
        found = json.loads((tmp_path / "seen.json").read_text())["plane"]
        assert found["variables"] == names
        assert found["why"].startswith(why)
        assert f"{names[0]}, {names[1]}: {why}" in " ".join(done.output.split())
