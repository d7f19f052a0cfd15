"""Presets to the letter of arXiv 2506.17139, beside ours."""

import numpy as np
import pytest

from fokker.benchmark.paper import PAPER, reported_as
from fokker.config import parse
from fokker.config.presets import assignment, combine, methods
from fokker.dataset.source import dataset_of
from fokker.dataset.toys import TOYS
from fokker.trajectory import Trajectory

LETTER = [f"paper-{n}" for n in ("diffusion", "two-for-one", "mixture", "fokker-planck", "both")]
MOLECULE = {"system": {"trajectory": ["a.xtc"], "topology": "a.pdb", "temperature": 300.0}}


def configuration(system, method, *changes, effort=1.0):
    given = [MOLECULE] if system == "molecule" else []
    changes = [*given, *(assignment(change) for change in changes)]
    return parse(combine(system, method, changes, effort=effort), "presets")


def test_every_row_of_the_paper_has_a_preset_of_its_letter_that_says_so():
    described = methods()
    assert set(LETTER) <= set(described)
    for name in LETTER:
        assert reported_as(name, LETTER) in PAPER["alanine-dipeptide"]
        assert "paper" in described[name]
        assert described[name.removeprefix("paper-")] != described[name]


@pytest.mark.parametrize("method", LETTER)
@pytest.mark.parametrize("system", ["mixture-2d", "molecule"])
def test_training_is_the_paper_s(system, method):
    config = configuration(system, method)
    assert (config.refinement.steps, config.reweighting.rounds) == (0, 0)
    assert (config.sampling.sampler.name, config.sampling.sampler.steps) == ("euler-maruyama", 1000)
    for expert in config.experts:
        training = expert.training
        assert (training.optimiser, training.weight_decay) == ("adamw", 1e-4)
        assert (training.learning_rate, training.final_learning_rate) == (3e-4, 1e-5)
        assert (training.warmup, training.keep, training.rare) == (0, "last", 0.0)
        assert (training.time_power, training.antithetic) == (1.0, False)
        assert training.batch_size == (128 if system == "mixture-2d" else 1024)
    first = config.experts[0].training.objectives
    regularised = method in ("paper-fokker-planck", "paper-both")
    assert set(first) == ({"dsm", "fokker-planck"} if regularised else {"dsm"})
    assert all(set(expert.training.objectives) == {"dsm"} for expert in config.experts[1:])
    if regularised:
        term = first["fokker-planck"]
        assert (term.form, term.sigma_v, term.time_weight) == ("weak", 1e-4, "none")
        assert (term.time_derivative, term.fraction) == ("three-point", 1.0)


@pytest.mark.parametrize("method", ["paper-mixture", "paper-both"])
def test_experts_above_a_tenth_are_fields_of_molecules_and_energies_of_toys(method):
    of_molecule = configuration("molecule", method)
    assert [expert.interval for expert in of_molecule.experts] == [(0, 0.1), (0.1, 0.6), (0.6, 1)]
    assert [expert.kind for expert in of_molecule.experts] == ["energy", "field", "field"]
    assert {expert.network.embedding for expert in of_molecule.experts} == {"time"}
    of_toy = configuration("mixture-2d", method)
    assert {expert.kind for expert in of_toy.experts} == {"energy"}
    assert [e.network.widths for e in of_toy.experts] == [(64, 64, 64), (64, 64), (54, 54)]


def test_what_a_system_says_of_the_steps_of_a_method_is_a_share_and_effort_multiplies():
    full, less = (configuration("mixture-2d", "paper-mixture", effort=e) for e in (1.0, 0.5))
    assert [e.training.steps for e in full.experts] == [94_000, 23_500, 23_500]
    assert [e.training.steps for e in less.experts] == [47_000, 11_750, 11_750]
    changed = configuration("mixture-2d", "paper-mixture", "experts.1.training.steps=7")
    assert changed.experts[1].training.steps == 7


def test_toys_of_the_letter_are_not_scaled():
    assert not configuration("mixture-2d", "paper-both").system.scaled
    config = configuration("mixture-2d", "paper-diffusion")
    trajectory = Trajectory(np.full((40, 1, 2), 3.0, np.float32), TOYS["mixture-2d"].system)
    trajectory.positions[::2] += 1.0
    found = dataset_of(config, trajectory)
    np.testing.assert_array_equal(np.unique(found.training), [3.0, 4.0])
    ours = dataset_of(configuration("mixture-2d", "diffusion"), trajectory)
    assert np.isclose(ours.training.std(), 1.0, atol=1e-3)


def test_our_presets_are_what_they_were():
    both = configuration("mixture-2d", "both")
    assert [(e.kind, e.network.name) for e in both.experts] == [("energy", "mlp")] * 3
    assert both.experts[0].training.objectives["fokker-planck"].time_derivative == "exact"
    assert both.experts[0].training.midpoint is None


def test_the_paper_s_row_stands_beside_its_letter_if_a_table_has_it():
    assert reported_as("both", ["both", "mixture"]) == "both"
    assert reported_as("both", ["both", "paper-both"]) not in PAPER["mueller-brown"]
    assert reported_as("paper-both", ["both", "paper-both"]) == "both"
