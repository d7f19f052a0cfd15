"""Every torsion over its floor: wrong ones are named, right ones are not blamed for their noise."""

import numpy as np
import pytest

from fokker.cli.display import worst_torsions
from fokker.metrics import compare, jensen_shannon, torsions_of, worst_torsion
from fokker.report import content
from fokker.report.records import Metrics, Run
from fokker.report.torsions import torsion_table
from fokker.system import System
from tests.helpers.backbone import build, peptide

FRAMES = 20_000
EVEN = (0.5, 0.5)


def frames(residues, seed, *, n=FRAMES, weights=EVEN, residue=3, lifetime=1.0):
    """Each phi in two states; those of one residue have the weights, others are even.

    A state is drawn anew once in `lifetime` frames. Angles are within bounds, so that no bin is
    rare.
    """
    rng = np.random.default_rng(seed)
    shape = (n, residues - 1)
    share = np.full(residues - 1, EVEN[0])
    share[residue - 2] = weights[0]
    fresh = rng.random(shape) < 1 / lifetime
    fresh[0] = True
    last = np.maximum.accumulate(np.where(fresh, np.arange(n)[:, None], 0), axis=0)
    first = np.take_along_axis(rng.random(shape) < share, last, axis=0)
    phi = np.where(first, -1.2, 1.0) + rng.uniform(-0.6, 0.6, shape)
    psi = 2.0 + rng.uniform(-0.6, 0.6, shape)
    return build(phi, psi).astype(np.float32)


def judged(residues, training, evaluated, **options):
    return compare(peptide(residues), training, evaluated, **options)["torsions"]


def metrics_of(torsions, js_ratio=1.0):
    one = {"n": FRAMES, "failed_fraction": 0.0, "js_data": 0.01, "js_data_ratio": js_ratio}
    return {"iid": {**one, "torsions": torsions}}


def test_the_residue_that_is_wrong_is_named_with_its_ratio():
    wrong = (0.35, 0.65)
    found = judged(6, frames(6, 0), frames(6, 1, weights=wrong))
    assert found["worst"] == "phi, psi of LEU 3"
    row = found["motions"]["phi, psi of LEU 3"]
    # States do not overlap, so what their weights add to JS is that of two bins.
    excess = float(jensen_shannon(np.array(EVEN), np.array(wrong)))
    expected = 1 + excess / row["floor"]
    assert expected > 3
    assert abs(row["ratio"] - expected) < 3 * row["ratio_error"]
    assert row["ratio_error"] < 0.15 * row["ratio"]
    others = [r for label, r in found["motions"].items() if "LEU" not in label]
    assert all(r["ratio"] < 1.15 + r["noise"] for r in others)
    # The plane is that of residue 2, which is right: it is the worst that is followed.
    metrics = metrics_of(found)
    verdict = content.verdict(Metrics.model_validate(metrics), Run())
    assert verdict.level == "poor"
    told = (
        f"worst: phi, psi of LEU 3, {row['ratio']:.1f} ± {row['ratio_error']:.1f} times its floor"
    )
    (line,) = worst_torsions(metrics)
    assert line.startswith(f"iid {told}")
    assert any(told.replace("phi, psi", "φ, ψ") in fact for fact in verdict.facts)


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_of_many_perfect_torsions_is_not_called_bad(seed):
    residues = 25
    found = judged(residues, frames(residues, 2 * seed), frames(residues, 2 * seed + 1, n=5000))
    rows = found["motions"].values()
    ratios = np.array([row["ratio"] for row in rows])
    assert len(rows) == residues
    spread = np.mean([row["floor_std"] / row["floor"] for row in rows])
    assert abs(found["mean"] - 1) < 4 * spread / np.sqrt(residues)
    # Without regard to noise, some torsion would be called worse than a perfect one.
    assert ratios.max() > content.AT_FLOOR
    worst = worst_torsion(found)
    assert worst is not None
    assert worst.beyond < content.AT_FLOOR
    verdict = content.verdict(Metrics.model_validate(metrics_of(found)), Run())
    assert verdict.level == "good"


