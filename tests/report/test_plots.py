"""The numbers behind the figures, against distributions known in closed form."""

import json
from math import erf, sqrt

import numpy as np
import pytest

from fokker.errors import FokkerError
from fokker.report import gather
from fokker.report.differences import difference, rms
from fokker.system import Bead, CollectiveVariable, System

N = 40_000


def coordinate(axis: int, limits: tuple[float, float] = (-4.0, 4.0)) -> CollectiveVariable:
    return CollectiveVariable(name="xyz"[axis], kind="coordinate", indices=(axis,), limits=limits)


def toy(dim: int, limits: tuple[float, float] = (-4.0, 4.0)) -> System:
    return System(
        name="toy",
        dim=dim,
        beads=(Bead(name="X"),),
        kT=2.0,
        collective_variables=tuple(coordinate(axis, limits) for axis in range(dim)),
        length_unit="",
        centred=False,
    )


def chain(n: int) -> System:
    return System(
        name="chain",
        dim=3,
        beads=tuple(Bead(name=f"C{i}") for i in range(n)),
        kT=2.5,
        bonds=tuple((i, i + 1) for i in range(n - 1)),
    )


def normal(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32)


def two_beads(lengths: np.ndarray) -> np.ndarray:
    frames = np.zeros((len(lengths), 2, 3), np.float32)
    frames[:, 1, 0] = lengths
    return frames


