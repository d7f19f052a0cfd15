r"""Energies of neighbourhoods: a sum over beads, each term a small network of what is around it.

    energy(x_t) = sum over beads i  f_i(z of the neighbourhood of i, rho)

The neighbourhood of a bead are the beads nearest to it on average, by bonds or by the fold. Most of
what the energy of a molecule is at small noise is local: how stiff bonds, angles and torsions are,
given the torsions next to them. One network of all coordinates must learn each of these pieces with
every weight it has; here each has weights of its own, and their number grows with the molecule as
the energy does.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..types import Key, Scalar

SIZE, WHOLE = 8, 12
"""Beads of a neighbourhood; and of a molecule that one network sees well as a whole."""

INPUTS = SIZE * (SIZE - 1) // 2 + 8
"""Coordinates of a neighbourhood: all distances and so many volumes. Shapes are the same whatever
the frames are, so that a model can be read without them."""


class PerPlace(eqx.Module):
    """A linear map for each place, as one product: rows of places stay rows.

    Attributes
    ----------
    weight, bias
        Shape (places, n_in, n_out) and (places, 1, n_out).
    """

    weight: Float[Array, "places n_in n_out"]
    bias: Float[Array, "places 1 n_out"]

    @staticmethod
    def random(places: int, n_in: int, n_out: int, key: Key) -> PerPlace:
        """Weights uniform within `1 / sqrt(n_in)`, no bias."""
        weight = jax.random.uniform(key, (places, n_in, n_out), minval=-1.0, maxval=1.0)
        return PerPlace(weight / np.sqrt(n_in), jnp.zeros((places, 1, n_out)))

    def __call__(self, h: Float[Array, "places n_in"]) -> Float[Array, "places n_out"]:
        """Apply the map of each place to its row."""
        return jnp.einsum("pi,pio->po", h, self.weight) + self.bias[:, 0]


class Neighbourhoods(eqx.Module):
    """One small network for each place of a molecule.

    Attributes
    ----------
    coordinates
        Which standardised coordinates each sees; the last ones of a row may be filled up.
    seen
        1 for these, 0 for what a row is filled up with.
    first, second, last
        Layers; the last is zero before training.
    """

    coordinates: Int[np.ndarray, "places inputs"]
    seen: Float[np.ndarray, "places inputs"]
    first: PerPlace
    second: PerPlace
    last: Float[Array, "places width 1"]

    @staticmethod
    def around(
        touches: Bool[np.ndarray, "coordinates beads"],
        apart: Float[np.ndarray, "beads beads"],
        width: int,
        extra: int,
        key: Key,
    ) -> Neighbourhoods | None:
        """Networks around each bead; None if the molecule is small.

        Parameters
        ----------
        touches
            Which beads each coordinate is of; distances come first.
        apart
            Mean distance of any two beads.
        width
            Of the layers.
        extra
            Further inputs, the same for all.
        key
            For the initial weights.
        """
        if len(apart) <= WHOLE:
            return None
        rows = [
            np.flatnonzero(~np.any(np.delete(touches, place, axis=1), axis=1))[:INPUTS]
            for place in _places(apart)
        ]
        filled = np.stack([np.pad(row, (0, INPUTS - len(row))) for row in rows])
        seen = np.stack([np.arange(INPUTS) < len(row) for row in rows])
        one, other = jax.random.split(key)
        return Neighbourhoods(
            filled.astype(np.int32),
            seen.astype(np.float32),
            PerPlace.random(len(rows), INPUTS + extra, width, one),
            PerPlace.random(len(rows), width, width, other),
            jnp.zeros((len(rows), width, 1)),
        )

    def __call__(self, z: Float[Array, " coordinates"], extra: Float[Array, " extra"]) -> Scalar:
        """Energy in kT."""
        own = z[jnp.asarray(self.coordinates)] * self.seen
        same = jnp.broadcast_to(extra, (len(own), len(extra)))
        h = jax.nn.silu(self.first(jnp.concatenate([own, same], axis=1)))
        h = h + jax.nn.silu(self.second(h))
        return jnp.sum(h * self.last[:, :, 0])


def _places(apart: Float[np.ndarray, "beads beads"]) -> list[tuple[int, ...]]:
    """Each bead with those nearest to it on average."""
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :SIZE]
    return [tuple(sorted(row)) for row in nearest.tolist()]