@pytest.mark.parametrize("lifetime", [20.0, 100.0])
def test_floors_are_by_the_effective_number_of_frames(lifetime):
    """Slow chains of a perfect model: about one, though far from it over a floor of all frames."""
    residues = 12
    sets = [frames(residues, seed, lifetime=lifetime) for seed in (0, 1)]
    slow = judged(residues, *sets)
    fast = judged(residues, *(np.random.default_rng(s).permutation(x) for s, x in enumerate(sets)))
    spread = np.mean([row["floor_std"] / row["floor"] for row in slow["motions"].values()])
    assert abs(slow["mean"] - 1) < 4 * spread / np.sqrt(residues)
    assert fast["mean"] > 1.3 * slow["mean"]


def test_the_noise_of_slow_perfect_torsions_is_what_is_said_of_it():
    ratios, spreads, blamed, sets, residues = [], [], 0, 16, 8
    for seed in range(sets):
        two = [frames(residues, 2 * seed + k, n=5000, lifetime=10.0) for k in (0, 1)]
        found = judged(residues, *two)
        ratios += [row["ratio"] for row in found["motions"].values()]
        spreads += [row["floor_std"] / row["floor"] for row in found["motions"].values()]
        worst = worst_torsion(found)
        assert worst is not None
        blamed += worst.beyond > content.AT_FLOOR
    n = len(ratios)
    assert np.mean(ratios) == pytest.approx(1, abs=4 * np.std(ratios) / np.sqrt(n))
    # The square of one normal number has kurtosis 15: the variance of n of these is known to 14/n.
    assert np.mean(np.square(spreads)) == pytest.approx(np.var(ratios), rel=3 * np.sqrt(14 / n))
    # One in 20 is expected; more than three of 16 have a probability of 1 per cent.
    assert blamed <= 3


def test_chains_that_break_do_not_raise_the_floor_that_judges_them():
    whole = frames(4, 1)
    broken = whole.reshape(200, 100, *whole.shape[1:]).copy()
    broken[50:, :30] = np.nan
    broken = broken.reshape(whole.shape)
    sound, found = (judged(4, frames(4, 0), each, chains=100) for each in (whole, broken))
    for label, row in found["motions"].items():
        assert row["floor"] < 1.3 * sound["motions"][label]["floor"]
        # 22.5 per cent of the frames are where the data never are.
        assert row["js"] > 0.5 * float(jensen_shannon(np.array([1, 0]), np.array([0.775, 0.225])))


def test_the_only_pair_is_left_to_the_plane():
    one = peptide(3)
    inner = ((2, 3), (3, 4), (4, 5), (5, 6))
    assert [m.label for m in torsions_of(one.model_copy(update={"bonds": inner}))] == [
        "phi, psi of ALA 2"
    ]
    system = one.model_copy(update={"bonds": inner})
    assert compare(system, frames(3, 0, n=500), frames(3, 1, n=500))["torsions"] is None


@pytest.mark.parametrize("n", [1, 2, 5])
def test_hardly_any_frames(n):
    found = judged(4, frames(4, 0, n=n), frames(4, 1, n=n))
    assert set(found["motions"]) == {m.label for m in torsions_of(peptide(4))}
    assert all(row["js"] is not None for row in found["motions"].values())


def test_frames_that_all_failed_are_as_far_as_can_be():
    training = frames(4, 0, n=300)
    found = judged(4, training, np.full_like(training, np.nan))
    for row in found["motions"].values():
        assert row["js"] == pytest.approx(np.log(2))


def test_a_system_without_torsions_has_no_table():
    plane = System(name="toy", dim=2, beads=peptide(3).beads[:1], kT=1.0)
    x = np.random.default_rng(0).normal(size=(100, 1, 2))
    assert compare(plane, x, x)["torsions"] is None
    assert worst_torsion(None) is None
    assert torsion_table(Metrics()) is None
    assert worst_torsions({"iid": {"torsions": None}}) == []


def test_the_table_of_the_page_has_a_row_each_and_says_which_is_worst():
    found = judged(5, frames(5, 0), frames(5, 1, weights=(0.35, 0.65)))
    metrics = metrics_of(found) | {"sim": {"torsions": found}}
    table = torsion_table(Metrics.model_validate(metrics))
    assert table is not None
    assert table.sets == ["iid", "simulation"]
    assert [label for label, _ in table.rows] == list(found["motions"])
    assert all(len(cells) == 2 for _, cells in table.rows)
    assert table.notes[1].startswith("simulation worst: φ, ψ of LEU 3")
    assert f"{found['mean']:.1f} on average" in table.notes[0]