def bin_probabilities(edges: list[float], mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    cumulative = [0.5 * (1.0 + erf((edge - mean) / (std * sqrt(2.0)))) for edge in edges]
    return np.diff(cumulative)


def array(values: list) -> np.ndarray:
    return np.array(values, dtype=float)


def test_profile_of_a_gaussian_is_a_parabola():
    profile = gather(toy(1), {"data": normal(N, 1, 1)})["profiles"]["x"]
    exact = bin_probabilities(profile["edges"])
    expected = -np.log(exact / exact.max())
    energy = array(profile["energy"]["data"])
    counts = N * exact
    full = counts > 50
    assert full.sum() > 30
    # A logarithm of a count c has standard deviation c^(-1/2). The zero of the profile is the bin
    # that happens to be fullest, one of a few near the top. Five standard deviations of the sum.
    tolerance = 5.0 * np.sqrt(1.0 / counts[full] + 1.0 / counts.max())
    assert (np.abs(energy - expected)[full] < tolerance).all()
    # x^2 / 2, up to the width of a bin, far from the noise of the tails.
    centres = 0.5 * (array(profile["edges"])[1:] + array(profile["edges"])[:-1])
    assert np.polyfit(centres[full], energy[full], 2, w=np.sqrt(counts[full]))[0] == pytest.approx(
        0.5, abs=0.02
    )


def test_surface_of_two_independent_coordinates_is_the_sum_of_their_profiles():
    surfaces = gather(toy(2), {"data": normal(N, 1, 2)})["surfaces"]
    px, py = (bin_probabilities(surfaces[axis]["edges"]) for axis in "xy")
    exact = px[:, None] * py[None, :]
    expected = -np.log(exact / exact.max())
    energy = array(surfaces["energy"]["data"])
    counts = N * exact
    full = counts > 50
    assert full.sum() > 100
    # The fullest of about a hundred nearly equal bins of c_max = 100 counts lies about 2.5 standard
    # deviations high, which lifts the whole surface: compare after removing the mean.
    off = (energy - expected)[full]
    off -= np.average(off, weights=counts[full])
    assert (np.abs(off) < 5.0 / np.sqrt(counts[full])).all()


def test_axes_of_a_surface_are_not_exchanged():
    frames = np.zeros((10, 1, 2), np.float32)
    frames[:, 0, 0] = 3.0
    energy = array(gather(toy(2), {"data": frames})["surfaces"]["energy"]["data"])
    ((x_bin, y_bin),) = np.argwhere(np.isfinite(energy))
    assert (x_bin, y_bin) == (56, 32)  # 3 and 0 on 64 bins from -4 to 4


def test_one_dimension_has_no_surface():
    plots = gather(toy(1), {"data": normal(100, 1, 1)})
    assert plots["surfaces"] is None
    assert list(plots["profiles"]) == ["x"]


def test_bond_density_is_the_one_of_its_gaussian():
    mean, std = 0.15, 0.003
    lengths = mean + std * np.random.default_rng(1).normal(size=N)
    bond = gather(chain(2), {"data": two_beads(lengths)})["bonds"]["MOL1-C0 MOL1-C1"]
    width = bond["edges"][1] - bond["edges"][0]
    exact = bin_probabilities(bond["edges"], mean, std)
    found = array(bond["density"]["data"]) * width
    # Multinomial counts: five standard deviations, and two counts for the empty tails.
    error = np.sqrt(exact * (1.0 - exact) / N)
    assert (np.abs(found - exact) < 5.0 * error + 2.0 / N).all()
    assert found.sum() == pytest.approx(1.0 - bond["beyond"]["data"], abs=1e-5)
    assert bond["unit"] == "nm"


def test_angle_is_in_the_right_bin():
    angle = 1.9
    frames = np.zeros((50, 3, 3), np.float32)
    frames[:, 0, 0] = 0.1
    frames[:, 2, 0], frames[:, 2, 1] = 0.2 * np.cos(angle), 0.2 * np.sin(angle)
    (density,) = gather(chain(3), {"data": frames})["angles"].values()
    edges, heights = array(density["edges"]), array(density["density"]["data"])
    (filled,) = np.flatnonzero(heights)
    assert edges[filled] <= angle <= edges[filled + 1]
    assert density["unit"] == "rad"


def test_sets_share_edges_and_keep_their_order():
    sets = {"sim": normal(500, 1, 2), "iid": normal(300, 1, 2), "data": normal(400, 1, 2)}
    plots = gather(toy(2), sets)
    assert list(plots["frames"].items()) == [("data", 400), ("iid", 300), ("sim", 500)]
    for energies in (plots["surfaces"]["energy"], plots["profiles"]["x"]["energy"]):
        assert list(energies) == ["data", "iid", "sim"]
    assert np.shape(plots["surfaces"]["energy"]["sim"]) == (64, 64)


def test_frames_that_are_not_finite_are_counted_and_not_drawn():
    frames = normal(1000, 1, 2)
    broken = np.concatenate([frames, np.full((7, 1, 2), np.nan, np.float32)])
    broken[-1, 0, 0] = np.inf
    whole, part = gather(toy(2), {"data": frames}), gather(toy(2), {"data": broken})
    assert part["not_finite"] == {"data": 7}
    assert whole["not_finite"] == {"data": 0}
    assert part["surfaces"] == whole["surfaces"]
    assert part["profiles"] == whole["profiles"]


def test_a_set_without_any_finite_frame_is_null_and_not_an_error():
    sets = {"data": two_beads(np.linspace(0.1, 0.2, 9)), "sim": two_beads(np.full(5, np.nan))}
    bond = gather(chain(2), sets)["bonds"]["MOL1-C0 MOL1-C1"]
    assert bond["beyond"]["sim"] is None
    assert not np.any(bond["density"]["sim"])


@pytest.mark.parametrize("true", ["data", "reference"])
def test_wild_frames_do_not_squeeze_the_axis_and_are_told(true):
    """Beyond the limits of the data they failed; without data nothing says so."""
    rng = np.random.default_rng(2)
    data = two_beads(0.15 + 0.003 * rng.normal(size=2000))
    wild = two_beads(np.where(np.arange(1000) < 100, 50.0, 0.15 + 0.003 * rng.normal(size=1000)))
    plots = gather(chain(2), {true: data, "sim": wild})
    bond = plots["bonds"]["MOL1-C0 MOL1-C1"]
    width = np.ptp(np.quantile(data[:, 1, 0], [0.0005, 0.9995]))
    assert bond["edges"][-1] - bond["edges"][0] < 3.5 * width
    told = 1000 * bond["beyond"]["sim"] + plots["not_finite"]["sim"]
    assert told == pytest.approx(100, abs=2)
    assert plots["not_finite"]["sim"] == (100 if true == "data" else 0)


def test_profile_tells_the_share_beyond_its_limits():
    frames = np.linspace(-2.0, 2.0, 4001, dtype=np.float32).reshape(-1, 1, 1)
    profile = gather(toy(1, limits=(-1.0, 1.0)), {"data": frames})["profiles"]["x"]
    assert profile["beyond"]["data"] == pytest.approx(0.5, abs=1e-3)


def test_result_is_json_without_nan_and_passes_the_rest_through():
    residual = {"t": np.array([1e-5, 1.0]), "rms": [float("nan"), np.float32(2.0)]}
    relaxation = {"time": [0.0, 1.0], "unit": "ps", "curves": {"a": [1.0, 0.5]}}
    plots = gather(toy(2), {"data": normal(50, 1, 2)}, residual=residual, relaxation=relaxation)
    text = json.dumps(plots, allow_nan=False)
    assert json.loads(text) == plots
    assert plots["residual"] == {"t": [1e-5, 1.0], "rms": [None, 2.0]}
    assert plots["relaxation"] == relaxation
    assert any(None in row for row in plots["surfaces"]["energy"]["data"])


def test_missing_pieces_are_null():
    plots = gather(toy(2), {})
    assert plots["surfaces"] is plots["residual"] is plots["relaxation"] is None
    assert plots["frames"] == plots["bonds"] == plots["angles"] == {}


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ({"training": normal(5, 1, 2)}, "unknown set of frames 'training'"),
        ({"iid": normal(5, 3, 2)}, "the iid frames have 3 beads"),
        ({"sim": normal(5, 1, 3)}, "1 beads in 3 dimension"),
    ],
)
def test_wrong_sets_are_refused(sets, words):
    with pytest.raises(FokkerError, match=words):
        gather(toy(2), sets)


