"""The study of `benchmarks/reliability/physics.py`, judged: see there for what each figure is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "reliability" / "physics.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    pytest.importorskip("physical_validation", reason="pip install 'fokker[validation]'")
    folder = tmp_path_factory.mktemp("physics")
    subprocess.run([sys.executable, SCRIPT, folder, "12"], check=True)
    assert (folder / "physics.svg").stat().st_size > 1000
    return json.loads((folder / "physics.json").read_text())


def test_kinetic_energy_has_the_distribution_of_its_temperature(study):
    assert study["kinetic energy, uniform p"] > 1e-3
    assert min(study["kinetic energy, p value of a KS test"]) > 1e-4
    moments = np.array(study["kinetic energy, mean and width off by (standard errors)"])
    assert np.sqrt(np.mean(moments**2)) < 1.8
    assert np.abs(moments).max() < 4.5


def test_two_temperatures_have_boltzmann_weights(study):
    off = np.array(study["ensemble at two temperatures, off by (standard errors)"])
    assert study["ensemble, rms over seeds"] < 1.8
    assert np.abs(off).max() < 4.5


def test_energy_is_conserved_to_second_order_without_friction(study):
    assert study["energy conservation, largest deviation of ratios from order 2"] < 0.2


def test_exact_samples_stay_exact(study):
    assert min(study["exact samples moved by 200 steps, uniform p"].values()) > 1e-4
    assert study["exact samples moved by 200 steps, smallest p"] > 1e-5


def test_measured_step_size_errors_are_those_of_the_markov_operator(study):
    for rows in study["step-size study"].values():
        off = (np.array(rows["error"]) - rows["predicted"]) / rows["standard_error"]
        assert np.abs(off).max() < 4.5


def test_order_of_the_configurational_error(study):
    orders = {name: rows["order"] for name, rows in study["step-size study"].items()}
    assert orders["harmonic, baoab"] is None
    assert orders["harmonic, leimkuhler-matthews"] is None
    wanted = {"baoab": 2, "leimkuhler-matthews": 2, "euler-maruyama": 1}
    for name, order in wanted.items():
        assert orders[f"double well, {name}"] == pytest.approx(order, abs=0.3)
