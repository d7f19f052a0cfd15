r"""Score matching on noise and forces together, mixed so that the target has the least variance.

Given a noised frame, the score is the mean of two quantities (arXiv 2402.08667):

    a = -eps / sigma          which noise tells, with a variance that grows as sigma falls
    b = F(x_0) / alpha        which the force in the clean frame tells, `F = s F_bead / kT`

so it is the mean of `w a + (1 - w) b` for any weight `w(x_t, t)`, and of any such mixture in each
direction of an orthonormal set `q_k(x_t)`. Forces on coarse beads are noisy: F fluctuates about
the mean force with the atoms that were left out. The weight of least mean square,

    w_k = (E b_k^2 - E a_k b_k) / E (a_k - b_k)^2,      a_k = <q_k(x_t), a>, b_k = <q_k(x_t), b>,

is therefore measured on the labelled frames, direction by direction, over a grid of noise levels
`rho = sigma / alpha`: it needs nothing else of the process. For a Gaussian of variance S whose
labels have noise of variance N it is

    w = rho^2 / (rho^2 + 1 / (1 / S + N)),

which without noise makes the target exact.
"""

from __future__ import annotations

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pydantic import Field

from ..errors import FokkerError
from ..options import Options
from ..types import Key, Positions, Scalar
from .base import NO_MOLECULE, AbstractObjective, Evaluation, Molecule, Noised
from .modes import Modes

LEVELS = np.geomspace(1e-4, 30.0, 48).astype(np.float32)
"""Noise levels of the grid; beyond the last one forces say nothing."""

_FRAMES = 4096
_DRAWS = 8192


class ForceMatchingOptions(Options):
    """Options of score matching on noise and forces; takes the place of `dsm`."""

    name: Literal["force-matching"] = "force-matching"
    weight: float = Field(default=1.0, ge=0)
    mixture: Literal["modes", "isotropic"] = Field(
        default="modes",
        description="weight noise against forces in each motion of the molecule on its own, or in "
        "all of them alike",
    )
    torsions: float = Field(
        default=0.0, ge=0, description="weight of the error along the torsions, once more"
    )
    normalise: bool = Field(
        default=False,
        description="divide the squared error in each motion by the mean square of its target: "
        "holds the score down to t = 0, and with few frames fits the noise of their forces",
    )

    def build(self, molecule: Molecule = NO_MOLECULE) -> ForceMatching:
        """Return the objective; the mixture is measured on the labelled frames.

        Raises
        ------
        FokkerError
            If there are none.
        """
        if molecule.labelled is None or not len(molecule.labelled[0]):
            raise FokkerError(
                "force-matching: no training frame has a force; give a file with --forces, or use "
                "dsm."
            )
        frames, forces = (_thinned(part) for part in molecule.labelled)
        modes = None
        if self.mixture == "modes" and molecule.bonds and frames.shape[2] == 3:
            modes = Modes.of(molecule, frames)
        weights, squares = measured(modes, frames, forces)
        return ForceMatching(modes, weights, squares, self.torsions, self.normalise)


class ForceMatching(AbstractObjective):
    r"""`|| sigma score(x_t, t) - y ||^2 / D` with the target `y = sigma (w a + (1 - w) b)`.

    With `normalise` the part of the error along each direction is divided by the mean square of y
    there. At large noise that is one, as in denoising score matching. At small noise it falls with
    sigma^2 where forces are known, so the loss becomes that of force matching, each motion in
    units of its own force, and holds the score down to t = 0. Where no force is known in a frame
    the target is -eps and nothing is divided.

    Attributes
    ----------
    modes
        Directions `q_k`; None for one weight in all directions.
    weights
        `w_k` on the grid `LEVELS`; the last column is for what the directions leave.
    squares
        `E y_k^2` on the same grid.
    """

    modes: Modes | None
    weights: Float[np.ndarray, "levels columns"]
    squares: Float[np.ndarray, "levels columns"]
    torsions: float = eqx.field(static=True)
    normalise: bool = eqx.field(static=True)

    @property
    def times_per_frame(self) -> int:
        """One time."""
        return 1

    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """See `AbstractObjective`."""
        noised, process = evaluation.noised, evaluation.process
        alpha, sigma = jax.vmap(process.level)(noised.times)
        level = jnp.minimum(sigma / alpha, LEVELS[-1])
        values = jax.vmap(lambda *each: self._value(noised, *each))(
            noised.frames, noised.noise, sigma[:, None, None] * evaluation.scores, level
        )
        return jnp.mean(values)

    def target(
        self, noised: Noised, x: Positions, noise: Positions, level: Scalar
    ) -> Float[Array, "beads dim"]:
        """What `sigma score` is fitted to in one noised frame.

        Parameters
        ----------
        noised
            The frame, for its label; without one the target is -eps.
        x, noise
            One of its noised frames, and eps.
        level
            `sigma / alpha`.
        """
        if noised.label is None:
            raise TypeError("this objective needs frames with forces")
        difference = jnp.where(noised.label.known, noise + level * noised.label.force, 0.0)
        along, rest = _split(self.modes, x, difference)
        share = 1.0 - self._at(jnp.asarray(self.weights), level)
        joined = share[-1] * rest - noise
        if self.modes is not None:
            joined = joined + jnp.tensordot(share[:-1] * along, self.modes(x), 1)
        return joined

    def _value(
        self, noised: Noised, x: Positions, noise: Positions, scaled: Positions, level: Scalar
    ) -> Scalar:
        """The term at one noised frame; `scaled` is `sigma score`."""
        error = scaled - self.target(noised, x, noise, level)
        # the compiler finds that the directions are those of the target
        along, rest = _split(self.modes, x, error)
        divisor = jnp.ones(self.squares.shape[1])
        if self.normalise:
            assert noised.label is not None
            of_target = self._at(jnp.asarray(self.squares), level)
            divisor = jnp.where(noised.label.known, of_target, 1.0)
        squares = along**2 / divisor[:-1]
        total = jnp.sum(squares) + jnp.sum(rest**2) / divisor[-1]
        value = total / noised.degrees_of_freedom
        n = 0 if self.modes is None else self.modes.n_torsions
        if self.torsions and n:
            value = value + self.torsions * jnp.mean(squares[len(squares) - n :])
        return value

    def _at(self, table: Float[Array, "levels columns"], level: Scalar) -> Float[Array, " columns"]:
        """Column by column between the two nearest levels of the grid, in the logarithm."""
        grid = np.log(LEVELS)
        place = (jnp.log(level) - grid[0]) / (grid[1] - grid[0])
        below = jnp.clip(jnp.floor(place), 0, len(grid) - 2).astype(int)
        part = jnp.clip(place - below, 0.0, 1.0)
        return (1.0 - part) * table[below] + part * table[below + 1]


