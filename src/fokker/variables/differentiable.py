"""Collective variables of one frame that can be differentiated, for biases."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import FokkerError
from .base import CollectiveVariable

Value: TypeAlias = Callable[[jax.Array], jax.Array]
"""From the positions of one frame, (beads, dim), to a scalar."""


def differentiable(variable: CollectiveVariable) -> Value:
    """The function of the positions that a variable is, for JAX.

    It equals `KINDS[kind].compute` frame by frame.

    Raises
    ------
    FokkerError
        If the variable is of a kind that is not smooth, or costs too much to differentiate.
    """
    make = _FUNCTIONS.get(variable.kind)
    if make is None:
        raise FokkerError(
            f"collective variable {variable.name!r} is a {variable.kind}, which cannot be biased; "
            f"use one of these: {', '.join(_FUNCTIONS)}."
        )
    return make(variable)


def _dihedral(variable: CollectiveVariable) -> Value:
    beads = np.array(variable.indices)

    def value(x: jax.Array) -> jax.Array:
        a, b, c, d = x[beads]
        u, v, w = b - a, c - b, d - c
        vw = jnp.cross(v, w)
        return jnp.arctan2(jnp.linalg.norm(v) * (u @ vw), jnp.cross(u, v) @ vw)

    return value


def _angle(variable: CollectiveVariable) -> Value:
    beads = np.array(variable.indices)

    def value(x: jax.Array) -> jax.Array:
        a, b, c = x[beads]
        u, v = a - b, c - b
        return jnp.arctan2(jnp.linalg.norm(jnp.cross(u, v)), u @ v)

    return value


def _distance(variable: CollectiveVariable) -> Value:
    i, j = variable.indices
    return lambda x: jnp.linalg.norm(x[i] - x[j])


def _coordinate(variable: CollectiveVariable) -> Value:
    (axis,) = variable.indices
    return lambda x: x[0, axis]


def _radius_of_gyration(variable: CollectiveVariable) -> Value:
    beads, masses = np.array(variable.indices), np.array(variable.values)
    weights = jnp.asarray(masses / masses.sum())

    def value(x: jax.Array) -> jax.Array:
        own = x[beads]
        own = own - weights @ own
        return jnp.sqrt(weights @ jnp.sum(own**2, axis=1))

    return value


_FUNCTIONS: dict[str, Callable[[CollectiveVariable], Value]] = {
    "dihedral": _dihedral,
    "angle": _angle,
    "distance": _distance,
    "coordinate": _coordinate,
    "radius-of-gyration": _radius_of_gyration,
}
