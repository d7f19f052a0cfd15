"""Shape aliases shared by the whole package.

Everything downstream of the loader is in *scaled* coordinates (nm divided by the data scale) and is
written for a single frame; batches appear only where `jax.vmap` is applied, at the edge.
"""

from typing import NamedTuple, TypeAlias

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Scalar: TypeAlias = Float[Array, ""]
Time: TypeAlias = Float[Array, ""]
Positions: TypeAlias = Float[Array, "beads dim"]
Key: TypeAlias = PRNGKeyArray


class NoiseLevel(NamedTuple):
    """Signal and noise scale at one diffusion time: `x_t = alpha x_0 + sigma eps`.

    Networks see the noise level, never the schedule.
    """

    alpha: Scalar
    sigma: Scalar


FAR = 6
"""Largest separation that is told apart; beads that no bonds connect are this far as well."""


class Features(NamedTuple):
    """What a network knows of the beads besides where they are; a pytree of arrays.

    Molecules of different size share a batch by padding. What lies in the rows of padding of any
    other array must not matter, whatever it is. Where nothing is padded, `present` is None: that
    is known when a function is compiled, so a single molecule pays nothing for masks.

    Attributes
    ----------
    kind
        Index into the model's vocabulary of beads, shape (beads,); 0 to N - 1 in a model of one
        molecule. Zero where padded.
    present
        False where padded, shape (beads,); None if all beads are present.
    separation
        Bonds along the shortest path between two beads, at most `FAR`, shape (beads, beads); zero
        on the diagonal, `FAR` between beads that are not connected and where padded.
    """

    kind: Int[Array, " beads"]
    present: Bool[Array, " beads"] | None
    separation: Int[Array, "beads beads"]


class ForceLabels(NamedTuple):
    """Forces that are known in clean frames, in scaled coordinates; a pytree of arrays.

    Attributes
    ----------
    force
        `s F / kT` with the data scale s: its mean given the frame is the score at t = 0. Shape
        (beads, dim), or with a leading axis of frames; zero where it is not known.
    known
        Whether it is known; a scalar, or one a frame.
    """

    force: Float[Array, "*frames beads dim"]
    known: Bool[Array, "*frames"]
