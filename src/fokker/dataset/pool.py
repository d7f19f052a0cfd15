"""Training frames on the device, of one molecule or of many, and how a batch is drawn of them."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..types import ForceLabels, Key

TURN = 2**30
"""Probability one, in the whole numbers that draws are made with: float32 has 24 bits, too few to
tell ten million frames apart."""


class Shares(NamedTuple):
    """Which frames belong to which molecule, and how often each molecule is drawn.

    Attributes
    ----------
    molecule
        Number of each molecule that takes part, by which its features are found.
    first, count
        Its frames are `first` to `first + count - 1`.
    edges
        A place from 0 to `TURN` is of the molecule between whose two edges it lies; see `edges_of`.
    """

    molecule: Int[Array, " molecules"]
    first: Int[Array, " molecules"]
    count: Int[Array, " molecules"]
    edges: Int[Array, " edges"]


class Emphasis(NamedTuple):
    """How often each frame is drawn, and what it counts for then.

    That its frames do not count alike, because they are of a biased simulation, is in how often
    they are drawn; what they count for is about one if none is emphasised besides.

    Attributes
    ----------
    edges
        A place from 0 to `TURN` is of the frame between whose two edges it lies; see `edges_of`.
    weight
        By how much each is drawn more seldom than if all of its molecule were drawn alike, or by
        their weights.
    """

    edges: Int[Array, " edges"]
    weight: Float[Array, " frames"]


class Pool(eqx.Module):
    """Frames that batches are drawn of.

    Attributes
    ----------
    frames
        Scaled, shape (frames, beads, dim); zero where padded.
    shares
        None if all are of one molecule.
    emphasis
        None if all frames of a molecule are drawn alike.
    by_weight
        The same of frames of which none is emphasised; None if all of a molecule count alike.
    labels
        Forces that are known in the frames; None if there are none at all.
    """

    frames: Float[Array, "frames beads dim"]
    shares: Shares | None = None
    emphasis: Emphasis | None = None
    by_weight: Emphasis | None = None
    labels: ForceLabels | None = None

    @property
    def unemphasised(self) -> Pool:
        """The same frames, drawn alike or by their weights."""
        return dataclasses.replace(self, emphasis=self.by_weight)

    def weights(self, index: Int[Array, "*batch"]) -> Float[Array, "*batch"] | None:
        """What the losses of frames count for; None if all count alike."""
        return None if self.emphasis is None else self.emphasis.weight[index]

    def pick(self, key: Key, size: int) -> tuple[Int[Array, " batch"], Int[Array, " batch"] | None]:
        """Frames of a batch and the molecule of each; None if there is one.

        A molecule is drawn by its share, however many frames it has, then a frame of it. The shares
        are kept to within one frame in every batch: an independent draw of each frame would only
        add noise.
        """
        order, within, frame = jax.random.split(key, 3)
        if self.shares is None and self.emphasis is None:
            return jax.random.randint(frame, (size,), 0, len(self.frames)), None
        places = jax.random.permutation(order, _spread(within, size))
        if self.emphasis is not None:
            row = between(self.emphasis.edges, places)
            if self.shares is None:
                return row, None
            whose = jnp.searchsorted(self.shares.first, row, side="right") - 1
            return row, self.shares.molecule[whose]
        assert self.shares is not None
        whose = between(self.shares.edges, places)
        step = jax.random.randint(frame, (size,), 0, self.shares.count[whose])
        return self.shares.first[whose] + step, self.shares.molecule[whose]


def edges_of(shares: Float[np.ndarray, " items"]) -> Int[np.ndarray, " edges"]:
    """Cut `TURN` in one piece for each item, by its share, none of them empty.

    Parameters
    ----------
    shares
        How often each item is to be drawn, in any unit.
    """
    n = len(shares)
    total = np.concatenate([[0.0], np.cumsum(shares, dtype=np.float64)])
    edges = np.rint(total * (TURN / total[-1])).astype(np.int64)
    steps = np.arange(n + 1)
    edges = np.maximum.accumulate(edges - steps) + steps
    return np.minimum(edges, TURN - n + steps).astype(np.int32)


def between(edges: Int[Array, " edges"], places: Int[Array, "*places"]) -> Int[Array, "*places"]:
    """Item of each place below `TURN`."""
    return jnp.searchsorted(edges, places, side="right").astype(jnp.int32) - 1


def _spread(key: Key, size: int) -> Int[Array, " size"]:
    """Places below `TURN`, one in each of equal parts that begin anywhere."""
    start, within = jax.random.split(key)
    width = TURN // size
    inside = jax.random.randint(within, (size,), 0, width)
    return (jnp.arange(size) * width + inside + jax.random.randint(start, (), 0, TURN)) % TURN
