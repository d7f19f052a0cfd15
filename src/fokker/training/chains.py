"""Chains that are simulated along with training: of one molecule, or each of one of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from ..config import SimulationOptions
from ..dataset.frames import Dataset
from ..dataset.pool import TURN, Pool, between
from ..dynamics import AbstractIntegrator, Predicate, State, is_sound, many_steps
from ..errors import FokkerError
from ..model import AbstractEnergy, AbstractScore
from ..model.force import Force
from ..network.padding import centre, keep, stacked
from ..system import System
from ..types import Features, Key, Positions, Scalar
from .batch import of_molecule


class Own(NamedTuple):
    """What each chain has of its own."""

    integrator: AbstractIntegrator
    features: Features
    is_broken: Predicate | None

    def force(self, force: Force, model: AbstractScore) -> Force:
        """Force of a model on the beads of the chain."""
        return eqx.tree_at(lambda f: (f.model, f.features), force, (model, self.features))


class Ensemble(eqx.Module):
    """What is simulated, and how; the chains themselves are a `State` with a leading axis, in nm.

    Of many molecules, the arrays of what chains have of their own (masses, features, limits) have
    a leading axis of chains: a chain stays with its molecule.

    Attributes
    ----------
    force
        At the time of the simulation; neither its model nor its features are read.
    place
        Of each chain, the place of its molecule among the shares of the pool, in ascending order.
    noise_words
        Seed of the noise of the chains.
    degrees_of_freedom
        Of the molecule; of many, of that of each chain, shape (chains, 1).
    """

    own: Own
    force: Force
    place: Int[Array, " chains"]
    noise_words: UInt32[Array, " 2"]
    degrees_of_freedom: Float[Array, "*chains"]
    several: bool = eqx.field(static=True)
    centred: bool = eqx.field(static=True)

    @staticmethod
    def create(
        options: SimulationOptions,
        n_chains: int,
        system: System,
        dataset: Dataset,
        features: Features,
        model: AbstractScore,
        key: Key,
        is_broken: Predicate | None = None,
        *,
        option: str,
    ) -> Ensemble:
        """Share the chains out over the molecules that are trained on.

        Parameters
        ----------
        options
            Integrator and time of the force.
        n_chains
            Number of chains.
        system, dataset
            The molecule, of many the largest, and its frames.
        features
            Of the beads; of many, with a leading axis of molecules.
        model
            Stands in the force until a chain is advanced.
        key
            Seed of the noise.
        is_broken
            Whether a frame is outside its limits; of many, with a leading axis of molecules.
        option
            Name of the number of chains in the configuration, for errors.

        Raises
        ------
        FokkerError
            If there are more molecules than chains.
        """
        integrator = options.integrator.build(system.masses, system.kT)
        own = Own(integrator, features, is_broken)
        place = jnp.zeros(n_chains, jnp.int32)
        degrees = jnp.asarray(system.degrees_of_freedom, jnp.float32)
        if dataset.molecules is not None:
            ranges = dataset.molecules.training
            if len(ranges.molecule) > n_chains:
                raise FokkerError(
                    f"{option} = {n_chains}: there are {len(ranges.molecule)} molecules, "
                    "and each needs a chain; take more chains."
                )
            middle = (2 * np.arange(n_chains) + 1) * TURN // (2 * n_chains)
            place = between(ranges.shares.edges, jnp.asarray(middle, jnp.int32))
            each = [np.asarray(one.masses, np.float32) for one in dataset.molecules.systems]
            masses = stacked(each, fill=1.0)
            integrator = eqx.tree_at(lambda i: i.masses, integrator, jnp.asarray(masses))
            whose = jnp.asarray(ranges.molecule)[place]
            own = of_molecule(own._replace(integrator=integrator), whose)
            sizes = [one.degrees_of_freedom for one in dataset.molecules.systems]
            degrees = jnp.asarray(sizes, jnp.float32)[whose][:, None]
        scaling, t = dataset.scaling, jnp.asarray(options.t, jnp.float32)
        offset = np.asarray(scaling.offset, np.float32)
        return Ensemble(
            own,
            Force(model, own.features, scaling.scale, offset, system.kT, t),
            place.astype(jnp.int32),
            jax.random.bits(key, (2,), jnp.uint32),
            degrees,
            dataset.molecules is not None,
            system.centred,
        )

    def begin(self, frames: Float[Array, "chains beads dim"], key: Key) -> State:
        """Chains that start in scaled frames, with velocities of the temperature."""
        x = frames * self.force.scale + self.force.offset
        noise = jax.random.normal(key, x.shape)
        return self._each(lambda own, *at: own.integrator.start(*at), x, noise)

    def advance(
        self, model: AbstractScore, chains: State, made: Int[Array, ""], n_steps: int
    ) -> State:
        """Chains some steps on; `made` is how many they have made."""

        def one(own: Own, chain: State, noise: Array) -> State:
            return own.integrator.advance(chain, own.force(self.force, model), noise)

        def step(chains: State, noise: Array) -> State:
            return self._each(one, chains, noise)

        chains = many_steps(step, chains, made, self.noise_words, n_steps)
        if not self.centred:
            return chains
        middle = self._each(lambda own, x: centre(x, own.features.present), chains.x)
        return chains._replace(x=middle)

    def sound(self, chains: State) -> Array:
        """Which chains are finite and within their limits."""
        whole = is_sound(chains, None)
        if self.own.is_broken is None:
            return whole

        def within(own: Own, x: Positions) -> Array:
            assert own.is_broken is not None
            return ~own.is_broken(keep(x, own.features.present))

        return whole & self._each(within, chains.x)

    def training_rows(self, pool: Pool, key: Key, n: int) -> Int[Array, "chains n"]:
        """Training frames for each chain: of its molecule, and there of its own part of the frames.

        In time order, parts differ in what is slow: the mean over all chains is known better than
        that over frames drawn alike. If rare frames are emphasised, parts are alike in probability.
        """
        _, width = self._ranges(pool)
        shape = (len(self.place), n)
        return self._rows(pool, jax.random.randint(key, shape, 0, width[:, None]))

    def first_rows(
        self, pool: Pool, key: Key, born: Int[Array, " chains"]
    ) -> Int[Array, " chains"]:
        """The training frame that each chain begins from at an update; always the same."""

        def one(chain: Array, born: Array, width: Array) -> Array:
            key_of_chain = jax.random.fold_in(jax.random.fold_in(key, born), chain)
            return jax.random.randint(key_of_chain, (1,), 0, width)

        _, width = self._ranges(pool)
        return self._rows(pool, jax.vmap(one)(jnp.arange(len(born)), born, width))[:, 0]

    def _ranges(self, pool: Pool) -> tuple[Int[Array, " chains"], Int[Array, " chains"]]:
        """Where the molecule of each chain begins, and how long it is: in frames or in places."""
        if pool.shares is None:
            first, count = jnp.zeros_like(self.place), jnp.full_like(self.place, len(pool.frames))
        else:
            first, count = pool.shares.first[self.place], pool.shares.count[self.place]
        if pool.emphasis is None:
            return first, count
        edges = pool.emphasis.edges
        return edges[first], edges[first + count] - edges[first]

    def _rows(self, pool: Pool, draw: Int[Array, "chains n"]) -> Int[Array, "chains n"]:
        """Frames of each chain in its part, given numbers below the length of its molecule.

        Part k of n of a length L begins at k L / n, which is no whole number. All L n pairs of a
        part and a number are spread evenly over the length by `floor((k L + number) / n)`.
        """
        first, width = self._ranges(pool)
        before = jnp.searchsorted(self.place, self.place)
        others = jnp.searchsorted(self.place, self.place, side="right") - before
        part = jnp.arange(len(self.place)) - before
        whole, left = _product_over(part, width % others, others)
        begin = first + part * (width // others) + whole
        place = begin[:, None] + (left[:, None] + draw) // others[:, None]
        return place if pool.emphasis is None else between(pool.emphasis.edges, place)

    def weights(self, pool: Pool, rows: Int[Array, "chains n"]) -> Float[Array, "chains n"] | None:
        """What frames count for, their mean over each molecule one; None if all count alike.

        `1 / (N p_i)` over its mean: that is one but for noise, by which the level of the energy,
        which means nothing, would be multiplied.
        """
        found = pool.weights(rows)
        return None if found is None else self.even(found)

    def boltzmann(
        self, change: Float[Array, "chains n"], counts: Float[Array, "chains n"]
    ) -> Float[Array, "chains n"]:
        """`exp(-change)` of energies in kT; its mean over each molecule, by counts, is one.

        Zero for an infinite change.
        """
        least = jax.ops.segment_min(change.min(axis=1), self.place, len(self.place))
        finite = jnp.where(jnp.isfinite(change), change, 0.0)
        w = jnp.where(jnp.isfinite(change), jnp.exp(least[self.place][:, None] - finite), 0.0)
        return self.even(counts * w) / counts

    def even(self, weights: Float[Array, "chains n"]) -> Float[Array, "chains n"]:
        """Weights over their mean over each molecule; zero where all of a molecule are."""
        size = len(self.place)
        total = jax.ops.segment_sum(weights.mean(axis=1), self.place, size)
        chains = jax.ops.segment_sum(jnp.ones(size), self.place, size)
        return weights * (chains / jnp.where(total > 0, total, 1.0))[self.place][:, None]

    def scaled(self, chains: State) -> Float[Array, "chains beads dim"]:
        """Positions as the model takes them."""
        return (chains.x - self.force.offset) / self.force.scale

    def mean_energy(
        self,
        model: AbstractEnergy,
        frames: Float[Array, "chains n beads dim"],
        weights: Float[Array, "chains n"] | None = None,
    ) -> Scalar:
        """Mean energy of scaled frames of the molecule of each chain, kT a degree of freedom."""
        return self.mean_of(self.energies(model, frames), weights)

    def mean_of(
        self, energies: Float[Array, "chains n"], weights: Float[Array, "chains n"] | None = None
    ) -> Scalar:
        """Mean of energies in kT, a degree of freedom of the molecule of each chain."""
        energies = energies / self.degrees_of_freedom
        return jnp.mean(energies if weights is None else weights * energies)

    def energies(
        self, model: AbstractEnergy, frames: Float[Array, "chains n beads dim"]
    ) -> Float[Array, "chains n"]:
        """Energy of scaled frames of the molecule of each chain, kT."""

        def one(own: Own, frames: Float[Array, "n beads dim"]) -> Float[Array, " n"]:
            return jax.vmap(lambda x: model.energy(x, self.force.t, own.features))(frames)

        return self._each(one, frames)

    def _each(self, function: Callable[..., Any], *batched: Any) -> Any:
        """Map a function of `Own` and one chain over chains."""
        if not self.several:
            return jax.vmap(lambda *one: function(self.own, *one))(*batched)
        arrays, rest = eqx.partition(self.own, _is_array)
        return jax.vmap(lambda a, *one: function(eqx.combine(a, rest), *one))(arrays, *batched)


def where(old: Bool[Array, " chains"], chains: State, new: State) -> State:
    """Chains of which those that are not old are new."""
    return jax.tree.map(lambda a, b: jnp.where(old[:, None, None], a, b), chains, new)


@jax.jit
def _product_over(a: Array, b: Array, n: Array) -> tuple[Array, Array]:
    """Quotient and remainder of `a b / n` for a and b below n, digit by digit.

    The product itself may be longer than the 32 bits of an integer.
    """

    def digit(i: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        quotient, rest = found
        rest = 2 * rest + ((a >> (30 - i)) & 1) * b
        return 2 * quotient + rest // n, rest % n

    return jax.lax.fori_loop(0, 31, digit, (jnp.zeros_like(a), jnp.zeros_like(a)))


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)
