"""The files of CONTRIBUTING.md pass the checks that the package's own parts pass."""

import importlib
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from fokker import FokkerError
from fokker.variables import KINDS
from tests import test_architecture
from tests.adapters.test_adapters import evaluate, frames, loaded, run, truth  # noqa: F401
from tests.dynamics import test_integrators
from tests.metrics import test_floor
from tests.network import test_conformance as networks
from tests.objective import test_time
from tests.objective.test_residual import two_wells
from tests.process import test_process
from tests.sampler import test_conformance as samplers
from tests.variables import test_variables
from tests.variables.test_variables import context, trajectory  # noqa: F401

pytestmark = pytest.mark.documentation

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```python\n# (src/fokker/\S+)\n(.*?)^```$", PAGE, re.M | re.S))
EACH_FILE = pytest.mark.parametrize("name", FILES)


def named(part: str) -> str:
    """Path of the file of a package, for example of `process`."""
    (name,) = [name for name in FILES if name.startswith(f"src/fokker/{part}/")]
    return name


def load(part: str) -> types.ModuleType:
    """Import the file of a package as if it stood there."""
    name = named(part)
    module = types.ModuleType(name[4:-3].replace("/", "."))
    module.__package__ = module.__name__.rpartition(".")[0]
    importlib.import_module(module.__package__)
    sys.modules[module.__name__] = module  # where pydantic looks for the names in annotations
    try:
        exec(compile(FILES[name], name, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module


def test_every_kind_of_part_has_a_file():
    parts = {Path(name).parts[2] for name in FILES}
    assert parts == {
        "process",
        "network",
        "objective",
        "sampler",
        "dynamics",
        "metrics",
        "variables",
        "adapters",
    }
    assert not [name for name in FILES if (ROOT / name).exists()]


@EACH_FILE
def test_files_are_linted_and_formatted(name):
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"],
            input=FILES[name],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@EACH_FILE
def test_files_keep_the_rules_of_the_tree(name, tmp_path, monkeypatch):
    monkeypatch.setattr(test_architecture, "PACKAGE", tmp_path)
    path = tmp_path / Path(name).relative_to("src/fokker")
    path.parent.mkdir()
    path.write_text(FILES[name])
    test_architecture.test_arrows_point_one_way(path)
    test_architecture.test_concrete_classes_are_never_subclassed(path)
    test_architecture.test_nothing_is_unpickled_or_evaluated(path)


def test_layers_are_those_that_are_enforced():
    (drawn,) = re.findall(r"^```\n(__main__\n.*?)^```$", PAGE, re.M | re.S)
    rows = [set(row.split()) for row in drawn.splitlines()]
    assert rows == [set(names) for names in reversed(test_architecture.LAYERS)]


def test_places_of_the_table_exist():
    for place in re.findall(r"`((?:src|tests|docs)/[\w/.]+)`", PAGE):
        assert (ROOT / place).exists(), place
    for target in re.findall(r"\]\(([\w/.]+\.md)\)", PAGE):
        assert (ROOT / target).exists(), target


def test_a_process():
    options = load("process").LinearOptions(final_alpha=0.05)
    test_process.test_signal_to_noise_falls(options)
    test_process.test_starts_at_the_data(options)
    test_process.test_drift_and_diffusion_are_derivatives_of_the_marginals(options)
    test_process.test_float32_keeps_its_digits_near_zero(options)
    test_process.test_the_forward_equation_has_the_stated_marginals(options)


@pytest.mark.parametrize("head", ["energy", "score"])
def test_a_network(head, monkeypatch):
    monkeypatch.setitem(networks.NETWORKS, "mine", load("network").RandomFeaturesOptions(width=16))
    monkeypatch.setattr(networks, "PROCESSES", networks.PROCESSES[:1])
    networks.test_shape_follows_the_head("mine", head)
    networks.test_finite_at_every_time_in_float32("mine", head)
    networks.test_training_gradient_reaches_every_weight("mine", head)
    networks.test_frames_of_a_batch_do_not_see_each_other("mine", head)
    if head == "energy":
        networks.test_training_leaves_constants_alone("mine")
        networks.test_energy_starts_as_a_base_without_weights("mine")
        networks.test_initial_energy_is_normalised_as_noise_takes_over("mine")
        networks.test_energy_tells_a_molecule_from_its_mirror_image("mine")


def test_an_objective():
    options = load("objective").LikelihoodOptions()
    test_time.test_stationary_at_the_true_energies(options, test_time.SCALE, two_wells, False)
    true_loss, _ = test_time.draw(options, two_wells, test_time.SCALE, False, 0.0)
    for a in (-3.0, 3.0):
        changed, _ = test_time.draw(options, two_wells, test_time.SCALE, False, a)
        mean, error = test_time.mean_and_error(changed - true_loss)
        assert mean > 4.0 * error


def test_a_sampler(monkeypatch):
    # 0.0075 in a standard deviation, by the product of its factors for Gaussians of 0.1 to 1.
    monkeypatch.setitem(samplers.SAMPLERS, "mine", (load("sampler").DDIMOptions(), 0.008))
    samplers.test_moments_and_mode_weights("mine", "vp")


def test_an_integrator():
    options = load("dynamics").ABOBAOptions
    test_integrators.test_every_option_has_a_description(options)
    test_integrators.test_init_draws_maxwell_boltzmann_velocities(options)
    test_integrators.test_step_keeps_shape_and_dtype_under_jit_and_vmap(options)
    test_integrators.test_one_force_evaluation_a_step(options)
    test_integrators.test_harmonic_variance_at_a_small_step(options)
    test_integrators.test_force_free_diffusion_constant(options)


def test_a_metric():
    module = load("metrics")
    test_floor.test_floor_of_two_bins_by_enumeration(module.hellinger_floor, module.hellinger)
    p, q = np.array([3, 1, 0]), np.array([0, 0, 7])
    assert module.hellinger(p, 5 * p) == 0.0
    assert module.hellinger(p, q) == pytest.approx(1.0)
    assert module.hellinger(np.stack([p, q]), np.stack([q, q])).shape == (2,)


def test_a_collective_variable(context, trajectory, monkeypatch):  # noqa: F811
    monkeypatch.setitem(KINDS, "shape-anisotropy", None)  # taken away again after the test
    each = {"mine": load("variables").ShapeAnisotropyChoice().build(context)}
    for check in (
        test_variables.test_every_kind_is_invariant_periodic_or_not_and_survives_json,
        test_variables.test_diverged_frames_are_not_finite_and_change_no_other,
    ):
        check(each, trajectory, "mine")
    kind = KINDS["shape-anisotropy"]
    line = np.arange(9.0).reshape(1, 3, 3) * np.array([1.0, 2.0, -1.0])
    tetrahedron = np.array([[[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]], float)
    assert kind.compute(line, (0, 1, 2), ()) == pytest.approx(1.0)
    assert kind.compute(tetrahedron, (0, 1, 2, 3), ()) == pytest.approx(0.0, abs=1e-12)


class Lammps:
    """Keeps the energy that a callback reports."""

    def fix_external_set_energy_global(self, fix, energy):
        assert fix == "fokker"
        self.energy = energy


def test_an_engine(loaded, frames, truth):  # noqa: F811
    """In kcal/mol and angstrom, and with the atoms in another order."""
    call, lammps = load("adapters").callback(loaded), Lammps()
    order = np.array([3, 0, 4, 1, 2])
    forces = np.full((5, 3), np.nan)
    call(lammps, 0, 5, order + 1, frames[0][order] * 10.0, forces)
    energy, expected = truth[0][0], truth[1][0][order]
    assert lammps.energy * 4.184 == pytest.approx(energy, rel=1e-4)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(forces * 4.184 * 10.0, expected, rtol=1e-3, atol=1e-3 * scale)
    with pytest.raises(FokkerError, match="4 atoms do not fit"):
        call(lammps, 0, 4, order[:4] + 1, np.zeros((4, 3)), forces[:4])


def test_a_file_that_is_wrong_is_found(monkeypatch):
    """The checks above run the text of the page, not something else of that name."""
    wrong = FILES[named("process")].replace("return t\n", "return 1.0 - t\n")
    monkeypatch.setitem(FILES, named("process"), wrong)
    with pytest.raises(AssertionError):
        test_process.test_starts_at_the_data(load("process").LinearOptions())
