"""From a trajectory to training frames: block split, centring, scaling, random rotations."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field

from ..errors import FokkerError
from ..metrics import evenly
from ..options import Options
from ..system import System
from ..types import ForceLabels, Key
from .emphasis import emphasis
from .molecules import Molecules
from .pool import Pool


class Scaling(Options):
    """Map between user units and the unit-variance coordinates that models see.

    `scaled = (positions - offset) / scale`. It travels with the checkpoint, so inference never
    needs the training data.
    """

    scale: float = Field(gt=0, description="nm, or the system's length unit")
    offset: tuple[float, ...] = Field(description="per axis; zero where translation is removed")

    def apply(self, positions: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        """User units to scaled coordinates."""
        return ((positions - np.asarray(self.offset, np.float32)) / self.scale).astype(np.float32)

    def invert(self, scaled: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        """Scaled coordinates to user units."""
        return (scaled * self.scale + np.asarray(self.offset, np.float32)).astype(np.float32)


@dataclass(frozen=True)
class Dataset:
    """Scaled, centred frames, split in time blocks.

    Attributes
    ----------
    training, validation
        Shape (frames, beads, dim), float32, scaled.
    training_index
        Position of each training frame in the trajectory it came from.
    scaling
        Back to user units.
    many
        What there is besides if the frames are of many molecules, one after another, and padded.
    training_labels, validation_labels
        Forces that are known; None if there are none at all.
    weights
        Of the training frames, all above zero; None if all count alike. Validation frames are
        drawn by theirs, and count alike.
    """

    training: Float[np.ndarray, "frames beads dim"]
    validation: Float[np.ndarray, "other_frames beads dim"]
    training_index: Int[np.ndarray, " frames"]
    scaling: Scaling
    molecules: Molecules | None = None
    training_labels: ForceLabels | None = None
    validation_labels: ForceLabels | None = None
    weights: Float[np.ndarray, " frames"] | None = None

    @property
    def drawn(self) -> Int[np.ndarray, " frames"]:
        """As many training frames that count alike: each once, or drawn by their weights."""
        return np.arange(len(self.training)) if self.weights is None else evenly(self.weights)

    @property
    def alike(self) -> Float[np.ndarray, "frames beads dim"]:
        """The training frames of `drawn`, for everything that takes no weights."""
        return self.training if self.weights is None else self.training[self.drawn]

    @property
    def pool(self) -> Pool:
        """Training frames on the device."""
        shares = None if self.molecules is None else self.molecules.training.shares
        by_weight = emphasis((), (), 0.0, self.weights)
        frames = jnp.asarray(self.training)
        return Pool(frames, shares, by_weight, by_weight, self.training_labels)

    def validation_pool(self, most: int) -> Pool:
        """About so many of the held-out frames, evenly spread, on the device."""
        every = max(1, len(self.validation) // most)
        if self.molecules is None:
            labels = jax.tree.map(lambda a: a[::every], self.validation_labels)
            return Pool(jnp.asarray(self.validation[::every]), labels=labels)
        rows, ranges = self.molecules.validation.thinned(every)
        return Pool(jnp.asarray(self.validation[rows]), ranges.shares)

    def name_of(self, row: int) -> str:
        """Where a training frame comes from, in words."""
        frame = f"frame {int(self.training_index[row])} of the trajectory"
        return frame if self.molecules is None else f"{frame} of {self.molecules.name_of(row)}"


def centre(
    positions: Float[np.ndarray, "*batch beads dim"],
) -> Float[np.ndarray, "*batch beads dim"]:
    """Subtract the geometric centre of each frame."""
    return positions - positions.mean(axis=-2, keepdims=True)


def split_blocks(
    n_frames: int, fraction: float, *, n_blocks: int = 20
) -> tuple[Int[np.ndarray, " training"], Int[np.ndarray, " validation"]]:
    """Split a correlated trajectory in contiguous blocks of time, evenly spread for validation.

    A random split of single frames would put near copies of validation frames into training. Of
    a single frame none is held out.

    Parameters
    ----------
    n_frames
        Length of the trajectory.
    fraction
        Share of frames held out, in [0, 0.5]; 0 holds out none.
    n_blocks
        Number of held-out blocks (fewer when they would be shorter than a frame).

    Raises
    ------
    FokkerError
        If `fraction` is out of range.
    """
    if not 0.0 <= fraction <= 0.5:
        raise FokkerError(f"validation fraction is {fraction}: choose a value between 0 and 0.5.")
    length = round(n_frames * fraction / n_blocks)
    if fraction > 0 and length == 0:
        n_blocks, length = 1, min(max(1, round(n_frames * fraction)), max(0, n_frames - 1))
    held_out = np.zeros(n_frames, dtype=bool)
    period = n_frames / n_blocks
    for block in range(n_blocks if length else 0):
        start = int((block + 0.5) * period - 0.5 * length)
        held_out[start : start + length] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def prepare(
    positions: Float[np.ndarray, "frames beads dim"],
    system: System,
    *,
    validation_fraction: float = 0.05,
    forces: Float[np.ndarray, "frames beads dim"] | None = None,
    weights: Float[np.ndarray, " frames"] | None = None,
    scaling: Scaling | None = None,
) -> Dataset:
    """Split, centre and scale a trajectory.

    The scale is the standard deviation over all training coordinates, so scaled coordinates have
    unit variance. Frames without weight are left out.

    Parameters
    ----------
    positions
        Frames in user units.
    system
        Says whether translation is removed.
    validation_fraction
        Share of frames held out, in time blocks.
    forces
        On the beads, in user units; NaN in frames where they are not known.
    weights
        Of the frames, without `forces`; by default all count alike.
    scaling
        That of a model which has one; by default it is measured.

    Raises
    ------
    FokkerError
        If all frames are the same, which leaves nothing to scale by, or no training or no held-out
        frame has a weight.
    """
    training, validation = split_blocks(len(positions), validation_fraction)
    of_training, alike = None, training
    if weights is not None:
        _check_weights(weights[training], weights[validation], validation_fraction)
        training = training[weights[training] > 0.0]
        of_training = weights[training]
        alike = training[evenly(of_training)]
        validation = validation[evenly(weights[validation])] if len(validation) else validation
    if system.centred:
        positions = centre(positions)
        offset = np.zeros(system.dim)
    else:
        offset = positions[alike].mean(axis=(0, 1), dtype=np.float64)
    scale = float(np.sqrt(np.mean((positions[alike] - offset) ** 2, dtype=np.float64)))
    if scale < 1e-9:
        raise FokkerError(
            f"system {system.name!r}: all training positions coincide; check the trajectory."
        )
    scaling = scaling or Scaling(scale=scale, offset=tuple(float(o) for o in offset))
    scaled = scaling.apply(positions)
    labels = [
        None if forces is None else _labels(forces[part], scaling.scale / system.kT)
        for part in (training, validation)
    ]
    return Dataset(
        scaled[training], scaled[validation], training, scaling, None, *labels, weights=of_training
    )


def _check_weights(training: np.ndarray, validation: np.ndarray, fraction: float) -> None:
    for name, weights in (("training", training), ("held-out", validation)):
        if len(weights) and not weights.max() > 0.0:
            raise FokkerError(
                f"weights: all {len(weights):,} {name} frames have the weight 0; hold out others "
                f"than validation_fraction = {fraction:g} does, or none (0)."
            )


def _labels(forces: Float[np.ndarray, "frames beads dim"], unit: float) -> ForceLabels:
    known = np.asarray(np.isfinite(forces).all(axis=(1, 2)))
    scaled = np.where(known[:, None, None], unit * forces, 0.0).astype(np.float32)
    return ForceLabels(jnp.asarray(scaled), jnp.asarray(known))


def random_rotation(key: Key) -> Float[Array, "3 3"]:
    """Rotation drawn from the Haar measure, by a normalised Gaussian quaternion."""
    q = jax.random.normal(key, (4,))
    w, x, y, z = q / jnp.linalg.norm(q)
    return jnp.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
