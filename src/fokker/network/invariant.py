r"""Network on the internal coordinates of a fixed molecule, or of molecules that are alike.

Inputs are all pair distances `r` and the signed volumes `v = a . (b x c)` of tetrads of beads or of
modes of the molecule, each standardised with what noise does to it:

    z_r = (r - alpha mu_r) / sqrt(alpha^2 sd_r^2 + 2 sigma^2)
    z_v = (v - alpha^3 mu_v)
          / sqrt(alpha^6 sd_v^2 + 2 sigma^2 alpha^4 A + 8 sigma^4 alpha^2 L + 48 sigma^6)

`A` and `L` are the mean squared areas and lengths of the three vectors: the variance of a product
of three vectors with independent noise 2 sigma^2 each. Distances and volumes do not change under
rotation and translation, so neither does the energy; volumes change sign under reflection, so the
energy can tell a molecule from its mirror image.

Molecules are alike if they have the same beads in the same order: all dipeptides, say, as backbones
with C-beta. They share `mu` and `sd`; which one it is enters as a vector learned for the
residue of each bead, the same at every place of the chain.
"""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import Field, field_validator

from ..options import Options
from ..types import Features, Key, NoiseLevel, Positions, Scalar
from .base import (
    NOISE_EMBEDDING_SIZE,
    AbstractNetwork,
    Head,
    MoleculeInputs,
    NetworkInputs,
    bonds_of_alike,
    noise_embedding,
)
from .coordinates import Coordinates, InternalCoordinates, differences
from .neighbourhoods import Neighbourhoods
from .potentials import Potentials
from .residual import ResidualTrunk
from .springs import Springs


class InvariantOptions(Options):
    """Options of the invariant network."""

    name: Literal["invariant"] = "invariant"
    rotation_invariant: ClassVar[bool] = True
    any_molecule: ClassVar[bool] = False
    width: int = Field(default=128, ge=1, le=16_384)
    depth: int = Field(default=4, ge=1, le=256, description="residual layers")
    tetrads: int = Field(
        default=210,
        ge=0,
        lt=100_000,
        description="signed volumes beside the distances: of all tetrads if there are no more (210 "
        "are all of 10 beads), else of bonded ones and of the principal modes of the molecule, "
        "which show its chirality under much noise",
    )
    springs: Literal["alike", "fitted"] = Field(
        default="alike",
        description="what the energy starts from: springs between all pairs of beads alike, or as "
        "stiff as the frames say, by bonds apart, which is much closer to the truth for many beads",
    )
    potentials: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Gaussians that a learned potential of each distance and volume is a sum of, "
        "beside what the layers add; for chains whose contacts form and break; 0: no potentials",
    )
    neighbourhoods: int = Field(
        default=0,
        ge=0,
        le=4096,
        description="width of small networks around each bead, whose energies are added; of "
        "molecules with more than 12 beads; 0: none",
    )
    residue: int = Field(
        default=4, ge=1, le=1024, description="numbers a residue is told by, of many molecules"
    )

    @field_validator("potentials")
    @classmethod
    def _none_or_several(cls, n: int) -> int:
        if n == 1:
            raise ValueError("one Gaussian has no spacing to be as wide as; use 0, or 2 and more")
        return n

    def build(self, inputs: NetworkInputs, head: Head, key: Key) -> "Invariant":
        """Return a network whose standardisation comes from the given frames."""
        bonds = bonds_of_alike(inputs, self.name)
        geometry = InternalCoordinates.from_frames(inputs.frames, bonds, self.tetrads)
        residues, size = None, 0
        if inputs.molecules is not None:
            residues = Residues(inputs.molecules, self.residue, jax.random.fold_in(key, 1))
            size = inputs.frames.shape[1] * self.residue
        n_pairs, n_tetrads = geometry.shape
        trunk = ResidualTrunk(
            n_pairs + n_tetrads + NOISE_EMBEDDING_SIZE + size,
            {"energy": 1, "score": n_pairs, "field": n_pairs + n_tetrads}[head],
            self.width,
            self.depth,
            key,
        )
        springs = geometry.springs(inputs.frames, bonds if self.springs == "fitted" else None)
        potentials = None
        if self.potentials and head == "energy":
            finest = 0.5 * float(geometry.distance_std.min())
            potentials = Potentials.on(geometry.values(inputs.frames), self.potentials, finest)
        neighbourhoods = None
        if self.neighbourhoods and head == "energy":
            neighbourhoods = Neighbourhoods.around(
                geometry.touches,
                geometry.mean_distances,
                self.neighbourhoods,
                NOISE_EMBEDDING_SIZE + size,
                jax.random.fold_in(key, 2),
            )
        return Invariant(
            geometry,
            springs,
            potentials,
            neighbourhoods,
            trunk,
            residues,
            head,
            inputs.degrees_of_freedom,
        )


