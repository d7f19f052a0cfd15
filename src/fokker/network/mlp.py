"""Multilayer perceptron on raw coordinates, for one- and two-dimensional systems."""

from typing import ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from ..options import Options
from ..types import Features, Key, NoiseLevel, Positions
from .base import (
    NOISE_EMBEDDING_SIZE,
    AbstractNetwork,
    Head,
    NetworkInputs,
    noise_embedding,
    only_one_molecule,
)
from .residual import ResidualTrunk


class MLPOptions(Options):
    """Options of the multilayer perceptron."""

    name: Literal["mlp"] = "mlp"
    rotation_invariant: ClassVar[bool] = False
    any_molecule: ClassVar[bool] = False
    width: int = Field(default=128, ge=1, le=16_384)
    depth: int = Field(default=4, ge=1, le=256, description="residual layers")

    def build(self, inputs: NetworkInputs, head: Head, key: Key) -> "MLP":
        """Return a network for frames of the given shape."""
        only_one_molecule(inputs, self.name)
        _, beads, dim = inputs.frames.shape
        n_out = 1 if head == "energy" else beads * dim
        trunk = ResidualTrunk(
            beads * dim + NOISE_EMBEDDING_SIZE, n_out, self.width, self.depth, key
        )
        return MLP(trunk, head, inputs.degrees_of_freedom)


class MLP(AbstractNetwork):
    """Not invariant to anything.

    The energy head adds the energy of the unit Gaussian at this noise level,
    `|x|^2 / (2 v) + D/2 log v` with `v = alpha^2 + sigma^2`, so that the network starts from a
    normalised density and learns what differs; the field head starts from the gradient of that.
    """

    trunk: ResidualTrunk
    head: Head = eqx.field(static=True)
    degrees_of_freedom: int = eqx.field(static=True)

    def __call__(
        self, x: Positions, level: NoiseLevel, features: Features
    ) -> Float[Array, ""] | Float[Array, "beads dim"]:
        """Evaluate one frame; see `AbstractNetwork`."""
        variance = level.alpha**2 + level.sigma**2
        inputs = jnp.concatenate([x.ravel() / jnp.sqrt(variance), noise_embedding(level)])
        out = self.trunk(inputs)
        if self.head == "score":
            return out.reshape(x.shape)
        if self.head == "field":
            return out.reshape(x.shape) / jnp.sqrt(variance) - x / variance
        base = 0.5 * jnp.sum(x**2) / variance + 0.5 * self.degrees_of_freedom * jnp.log(variance)
        return base + out[0]
