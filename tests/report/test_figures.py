"""What the figures show, read back from the drawn axes."""

from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from fokker.report import figures, panels, surfaces
from fokker.report.records import Density, Plots, Profile, Relaxation, Surfaces, TrainingStep

EDGES = np.linspace(-4.0, 4.0, 9).tolist()


def steps(values: list[float | None]) -> list[TrainingStep]:
    return [TrainingStep(step=100 * i, terms={"dsm": v}) for i, v in enumerate(values)]


def surface(x_bin: int, y_bin: int) -> list[list[float | None]]:
    energy: list[list[float | None]] = [[None] * 8 for _ in range(8)]
    energy[x_bin][y_bin] = 0.0
    return energy


def filled_cells(mesh) -> list[tuple[float, float]]:
    """Lower left corner of every cell that is drawn."""
    coordinates = mesh.get_coordinates()[:-1, :-1]
    shown = ~np.ma.getmaskarray(mesh.get_array()).reshape(coordinates.shape[:2])
    return [tuple(corner) for corner in coordinates[shown]]


def test_a_surface_is_drawn_with_x_across_and_y_up():
    record = Surfaces.model_validate(
        {
            "x": {"name": "x", "edges": EDGES},
            "y": {"name": "y", "edges": EDGES},
            "energy": {"data": surface(7, 2)},
        }
    )
    figure = Figure()
    row = figure.subplots(1, 3)
    surfaces.energy_row(figure, row, record, {"data": np.array(surface(7, 2), dtype=float)})
    assert filled_cells(row[0].collections[0]) == [(3.0, -2.0)]
    assert (row[0].get_xlabel(), row[0].get_ylabel()) == ("x", "y")
    assert [axes.get_visible() for axes in row] == [True, False, False]


def test_differences_mark_what_only_one_set_visits():
    record = Surfaces.model_validate(
        {
            "x": {"name": "x", "edges": EDGES},
            "y": {"name": "y", "edges": EDGES},
            "energy": {"data": surface(0, 0), "sim": surface(6, 4)},
        }
    )
    energies = {name: np.array(e, dtype=float) for name, e in record.energy.items()}
    figure = Figure()
    row = figure.subplots(1, 3)
    surfaces.difference_row(figure, row, record, energies, [None, "sim"], {"data": 9, "sim": 9})
    alone, both = row[1].collections
    # Two bins of width one are joined to one of width two.
    assert sorted(filled_cells(alone)) == [(-4.0, -4.0), (2.0, 0.0)]
    assert sorted(alone.get_array().compressed()) == [0.0, 1.0]
    assert filled_cells(both) == []


def test_angles_are_shown_in_degrees_with_their_density():
    edges = np.linspace(0.0, np.pi, 65)
    heights = np.exp(-0.5 * ((0.5 * (edges[1:] + edges[:-1]) - 2.0) / 0.1) ** 2)
    heights /= heights.sum() * (edges[1] - edges[0])
    record = Density(unit="rad", edges=edges.tolist(), density={"data": heights.tolist()})
    axes = Figure().subplots()
    panels.density(axes, "A B C", record, "angle")
    x, y = axes.lines[0].get_data()
    assert y.sum() * (x[1] - x[0]) == pytest.approx(1.0)
    assert x[y.argmax()] == pytest.approx(np.degrees(2.0), abs=180.0 / 64)
    assert axes.get_xlabel() == "angle (°)"
    assert axes.get_ylabel() == "density (1/°)"


def test_profile_shows_lone_bins_and_the_difference_from_the_data():
    energy = [None, 2.0, None, 0.0, 1.0, None, None, None]
    record = Profile.model_validate(
        {"unit": "nm", "edges": EDGES, "energy": {"data": energy, "iid": energy}}
    )
    above, below = Figure().subplots(2)
    panels.profile(above, below, "distance", record, {"data": 100, "iid": 100})
    dots = above.lines[1]
    assert dots.get_xdata().tolist() == [-2.5]
    assert below.get_xlabel() == "distance (nm)"
    (difference,) = below.lines
    assert np.nanmax(np.abs(difference.get_ydata())) < 1e-12


