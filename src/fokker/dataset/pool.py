"""Training frames on the device, of one molecule or of many, and how a batch is drawn of them."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..types import ForceLabels, Key


class Shares(NamedTuple):
    """Which frames belong to which molecule, and how often each molecule is drawn.

    Attributes
    ----------
    molecule
        Number of each molecule that takes part, by which its features are found.
    first, count
        Its frames are `first` to `first + count - 1`.
    cumulative
        Sum of the probabilities of the molecules up to each; the last is 1.
    """

    molecule: Int[Array, " molecules"]
    first: Int[Array, " molecules"]
    count: Int[Array, " molecules"]
    cumulative: Float[Array, " molecules"]


class Emphasis(NamedTuple):
    """How often each frame is drawn, and what it counts for then.

    Attributes
    ----------
    cumulative
        Sum of the probabilities of the frames up to each; the last is 1.
    weight
        By how much each is drawn more seldom than if all of its molecule were drawn alike.
    """

    cumulative: Float[Array, " frames"]
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
    labels
        Forces that are known in the frames; None if there are none at all.
    """

    frames: Float[Array, "frames beads dim"]
    shares: Shares | None = None
    emphasis: Emphasis | None = None
    labels: ForceLabels | None = None

    def weights(self, index: Int[Array, "*batch"]) -> Float[Array, "*batch"] | None:
        """What the losses of frames count for; None if all count alike."""
        return None if self.emphasis is None else self.emphasis.weight[index]

    def pick(self, key: Key, size: int) -> tuple[Int[Array, " batch"], Int[Array, " batch"] | None]:
        """Frames of a batch and the molecule of each; None if there is one.

        A molecule is drawn by its share, however many frames it has, then a frame of it. The shares
        are kept to within one frame in every batch: an independent draw of each frame would only
        add noise.
        """
        if self.emphasis is not None:
            places = (jnp.arange(size) + jax.random.uniform(key, (size,))) / size
            places = jax.random.permutation(jax.random.fold_in(key, 1), places)
            row = jnp.searchsorted(self.emphasis.cumulative, places, side="right")
            row = jnp.minimum(row, len(self.frames) - 1)
            if self.shares is None:
                return row, None
            whose = jnp.searchsorted(self.shares.first, row, side="right") - 1
            return row, self.shares.molecule[whose]
        if self.shares is None:
            return jax.random.randint(key, (size,), 0, len(self.frames)), None
        order, within, frame = jax.random.split(key, 3)
        places = jax.random.permutation(order, size) + jax.random.uniform(within, (size,))
        row = jnp.searchsorted(self.shares.cumulative, places / size, side="right")
        row = jnp.minimum(row, len(self.shares.count) - 1)  # where rounding leaves the last below 1
        step = jax.random.randint(frame, (size,), 0, self.shares.count[row])
        return self.shares.first[row] + step, self.shares.molecule[row]