def _split(
    modes: Modes | None, x: Positions, v: Positions
) -> tuple[Float[Array, " modes"], Float[Array, "beads dim"]]:
    """Parts of a vector along the directions at x, and what they leave."""
    if modes is None:
        return jnp.zeros(0), v
    directions = modes(x)
    along = jnp.tensordot(directions, v, 2)
    return along, v - jnp.tensordot(along, directions, 1)


def measured(
    modes: Modes | None,
    frames: Float[np.ndarray, "frames beads dim"],
    forces: Float[np.ndarray, "frames beads dim"],
) -> tuple[Float[np.ndarray, "levels columns"], Float[np.ndarray, "levels columns"]]:
    """Weights of least mean square on the grid of noise levels, and that mean square, `E y_k^2`.

    Noise comes in pairs of either sign, which takes the odd part out of `E a b`.

    Parameters
    ----------
    modes
        Directions.
    frames, forces
        Scaled frames and forces, at least one.
    """
    repeats = max(1, _DRAWS // (2 * len(frames)))
    x = jnp.asarray(np.tile(frames, (repeats, 1, 1)))
    force = jnp.asarray(np.tile(forces, (repeats, 1, 1)))
    noise = jax.random.normal(jax.random.key(0), x.shape, x.dtype)
    # of single beads, as those of model systems, none is
    middle = np.abs(frames.mean(axis=1)).max()
    centred = frames.shape[1] > 1 and middle < 1e-4 * np.abs(frames).max()
    if centred:
        noise = noise - jnp.mean(noise, axis=1, keepdims=True)
    degrees = x[0].size - (x.shape[2] if centred else 0)
    n_rest = max(1, degrees - (0 if modes is None else modes.n_modes))
    found = _moments(modes, x, force, noise, jnp.asarray(LEVELS), n_rest)
    moments = np.asarray(found, np.float64)
    noise_square, force_square, cross = np.moveaxis(moments, 1, 0)
    variance = np.maximum(noise_square + force_square - 2.0 * cross, 1e-12)
    weights = np.clip((force_square - cross) / variance, 0.0, 1.0)
    weights[-1] = 1.0
    squares = (
        weights**2 * noise_square
        + (1.0 - weights) ** 2 * force_square
        + 2.0 * weights * (1.0 - weights) * cross
    )
    # No direction is divided by less than one of all: what is nearly exact would outweigh the rest.
    total = squares.sum(axis=1, keepdims=True) / squares.shape[1]
    return weights.astype(np.float32), np.maximum(squares, 1e-3 * total).astype(np.float32)


@eqx.filter_jit
def _moments(
    modes: Modes | None, frames: Array, forces: Array, noise: Array, levels: Array, n_rest: int
) -> Float[Array, "levels 3 columns"]:
    """Means of `(sigma a)^2`, `(sigma b)^2` and their product along each direction."""

    def one(x: Positions, force: Positions, eps: Positions, level: Scalar):
        noised = x + level * eps
        a, a_rest = _split(modes, noised, -eps)
        b, b_rest = _split(modes, noised, level * force)
        rest = [jnp.sum(a_rest**2), jnp.sum(b_rest**2), jnp.sum(a_rest * b_rest)]
        of_rest = jnp.stack(rest)[:, None] / n_rest
        return jnp.concatenate([jnp.stack([a**2, b**2, a * b]), of_rest], axis=1)

    def at(level: Scalar):
        each = jax.vmap(one, in_axes=(0, 0, 0, None))
        both = (each(frames, forces, sign * noise, level) for sign in (1.0, -1.0))
        return 0.5 * sum(jnp.mean(found, axis=0) for found in both)

    return jax.lax.map(at, levels)


def _thinned(array: np.ndarray) -> np.ndarray:
    return array[:: max(1, len(array) // _FRAMES)][:_FRAMES]