class Residues(eqx.Module):
    """What the residues of a molecule are, as learned vectors."""

    of_kind: Int[np.ndarray, " kinds"]
    vectors: Float[Array, "residues size"]

    def __init__(self, molecules: MoleculeInputs, size: int, key: Key):
        names = sorted({residue for residue, _ in molecules.kinds})
        self.of_kind = np.array([names.index(residue) for residue, _ in molecules.kinds], np.int32)
        self.vectors = jax.random.normal(key, (len(names), size))

    def __call__(self, features: Features) -> Float[Array, " beads_times_size"]:
        """Vectors of all beads, one after another."""
        return self.vectors[jnp.asarray(self.of_kind)[features.kind]].ravel()


class Invariant(AbstractNetwork):
    """Energy or score of a molecule from its internal coordinates.

    The energy head adds the fixed base `sum w z_r^2 + D/2 <log var_r>`, the mean weighted by w: at
    large noise, where every `w = 1/N`, it is the energy of the Gaussian that the noise is, at small
    noise a network of springs (see `springs`); and, if asked, `potentials` of each coordinate and
    energies of `neighbourhoods`. The
    score head combines the displacement vectors with invariant coefficients, so it turns with the
    molecule. The field head gives a force along every standardised coordinate where the energy head
    gives their gradient, and adds the force of the base: it differs from the energy in nothing but
    that no energy need have these forces.
    """

    geometry: InternalCoordinates
    springs: Springs
    potentials: Potentials | None
    neighbourhoods: Neighbourhoods | None
    trunk: ResidualTrunk
    residues: Residues | None
    head: Head = eqx.field(static=True)
    degrees_of_freedom: int = eqx.field(static=True)

    def __call__(
        self, x: Positions, level: NoiseLevel, features: Features
    ) -> Float[Array, ""] | Float[Array, "beads dim"]:
        """Evaluate one frame; see `AbstractNetwork`."""
        if self.head == "field":
            return self._field(x, level, features)
        displacements = [differences(along) for along in x.T]
        coordinates = self.geometry(displacements, x, level)
        z = self.geometry.standardised(coordinates)
        known = self._known(level, features)
        out = self.trunk(jnp.concatenate([z, known]))
        if self.head == "score":
            scale = jnp.sqrt(level.alpha**2 + level.sigma**2)
            onto_beads = jax.linear_transpose(differences, x[:, 0])
            parts = [onto_beads(out * along)[0] for along in displacements]
            return jnp.stack(parts, axis=1) / scale
        energy = self._base(z, coordinates, level) + out[0]
        if self.neighbourhoods is not None:
            energy = energy + self.neighbourhoods(z, known)
        return energy

    def _known(self, level: NoiseLevel, features: Features) -> Float[Array, " known"]:
        """What does not depend on the positions."""
        embedding = noise_embedding(level, self.geometry.finest)
        if self.residues is None:
            return embedding
        return jnp.concatenate([embedding, self.residues(features)])

    def _base(
        self, z: Float[Array, " coordinates"], coordinates: Coordinates, level: NoiseLevel
    ) -> Scalar:
        w = self.springs(level)
        log_variance = w @ jnp.log(self.geometry.distance_variance(level)) / jnp.sum(w)
        base = w @ z[: len(w)] ** 2 + 0.5 * self.degrees_of_freedom * log_variance
        if self.potentials is not None:
            base = base + self.potentials(coordinates, level)
        return base

    def _field(self, x: Positions, level: NoiseLevel, features: Features) -> Positions:
        def base_and_place(y: Positions) -> tuple[Scalar, Float[Array, " coordinates"]]:
            coordinates = self.geometry([differences(along) for along in y.T], y, level)
            z = self.geometry.standardised(coordinates)
            return self._base(z, coordinates, level), z

        (base, z), transposed = jax.vjp(base_and_place, x)
        force = self.trunk(jnp.concatenate([z, self._known(level, features)]))
        return -transposed((jnp.ones_like(base), force))[0]
