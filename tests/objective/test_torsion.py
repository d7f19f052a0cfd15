"""Score matching along torsions: what a torsion is, and that the true score is its minimum."""

from itertools import combinations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fokker.model import EnergyModel
from fokker.objective import Evaluation, Molecule, Noised, TorsionOptions
from fokker.process import CosineOptions, VarianceExplodingOptions, VariancePreservingOptions
from tests.helpers.analytic import MOLECULE_MEAN, molecule_gaussian, molecule_mixture
from tests.helpers.tools import bead_features
from tests.objective.test_diffclf import PERTURBATIONS, Perturbed

CHAIN = ((0, 1), (1, 2), (2, 3), (3, 4))
PROCESSES = {
    "vp": VariancePreservingOptions(),
    "ve": VarianceExplodingOptions(),
    "cosine": CosineOptions(),
}
MOLECULES = {"gaussian": molecule_gaussian, "mixture": molecule_mixture}
N = 20_000


def test_a_torsion_turns_a_dihedral_and_nothing_else():
    x = jax.random.normal(jax.random.key(0), (5, 3))
    x = x - x.mean(axis=0)
    u = TorsionOptions().build(Molecule(5, CHAIN)).directions(x)
    assert u.shape == (2, 5, 3)
    np.testing.assert_allclose(jnp.sum(u**2, axis=(1, 2)), 1.0, rtol=1e-5)
    np.testing.assert_allclose(jnp.sum(u, axis=1), 0.0, atol=1e-5)
    np.testing.assert_allclose(jnp.sum(jnp.cross(x[None], u), axis=1), 0.0, atol=1e-5)

    def rates(i, j):
        return (u[:, i] - u[:, j]) @ (x[i] - x[j])

    kept = [pair for pair in combinations(range(5), 2) if pair[1] - pair[0] <= 2]
    for pair in kept:
        np.testing.assert_allclose(rates(*pair), 0.0, atol=1e-5)
    turned, still = np.abs(rates(0, 3))
    assert turned > 1e-3
    assert still < 1e-5
    still, turned = np.abs(rates(1, 4))
    assert turned > 1e-3
    assert still < 1e-5


def test_directions_turn_with_the_molecule():
    objective = TorsionOptions().build(Molecule(5, CHAIN))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    x = jnp.asarray(MOLECULE_MEAN, jnp.float32)
    np.testing.assert_allclose(
        objective.directions(x @ turn.T), objective.directions(x) @ turn.T, atol=1e-5
    )


@pytest.mark.parametrize(
    ("bonds", "expected"),
    [
        ((), 0),
        (((0, 1),), 0),
        (((0, 1), (1, 2)), 0),
        (CHAIN, 2),
        (((0, 1), (1, 2), (2, 3), (2, 4)), 1),
        (((0, 1), (1, 2), (2, 3), (3, 0)), 0),
        (((0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 5)), 2),
        (((3, 4), (4, 2), (2, 0), (0, 1)), 2),
    ],
    ids=["none", "pair", "angle", "chain", "branch", "ring", "ring with a tail", "any order"],
)
def test_rotatable_bonds(bonds, expected):
    assert len(TorsionOptions().build(Molecule(7, bonds)).side) == expected


@eqx.filter_jit
def losses_and_slopes(model, clean, times, key, a, h):
    objective = TorsionOptions().build(Molecule(5, CHAIN))

    def one(x, t, k, a):
        process, features = model.process, bead_features(5)
        noised = Noised.draw(x, t[None], process, features, k, centred=True)
        return objective(Evaluation(Perturbed(model, a, h), process, noised), k)

    def every(a):
        keys = jax.random.split(key, len(clean))
        return jax.vmap(lambda x, t, k: one(x, t, k, a))(clean, times, keys)

    return jax.jvp(every, (a,), (jnp.ones_like(a),))


@pytest.mark.parametrize("make", MOLECULES.values(), ids=MOLECULES)
@pytest.mark.parametrize("options", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize("name", ["scale", "tilt"])
def test_least_at_the_true_score(name, options, make):
    """The mean slope is zero within its error, and any change of the energy raises the mean."""
    model, h = make(options.build()), PERTURBATIONS[name]
    clean = model.sample(jax.random.key(0), N)
    times = jax.random.uniform(jax.random.key(1), (N,), minval=0.02, maxval=0.4)
    found = {
        a: losses_and_slopes(model, clean, times, jax.random.key(2), jnp.asarray(a), h)
        for a in (-5.0, 0.0, 5.0)
    }
    slopes = np.asarray(found[0.0][1], np.float64)
    assert abs(slopes.mean()) < 4.0 * slopes.std() / np.sqrt(N)
    assert np.abs(slopes).mean() > 1e-4
    for a in (-5.0, 5.0):
        change = np.asarray(found[a][0] - found[0.0][0], np.float64)
        assert change.mean() > 4.0 * change.std() / np.sqrt(N)


def test_no_torsion_is_no_term():
    model = molecule_gaussian(VariancePreservingOptions().build())
    assert not isinstance(model, EnergyModel)
    noised = Noised.draw(
        model.sample(jax.random.key(0), 1)[0],
        jnp.asarray([0.1]),
        model.process,
        bead_features(5),
        jax.random.key(1),
        centred=True,
    )
    evaluation = Evaluation(model, model.process, noised)
    assert float(TorsionOptions().build()(evaluation, jax.random.key(0))) == 0.0
