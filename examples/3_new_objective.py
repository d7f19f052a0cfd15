"""Write an objective of your own and see whether it finds the right score.

    python examples/3_new_objective.py [--quick]

The objective is implicit score matching (Hyvarinen 2005) along a random direction v (Song et al.,
arXiv 1905.07088): `1/2 |s|^2 + v . ds/dx v`. It needs no noise as a target, only the derivative of
the score. To make it an objective that configurations know, see CONTRIBUTING.md.
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from fokker.model import EnergyModel
from fokker.network import MLPOptions, NetworkInputs
from fokker.objective import AbstractObjective, DenoisingOptions, Evaluation, Noised
from fokker.potential import bimodal_2d
from fokker.process import VariancePreservingOptions
from fokker.types import Features, Key, Scalar, Time

STEPS = 20 if "--quick" in sys.argv else 2000
TIMES = (0.05, 0.5)


# 1. The objective. It is given the model on one noised frame and returns one number. The noise
#    scale sigma^2 makes all times count alike, as in denoising score matching.
class SlicedScoreMatching(AbstractObjective):
    """`sigma^2 (|s|^2 / 2 + v . (ds/dx) v) / D`, v a random direction."""

    @property
    def times_per_frame(self) -> int:
        """One time."""
        return 1

    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """See `AbstractObjective`."""
        noised, model = evaluation.noised, evaluation.model
        x, t = noised.frames[0], noised.times[0]
        v = noised.project(jax.random.normal(key, x.shape))
        score, change = jax.jvp(lambda y: model.score(y, t, noised.features), (x,), (v,))
        value = 0.5 * jnp.sum(score**2) + jnp.sum(v * change)
        return evaluation.process.sigma(t) ** 2 * value / noised.degrees_of_freedom


# 2. Data with a score that is known: two Gaussians in the plane, one bead.
target, process = bimodal_2d(), VariancePreservingOptions().build()
frames = target.sample(jax.random.key(0), 10_000)
features = Features(kind=jnp.zeros(1, int), present=None, separation=jnp.zeros((1, 1), int))


# 3. Train with one objective.
def train(objective: AbstractObjective) -> EnergyModel:
    """Fit a small energy network."""
    inputs = NetworkInputs(np.asarray(frames[:100]), bonds=(), degrees_of_freedom=2)
    network = MLPOptions(width=32, depth=2).build(inputs, "energy", jax.random.key(1))
    optimiser = optax.adam(optax.cosine_decay_schedule(2e-3, STEPS))

    def loss(model, batch, times, keys):
        def one(x, t, key):
            noise, probe = jax.random.split(key)
            noised = Noised.draw(x, t[None], process, features, noise, centred=False)
            return objective(Evaluation(model, process, noised), probe)

        return jnp.mean(jax.vmap(one)(batch, times, keys))

    @eqx.filter_jit
    def step(model, state, key):
        pick, when, noise = jax.random.split(key, 3)
        batch = frames[jax.random.randint(pick, (256,), 0, len(frames))]
        times = jax.random.uniform(when, (256,), minval=TIMES[0], maxval=TIMES[1])
        gradient = eqx.filter_grad(loss)(model, batch, times, jax.random.split(noise, 256))
        updates, state = optimiser.update(gradient, state)
        return eqx.apply_updates(model, updates), state

    model = EnergyModel(network, process)
    state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    for i in range(STEPS):
        model, state = step(model, state, jax.random.fold_in(jax.random.key(2), i))
    return model


# 4. Compare with the exact score at frames that were not trained on.
@eqx.filter_jit
def error(model: EnergyModel, t: Time) -> Scalar:
    """Mean square difference from the exact score, over the mean square of the score."""
    alpha, sigma = process.level(t)
    x = alpha * target.sample(jax.random.key(3), 2000)
    x = x + sigma * jax.random.normal(jax.random.key(4), x.shape)
    exact = jax.vmap(lambda y: target.score(y, alpha, sigma))(x)
    found = jax.vmap(lambda y: model.score(y, t, features))(x)
    return jnp.mean((found - exact) ** 2) / jnp.mean(exact**2)


for name, objective in (
    ("sliced score matching", SlicedScoreMatching()),
    ("denoising score matching", DenoisingOptions().build()),
):
    model = train(objective)
    errors = ", ".join(f"{100 * error(model, jnp.asarray(t)):.1f} % at t = {t}" for t in (0.1, 0.4))
    print(f"{name}: error of the score {errors}")
