"""Free energies and kinetic temperature: closed forms."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from fokker.errors import FokkerError
from fokker.metrics import (
    free_energies_1d,
    free_energy_1d,
    free_energy_2d,
    kinetic_temperature,
)
from fokker.system import Bead, CollectiveVariable, System
from fokker.units import BOLTZMANN


def test_counts_give_energies_and_empty_bins_are_nan():
    values = np.array([0.5] * 4 + [1.5] + [3.5] * 2 + [np.nan, np.inf, 9.0])
    edges, energy = free_energy_1d(values, (0.0, 4.0), bins=4, kT=2.0)
    np.testing.assert_allclose(edges, np.arange(5.0))
    expected = [0.0, 2 * math.log(4), np.nan, 2 * math.log(2)]
    np.testing.assert_allclose(energy, expected, atol=1e-15)


def test_gaussian_quantiles_give_a_parabola():
    values = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    edges, energy = free_energy_1d(values, (-2.05, 2.05), bins=41, kT=2.5)
    centres = 0.5 * (edges[1:] + edges[:-1])
    # Averaging exp(-x^2/2) over a bin of width 0.1 shifts x^2/2 by at most 0.1^2 / 24 * |x^2 - 1|,
    # and a count (at least 1000) is right to 1: together below 3e-3 kT.
    np.testing.assert_allclose(energy, 2.5 * 0.5 * centres**2, atol=2.5 * 3e-3)


def test_surface():
    x, y = np.array([0.5, 0.5, 1.5, np.nan]), np.array([0.5, 0.5, 1.5, 0.5])
    surface = free_energy_2d(x, y, ((0.0, 2.0), (0.0, 2.0)), bins=2)
    np.testing.assert_allclose(surface.energy, [[0.0, np.nan], [np.nan, math.log(2)]])
    assert len(surface.x_edges) == len(surface.y_edges) == 3
    assert np.isnan(free_energy_2d(x + 5, y, ((0.0, 2.0), (0.0, 2.0)), bins=2).energy).all()


def test_every_collective_variable_in_the_units_of_the_system():
    system = System(
        name="toy",
        dim=2,
        kT=3.0,
        beads=(Bead(name="X"),),
        centred=False,
        collective_variables=tuple(
            CollectiveVariable(name=name, kind="coordinate", indices=(axis,), limits=(0, 2))
            for axis, name in enumerate("xy")
        ),
    )
    frames = np.array([[[0.5, 0.5]], [[0.5, 1.5]], [[1.5, 1.5]]])
    profiles = free_energies_1d(system, frames, bins=2)
    np.testing.assert_allclose(profiles["x"].energy, [0.0, 3 * math.log(2)], atol=1e-15)
    np.testing.assert_allclose(profiles["y"].energy, [3 * math.log(2), 0.0], atol=1e-15)


def test_kinetic_temperature_by_equipartition():
    # E_kin = kT/2 times a chi-squared variable of D degrees of freedom: relative spread sqrt(2/D).
    rng = np.random.default_rng(0)
    dof, n = 12, 20_000
    energy = 0.5 * BOLTZMANN * 300.0 * rng.chisquare(dof, size=n)
    mean, error = kinetic_temperature(energy, dof)
    exact_error = 300.0 * math.sqrt(2 / dof / n)
    assert mean == pytest.approx(300.0, abs=4 * exact_error)
    # An error from 20 block means is itself uncertain by 1 / sqrt(2 * 19) = 16 %.
    assert error == pytest.approx(exact_error, rel=0.5)
    # Correlation: the same values, each five times in a row, leave the error as it was.
    assert kinetic_temperature(np.repeat(energy, 5), dof).standard_error == pytest.approx(error)


def test_kinetic_temperature_needs_frames():
    with pytest.raises(FokkerError, match="needs 2 frames"):
        kinetic_temperature(np.ones(1), 3)
