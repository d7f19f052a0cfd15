"""What every network is given, and what it returns."""

from abc import abstractmethod
from typing import Literal, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..errors import FokkerError
from ..system import Skeleton
from ..types import Features, NoiseLevel, Positions, Scalar

Head: TypeAlias = Literal["energy", "score", "field"]
"""`energy`: one number, -log q up to a constant. `score`: one raw denoiser vector a bead. `field`:
the score itself, of the scale that the gradient of the energy has."""


class NetworkInputs(NamedTuple):
    """What a network may know of the data when it is built.

    Attributes
    ----------
    frames
        A subset of the training frames, scaled and centred, shape (frames, beads, dim); zero where
        beads are padded.
    bonds
        Bonded pairs of beads of the one molecule; empty if there are many.
    degrees_of_freedom
        Dimension D of the space the density lives in; if there are many molecules, that of the
        largest.
    many
        What there is besides if the model is of many molecules; None if it is of one.
    interval
        Diffusion times that the network is for.
    """

    frames: Float[np.ndarray, "frames beads dim"]
    bonds: tuple[tuple[int, int], ...]
    degrees_of_freedom: int
    molecules: "MoleculeInputs | None" = None
    interval: tuple[float, float] = (0.0, 1.0)


class MoleculeInputs(NamedTuple):
    """What a network of many molecules may know of them; weights may depend on `kinds` alone.

    Attributes
    ----------
    kinds
        Residue and name of each kind of bead, by the index that `Features.kind` holds.
    features
        Arrays with a leading axis of molecules, padded.
    molecule
        Which molecule each of the frames is of, shape (frames,).
    skeleton
        What all molecules share; None if their beads differ.
    """

    kinds: tuple[tuple[str, str], ...]
    features: Features
    molecule: Int[np.ndarray, " frames"]
    skeleton: Skeleton | None = None


def only_one_molecule(inputs: NetworkInputs, name: str) -> None:
    """Refuse many molecules in a network whose inputs are those of a fixed one.

    Raises
    ------
    FokkerError
        If there are many.
    """
    if inputs.molecules is not None:
        raise FokkerError(
            f"network {name!r} is of one fixed molecule and the system has many: use network "
            "'invariant', 'graph' or 'graph-transformer'."
        )


def bonds_of_alike(inputs: NetworkInputs, name: str) -> tuple[tuple[int, int], ...]:
    """Bonds that all molecules share; those of the one molecule if there is one.

    Raises
    ------
    FokkerError
        If they differ in number or names of their beads.
    """
    if inputs.molecules is None:
        return inputs.bonds
    if inputs.molecules.skeleton is None:
        raise FokkerError(
            f"network {name!r} is for molecules that are alike, with the same beads in the same "
            "order, and these are not: use network 'graph' or 'graph-transformer'."
        )
    return inputs.molecules.skeleton.bonds


class AbstractNetwork(eqx.Module):
    """A function of a noised frame and its noise level; it never sees the schedule."""

    @abstractmethod
    def __call__(
        self, x: Positions, level: NoiseLevel, features: Features
    ) -> Float[Array, ""] | Float[Array, "beads dim"]:
        """Evaluate one frame.

        Parameters
        ----------
        x
            Noised positions in units of the data scale, shape (beads, dim).
        level
            Signal and noise scale of the frame.
        features
            What the beads are; where they are padded, `x` must not matter.

        Returns
        -------
        Array
            A scalar energy, or one vector a bead, by the network's head; see `Head`.
        """


def noise_embedding(level: NoiseLevel, finest: Scalar | float = 0.0) -> Float[Array, " embedding"]:
    """Log-SNR and its sines and cosines at four wavelengths.

    `sin(2 pi t)` cannot resolve t near 0, where dynamics run; the log-SNR can: it moves by 14
    between t = 1e-5 and t = 1 of the variance-preserving process at the small end alone.

    Noise far below the finest scale of the data changes nothing, yet the log-SNR goes on growing.
    Told so, a network can be another function there, where score matching with weight sigma^2
    hardly holds it, and grows steep wells around single training frames. So the embedding levels
    off: `-log(sigma^2 / alpha^2 + finest^2)`.

    Parameters
    ----------
    level
        Signal and noise scale.
    finest
        Noise, in units of the data scale, below which levels are not told apart.
    """
    log_snr = -jnp.log((level.sigma / level.alpha) ** 2 + finest**2)
    phases = log_snr * (2.0 * jnp.pi / jnp.array([4.0, 8.0, 16.0, 32.0]))
    return jnp.concatenate([log_snr[None] / 10.0, jnp.sin(phases), jnp.cos(phases)])


def level_weights(
    level: NoiseLevel, finest: Scalar | float, highest: float, n: int
) -> Float[Array, " n"]:
    """Weights that tables over noise levels are interpolated with; they add up to 1.

    The levels rho = sigma / alpha lie evenly in log rho from `finest` to `highest`. The place among
    them is `log(rho^2 + finest^2) / 2`, which levels off towards no noise as `noise_embedding`
    does; above the highest level the softmax does that.
    """
    low, high = jnp.log(finest), jnp.log(highest)
    place = 0.5 * jnp.log((level.sigma / level.alpha) ** 2 + finest**2)
    steps = (n - 1) * (place - low) / (high - low)
    return jax.nn.softmax(-((steps - jnp.arange(n)) ** 2))


NOISE_EMBEDDING_SIZE = 9