def test_profile_without_data_has_no_difference():
    record = Profile.model_validate({"edges": EDGES, "energy": {"sim": [0.0] * 8}})
    above, below = Figure().subplots(2)
    panels.profile(above, below, "x", record, {"sim": 100})
    assert len(above.lines) == 2
    assert not below.get_visible()


@pytest.mark.parametrize(
    ("values", "scale"),
    [([9.0, 3.0, 1.0], "log"), ([1.4, 1.39, 1.38], "linear"), ([9.0, -1.0, 0.1], "linear")],
)
def test_training_curves_are_logarithmic_where_it_helps(values, scale):
    axes = Figure().subplots()
    panels.training_curve(axes, "dsm", steps(values), np.array(values))
    assert axes.get_yscale() == scale


def test_training_curves_keep_stages_and_held_out_values_apart():
    log = [
        TrainingStep(stage=s, step=i, terms={"dsm": 1.0}, validation={"dsm": 2.0} if i else None)
        for s in (0, 1)
        for i in range(3)
    ]
    axes = Figure().subplots()
    panels.training_curve(axes, "dsm", log, np.ones(6))
    labels = [line.get_label() for line in axes.lines]
    assert [label for label in labels if not label.startswith("_")] == [
        "stage 0",
        "held out",
        "stage 1",
        "held out",
    ]
    assert axes.lines[2].get_ydata().tolist() == [2.0, 2.0]


def test_running_median_ignores_spikes_and_gaps():
    values = np.ones(100)
    values[50], values[70] = 1e6, np.nan
    np.testing.assert_array_equal(panels.running_median(values), np.ones(100))


@pytest.mark.parametrize(
    ("unit", "scale", "label"), [("", 1.0, "mean φ"), ("rad", 180.0 / np.pi, "mean φ (°)")]
)
def test_relaxation_shows_the_values_to_be_reached(unit, scale, label):
    record = Relaxation(
        time=[0.0, 1.0], curves={"mean phi": [1.0, 0.1]}, targets={"mean phi": 0.003}
    )
    axes = Figure().subplots()
    panels.relaxation_curves(axes, record, unit)
    assert axes.lines[0].get_ydata() == pytest.approx([scale, 0.1 * scale])
    assert axes.lines[1].get_ydata() == pytest.approx([0.003 * scale] * 2)
    assert axes.get_ylabel() == label
    assert axes.get_xlabel() == "time (ps)"


def test_of_many_bonds_the_most_different_are_drawn():
    flat, odd = [0.125] * 8, [0.25] * 4 + [0.0] * 4
    bonds = {
        f"A B{i}": Density.model_validate(
            {"edges": EDGES, "density": {"data": flat, "sim": odd if i == 30 else flat}}
        )
        for i in range(40)
    }
    picture = figures.bond_distributions(Plots(bonds=bonds))
    assert picture is not None
    assert "The 24 of 40 distributions" in picture.caption
    assert "A – B30" in picture.svg
    assert "A – B39" not in picture.svg


def test_a_drawing_is_well_formed_and_carries_no_date():
    picture = figures.training_curves(steps([3.0, None, 1.0]))
    assert picture is not None
    assert ElementTree.fromstring(picture.svg).tag.endswith("svg")
    assert "metadata" not in picture.svg
    assert "DejaVu" not in picture.svg


def test_a_users_matplotlib_settings_do_not_change_a_figure():
    import matplotlib

    plain = figures.training_curves(steps([3.0, 2.0, 1.0]))
    with matplotlib.rc_context({"lines.linewidth": 9.0, "axes.facecolor": "red"}):
        assert figures.training_curves(steps([3.0, 2.0, 1.0])) == plain


@pytest.mark.parametrize(
    "figure",
    [
        figures.free_energy_surfaces,
        figures.free_energy_profiles,
        figures.bond_distributions,
        figures.angle_distributions,
        figures.fokker_planck_residual,
        figures.relaxation,
    ],
)
def test_nothing_to_show_is_no_figure(figure):
    assert figure(Plots()) is None
    assert figures.training_curves([]) is None
