r"""The Fokker-Planck residual of an energy model, exact and estimated.

A density with `log q = -energy` obeys the Fokker-Planck equation of `dx = f x dt + g dW` where

    R = 1/2 g^2 (div score + |score|^2) - f <x, score> - D f - d/dt log q

is zero (arXiv 2506.17139; arXiv 2210.04296 for the equation in this form). For centred molecules
all of it lives in the centre-of-mass-free space: positions, scores and probes are projected on it,
so an energy that is not translation invariant is taken at the centred frame, and `D = dim (N - 1)`.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..model import AbstractEnergy
from ..network.padding import centre, count, keep
from ..process import AbstractProcess
from ..types import Features, Positions, Scalar, Time

TimeDerivative: TypeAlias = Literal["exact", "finite", "three-point"]

_AHEAD, _BEHIND = 5e-4, 1e-3
"""Steps of the three-point formula."""

_FIRST, _LAST = 1e-5, 1.0
"""Times outside are taken for the nearer end: no process goes further."""


def exact_residual(
    model: AbstractEnergy,
    process: AbstractProcess,
    x: Positions,
    t: Time,
    features: Features,
    *,
    centred: bool,
) -> Scalar:
    """Residual with the exact divergence, D forward-mode derivatives of the score.

    Parameters
    ----------
    model
        The energy to judge.
    process
        The process whose equation it should obey.
    x
        Noised frame in scaled coordinates, shape (beads, dim).
    t
        Diffusion time of the frame.
    features
        Identity of each bead, shape (beads,).
    centred
        Whether translation is removed.

    Returns
    -------
    Scalar
        R, per unit of diffusion time.
    """
    x = _project(x, features, centred)
    (_, score), tangent = _linearise(model, x, t, features)
    basis = _basis(x, features, centred)
    still = jnp.zeros_like(t)
    along = jax.vmap(lambda v: jnp.sum(v * tangent(v, still)[1]))(basis)
    energy_dot, _ = tangent(jnp.zeros_like(x), jnp.ones_like(t))
    score, degrees = _project(score, features, centred), _degrees(x, features, centred)
    return _assemble(process, x, t, score, jnp.sum(along), energy_dot, degrees)


def strong_residuals(
    model: AbstractEnergy,
    process: AbstractProcess,
    x: Positions,
    t: Time,
    features: Features,
    probes: Float[Array, "probes beads dim"],
    *,
    centred: bool,
) -> Float[Array, " probes"]:
    """One unbiased estimate of the residual a probe, by `div score = E[v . d score(x) v]`.

    The score is linearised once (forward mode over its reverse mode); a probe and the time
    derivative each cost one product with that linear map. Probes have unit covariance
    (Hutchinson 1989) and are projected here.
    """
    x = _project(x, features, centred)
    (_, score), tangent = _linearise(model, x, t, features)
    energy_dot, _ = tangent(jnp.zeros_like(x), jnp.ones_like(t))
    score, degrees = _project(score, features, centred), _degrees(x, features, centred)
    probes = _project(probes, features, centred)
    # Unrolled: a vmap over the two probes is slower on a CPU than two products.
    divergences = [jnp.sum(v * tangent(v, jnp.zeros_like(t))[1]) for v in probes]
    return jnp.stack(
        [_assemble(process, x, t, score, div, energy_dot, degrees) for div in divergences]
    )


def weak_residuals(
    model: AbstractEnergy,
    process: AbstractProcess,
    x: Positions,
    t: Time,
    features: Features,
    probes: Float[Array, "probes beads dim"],
    *,
    centred: bool,
    sigma_v: float,
    time_derivative: TimeDerivative,
) -> Float[Array, " probes"]:
    """One estimate of the residual a probe from first derivatives only.

    With `v = sigma_v probe`, the divergence is `<v / sigma_v, score(x + v) - score(x - v)> /
    (2 sigma_v)` and all else is taken at x + v (arXiv 2506.17139, theorem 1); the bias is of order
    `sigma_v^2`. In float32 the difference of scores keeps about three digits at sigma_v = 1e-4.
    Probes are Gaussian with unit covariance and are projected here.
    """
    x, degrees = _project(x, features, centred), _degrees(x, features, centred)

    def residual(probe: Positions) -> Scalar:
        ahead, behind = x + sigma_v * probe, x - sigma_v * probe
        score = _project(model.score(ahead, t, features), features, centred)
        difference = score - model.score(behind, t, features)
        divergence = jnp.sum(probe * difference) / (2.0 * sigma_v)
        energy_dot = _time_derivative(model, ahead, t, features, time_derivative)
        return _assemble(process, ahead, t, score, divergence, energy_dot, degrees)

    return jax.vmap(residual)(_project(probes, features, centred))


def _assemble(
    process: AbstractProcess,
    x: Positions,
    t: Time,
    score: Positions,
    divergence: Scalar,
    energy_dot: Scalar,
    degrees: int | Int[Array, ""],
) -> Scalar:
    f, g2 = process.drift(t), process.diffusion_squared(t)
    spread = 0.5 * g2 * (divergence + jnp.sum(score**2))
    return spread - f * (jnp.sum(x * score) + degrees) + energy_dot


def _linearise(model: AbstractEnergy, x: Positions, t: Time, features: Features):
    """Energy and score at (x, t), and the linear map from (dx, dt) to their change."""
    return jax.linearize(lambda y, s: model.energy_and_score(y, s, features), x, t)


def _time_derivative(
    model: AbstractEnergy, x: Positions, t: Time, features: Features, kind: TimeDerivative
) -> Scalar:
    """`d energy / dt`.

    The finite difference is central. Its step is a quarter of t, at most 1e-3: a fixed step of 1e-3
    would reach past zero from every t below it, and networks vary on the scale of log t there. The
    three-point formula is that of arXiv 2506.17139, which does so: of second order in steps of 5e-4
    ahead and 1e-3 back, and wrong where t is less.
    """

    def energy(s: Time) -> Scalar:
        return model.energy(x, s, features)

    if kind == "exact":
        return jax.jvp(energy, (t,), (jnp.ones_like(t),))[1]
    if kind == "three-point":
        ahead, behind = jnp.minimum(t + _AHEAD, _LAST), jnp.maximum(t - _BEHIND, _FIRST)
        change = _BEHIND**2 * (energy(ahead) - energy(t)) + _AHEAD**2 * (energy(t) - energy(behind))
        return change / (_AHEAD * _BEHIND * (_AHEAD + _BEHIND))
    step = jnp.minimum(0.25 * t, 1e-3)
    return (energy(t + step) - energy(t - step)) / (2.0 * step)


def _project(x: Float[Array, "*probes beads dim"], features: Features, centred: bool):
    return (centre if centred else keep)(x, features.present)


def _degrees(x: Positions, features: Features, centred: bool) -> int | Int[Array, ""]:
    return x.shape[1] * (count(features.present, x.shape[0]) - int(centred))


def _basis(x: Positions, features: Features, centred: bool) -> Float[Array, "vectors beads dim"]:
    """Vectors b with `sum b b^T` the projection on the space the density lives in.

    An orthonormal basis of it or, where beads are padded, every axis projected.
    """
    beads, dim = x.shape
    rows = np.eye(beads)
    if centred and features.present is None:
        differences = rows[1:] - rows[:-1]
        rows = np.linalg.qr(differences.T)[0].T
    vectors = jnp.asarray(np.kron(rows, np.eye(dim)).reshape(-1, beads, dim), x.dtype)
    return vectors if features.present is None else _project(vectors, features, centred)