def test_difference_is_the_logarithm_of_the_ratio_of_probabilities():
    p, q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.25, 0.25, 0.25, 0.25])
    # Constants drop out: a free energy is known only up to one.
    found = difference(3.0 - np.log(p), 7.0 - np.log(q))
    np.testing.assert_allclose(found.p, p)
    np.testing.assert_allclose(found.delta, -np.log(p / q))


def test_joined_bins_add_their_probabilities():
    p = np.arange(1.0, 17.0).reshape(4, 4)
    energy = -np.log(p)
    energy[0, 0] = np.nan
    p[0, 0] = 0.0
    found = difference(energy, np.zeros((4, 4)), join=2)
    np.testing.assert_allclose(
        found.p * p.sum(), [[p[:2, :2].sum(), p[:2, 2:].sum()], [p[2:, :2].sum(), p[2:, 2:].sum()]]
    )
    np.testing.assert_allclose(found.q, 0.25)


def test_difference_exists_only_where_both_sets_went():
    empty = np.nan
    found = difference(np.array([0.0, empty, 0.0]), np.array([0.0, 0.0, empty]))
    assert list(found.both) == [True, False, False]
    assert list(np.isfinite(found.delta)) == [True, False, False]


def test_rms_of_two_samples_of_one_distribution_is_its_noise():
    rng = np.random.default_rng(3)
    probability = rng.dirichlet(np.full(400, 5.0))
    n, m = 60_000, 30_000
    with np.errstate(divide="ignore"):
        a, b = (-np.log(rng.multinomial(size, probability)) for size in (n, m))
    found = rms(difference(a, b), n, m)
    assert found is not None
    # A mean of about 400 squares has a relative error of sqrt(2 / 400) = 7 %, its root 3.5 %;
    # four of these.
    assert found[0] / found[1] == pytest.approx(1.0, abs=0.14)


def test_rms_needs_bins_with_enough_frames():
    assert rms(difference(np.zeros(10), np.zeros(10)), 50, 50) is None
