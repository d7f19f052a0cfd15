"""Training objectives: what they see of a frame, and the one method they have."""

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..model import AbstractEnergy, AbstractScore
from ..network.padding import centre, count, keep
from ..process import AbstractProcess
from ..types import Features, ForceLabels, Key, Positions, Scalar, Time


class Molecule(NamedTuple):
    """What an objective may know of the molecule when it is built.

    Attributes
    ----------
    n_beads
        Number of beads; 0 if there is no molecule.
    bonds
        Bonded pairs of beads.
    labelled
        Scaled frames and the scaled forces on them, shape (frames, beads, dim) each; None if no
        force is known.
    """

    n_beads: int = 0
    bonds: tuple[tuple[int, int], ...] = ()
    labelled: tuple[np.ndarray, np.ndarray] | None = None


NO_MOLECULE = Molecule()


class Noised(eqx.Module):
    """One clean frame, noised at K times: `x_k = alpha_k x_0 + sigma_k eps_k`.

    Attributes
    ----------
    clean
        `x_0`, shape (beads, dim); centred for molecules, zero where padded.
    noise
        `eps_k`, shape (K, beads, dim): one draw, centred for molecules, with a plus sign for the
        first half of the times and, if antithetic, a minus sign for the second.
    times
        Shape (K,).
    frames
        Shape (K, beads, dim).
    centred
        Whether the noise lives in the centre-of-mass-free space.
    label
        Force in the clean frame; None if no force is known in any frame.
    """

    clean: Positions
    noise: Float[Array, "times beads dim"]
    times: Float[Array, " times"]
    frames: Float[Array, "times beads dim"]
    features: Features
    centred: bool = eqx.field(static=True)
    label: ForceLabels | None = None

    @staticmethod
    def draw(
        clean: Positions,
        times: Float[Array, " times"],
        process: AbstractProcess,
        features: Features,
        key: Key,
        *,
        centred: bool,
        antithetic: bool = False,
        label: ForceLabels | None = None,
    ) -> "Noised":
        r"""Noise one frame.

        With `antithetic` every time is used twice, with `eps` and with `-eps`. The noise in a
        denoising loss, `2 sigma <score(x_t), eps>`, is odd in `eps` to leading order, so it cancels
        within the pair where sigma is small, which is where it hides the score.

        Parameters
        ----------
        clean
            Shape (beads, dim).
        times
            Shape (K,).
        process, features, key
            What noises, the identity of the beads, the stream of the noise.
        centred
            Whether the noise lives in the centre-of-mass-free space.
        antithetic
            Whether 2 K frames come out, in the order (+, times), (-, times).
        label
            Force in the frame.
        """
        noise = jax.random.normal(key, clean.shape, clean.dtype)
        clean = keep(clean, features.present)
        noise = (centre if centred else keep)(noise, features.present)
        signs = jnp.ones_like(times)
        if antithetic:
            signs, times = jnp.concatenate([signs, -signs]), jnp.concatenate([times, times])
        noise = signs[:, None, None] * noise
        alpha, sigma = jax.vmap(process.level)(times)
        frames = alpha[:, None, None] * clean + sigma[:, None, None] * noise
        return Noised(clean, noise, times, frames, features, centred, label)

    @property
    def degrees_of_freedom(self) -> int | Int[Array, ""]:
        """Dimension D of the space the noise lives in; a constant if no bead is padded."""
        beads, dim = self.clean.shape
        return dim * (count(self.features.present, beads) - int(self.centred))

    def project(self, x: Positions) -> Positions:
        """Take the part of a vector that lies in the space the noise lives in."""
        return (centre if self.centred else keep)(x, self.features.present)


class Evaluation:
    """A model on one noised frame; what several objectives need is computed once.

    It lives inside one trace, so sharing a value shares its backward pass as well.
    """

    def __init__(self, model: AbstractScore, process: AbstractProcess, noised: Noised):
        self.model = model
        self.process = process
        self.noised = noised

    @property
    def energy_model(self) -> AbstractEnergy:
        """The model, if it has an energy."""
        if not isinstance(self.model, AbstractEnergy):
            raise TypeError("this objective needs a conservative model: one with an energy")
        return self.model

    @cached_property
    def _energies_and_scores(self):
        return self._at_each_time(self.energy_model.energy_and_score)

    @cached_property
    def scores(self) -> Float[Array, "times beads dim"]:
        """Score of each noised frame at its own time."""
        if isinstance(self.model, AbstractEnergy):
            return self._energies_and_scores[1]
        return self._at_each_time(self.model.score)

    def _at_each_time(self, function: Callable[[Positions, Time, Features], Any]) -> Any:
        frames, times, features = self.noised.frames, self.noised.times, self.noised.features
        if len(times) == 1:
            # one more batch axis, of one, makes a step a third slower on a CPU
            one = function(frames[0], times[0], features)
            return jax.tree.map(lambda value: value[None], one)
        return jax.vmap(lambda x, t: function(x, t, features))(frames, times)

    @cached_property
    def energies(self) -> Float[Array, " times"]:
        """Energy of each noised frame at its own time."""
        return self._energies_and_scores[0]


class AbstractObjective(eqx.Module):
    """A term of the training loss, for one frame; terms are averaged over the batch."""

    @property
    @abstractmethod
    def times_per_frame(self) -> int:
        """How many times each frame must be noised at."""

    @abstractmethod
    def __call__(self, evaluation: Evaluation, key: Key) -> Scalar:
        """Value of the term on one noised frame.

        Parameters
        ----------
        evaluation
            The model on the noised frame.
        key
            For probes.
        """
