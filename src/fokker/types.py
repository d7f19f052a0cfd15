"""Shape aliases shared by the whole package.

Everything downstream of the loader is in *scaled* coordinates (nm divided by the data scale) and is
written for a single frame; batches appear only where `jax.vmap` is applied, at the edge.
"""

from typing import NamedTuple, TypeAlias

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Scalar: TypeAlias = Float[Array, ""]
Time: TypeAlias = Float[Array, ""]
Positions: TypeAlias = Float[Array, "beads dim"]
Features: TypeAlias = Int[Array, " beads"]
Key: TypeAlias = PRNGKeyArray


class NoiseLevel(NamedTuple):
    """Signal and noise scale at one diffusion time: `x_t = alpha x_0 + sigma eps`.

    Networks see the noise level, never the schedule.
    """

    alpha: Scalar
    sigma: Scalar


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
