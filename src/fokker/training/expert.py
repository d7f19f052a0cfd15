"""One stage of training: an expert, its interval of time, its objectives and its optimiser.

clean frames -> times and noise -> Evaluation -> weighted sum of objectives -> AdamW -> average
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jax.sharding import NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, UInt32

from ..config import T_MIN, TrainingOptions
from ..dataset.frames import random_rotation
from ..dataset.pool import Pool
from ..model import AbstractScore
from ..network import PerPlace
from ..network.padding import stacked
from ..objective import AbstractObjective, Evaluation, Molecule, Noised
from ..process import AbstractProcess
from ..runtime.parallel import gather, scatter
from ..types import Features, Scalar
from .batch import Batch, draw_batch, of_molecule
from .stage import AbstractStage, Culprit, TrainingState


def is_weight(leaf: object) -> bool:
    """Whether a leaf is trained: JAX arrays are; constants of networks are NumPy arrays."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact)


class Stage(AbstractStage):
    """The fixed part of a stage: what one optimiser step is, given state and data.

    Seed, number of steps and interval are arrays and `options.steps` is blank, so that stages that
    differ in these alone are one compiled program.

    Where there are many molecules, the arrays of features and objectives have a leading axis of
    molecules, and each frame is judged with those of its own.
    """

    process: AbstractProcess
    objectives: dict[str, AbstractObjective]
    frozen: AbstractScore
    features: Features
    seed: UInt32[Array, ""]
    n_steps: Int[Array, ""]
    interval: Float[Array, " 2"]
    options: TrainingOptions = eqx.field(static=True)
    centred: bool = eqx.field(static=True)
    sharding: NamedSharding | None = eqx.field(static=True)

    @staticmethod
    def create(
        model: AbstractScore,
        process: AbstractProcess,
        features: Features,
        interval: tuple[float, float],
        options: TrainingOptions,
        *,
        centred: bool,
        seed: int,
        molecules: Sequence[Molecule] = (),
        labelled: tuple[np.ndarray, np.ndarray] | None = None,
        sharding: NamedSharding | None = None,
    ) -> tuple[Stage, TrainingState]:
        """Split a model in trained and frozen leaves and start its optimiser.

        Constants that networks keep as NumPy arrays are frozen. If features have a leading axis of
        molecules, `molecules` are these. Of `labelled`, scaled frames and forces, objectives take
        their own constants.
        """
        parameters, frozen = eqx.partition(model, is_weight)
        molecules = molecules or (Molecule(len(features.kind)),)
        molecules = tuple(each._replace(labelled=labelled) for each in molecules)
        several = features.kind.ndim == 2
        stage = Stage(
            process=process,
            objectives={
                name: _built(term, molecules, several) for name, term in options.objectives.items()
            },
            frozen=frozen,
            features=features,
            seed=jnp.asarray(np.uint32(seed % 2**32)),
            n_steps=jnp.asarray(options.steps, jnp.int32),
            interval=jnp.asarray([max(T_MIN, interval[0]), interval[1]], jnp.float32),
            options=options.model_copy(update={"steps": 1}),
            centred=centred,
            sharding=sharding,
        )
        optimiser = stage.optimiser.init(parameters)
        return stage, TrainingState(parameters, parameters, optimiser, jnp.zeros((), jnp.int32))

    @property
    def keeps_best(self) -> bool:
        """As the options say."""
        return self.options.keep == "best"

    @property
    def logged(self) -> tuple[str, ...]:
        """The objectives."""
        return tuple(self.objectives)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """AdamW or Muon with clipping, warm-up and cosine decay.

        Muon moves every weight matrix by an orthogonal step, which conditions a small network on
        a noisy loss far better; vectors keep Adam.
        """
        options = self.options
        if options.optimiser == "muon":
            update = optax.contrib.muon(
                self.learning_rate,
                weight_decay=options.weight_decay,
                adam_weight_decay=options.weight_decay,
                muon_weight_dimension_numbers=_matrices,
            )
        else:
            update = optax.adamw(self.learning_rate, weight_decay=options.weight_decay)
        return optax.chain(optax.clip_by_global_norm(options.gradient_clip), update)

    def learning_rate(self, step: ArrayLike) -> Array:
        """Learning rate at a step: a linear rise, then half a cosine down."""
        warmup = jnp.minimum(self.options.warmup, self.n_steps // 10)
        rise = (step + 1.0) / (warmup + 1.0)
        fall = jnp.clip((step - warmup) / (self.n_steps - warmup), 0.0, 1.0)
        last = self.options.final_learning_rate / self.options.learning_rate
        fallen = last + (1.0 - last) * 0.5 * (1.0 + jnp.cos(jnp.pi * fall))
        share = jnp.where(step < warmup, rise, fallen)
        return jnp.asarray(self.options.learning_rate * share, jnp.float32)

    def model(self, parameters: AbstractScore) -> AbstractScore:
        """Put trained and frozen leaves together."""
        return eqx.combine(parameters, self.frozen)

    def draw(self, pool: Pool, step: Int[Array, ""]) -> Batch:
        """Draw the batch of one step; the same for the same seed and step."""
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), 1), step)
        most = max(term.times_per_frame for term in self.objectives.values())
        return draw_batch(key, pool, self.interval, self.options, most)

    def terms(self, model: AbstractScore, batch: Batch) -> dict[str, Float[Array, " _"]]:
        """Value of every objective, frame by frame.

        A term with `fraction < 1` is evaluated on the first rows of the batch alone, whose times
        are stratified as those of all are. Each part is noised at as many times as its terms need.
        """
        fractions = {name: self._fraction(name) for name in self.objectives}
        size = batch.frames.shape[0]
        values: dict[str, list[Array]] = {name: [] for name in fractions}
        taken = 0
        for fraction in sorted(set(fractions.values())):
            part = slice(taken, _share(fraction, size))
            names = [name for name, own in fractions.items() if own >= fraction]
            needed = max(self.objectives[name].times_per_frame for name in names)
            chosen = batch._replace(times=batch.times[:, :needed])
            chosen = jax.tree.map(lambda a, part=part: a[part], chosen)
            # here and not before: of what is taken out of arrays that are spread, all devices
            # would compute all
            chosen = scatter(chosen, self.sharding)
            found = jax.vmap(lambda one, names=names: self._frame(model, one, names))(chosen)
            for name in names:
                counted = found[name] if chosen.weight is None else chosen.weight * found[name]
                values[name].append(counted)
            taken = part.stop
        return {name: jnp.concatenate(parts) for name, parts in values.items()}

    def losses(
        self, parameters: AbstractScore, pool: Pool, step: Int[Array, ""]
    ) -> dict[str, Scalar]:
        """Mean of every objective over the batch of a step, and their weighted sum, `loss`."""
        total, means = self.objective(parameters, self.draw(pool, step))
        return {**means, "loss": total}

    def culprit(
        self, parameters: AbstractScore, pool: Pool, step: Int[Array, ""]
    ) -> Culprit | None:
        """Which objective is not finite on the batch of a step; None if none."""
        batch = self.draw(pool, step)
        for name, values in self.terms(self.model(parameters), batch).items():
            broken = ~np.isfinite(np.asarray(values))
            if broken.any():
                row = int(np.argmax(broken))
                times = np.asarray(batch.times[row])
                return Culprit(name, float(values[row]), int(batch.index[row]), times)
        return None

    @property
    def is_judged(self) -> bool:
        """No: any finite loss will do."""
        return False

    def lost(self, logs: dict[str, Float[np.ndarray, " steps"]]) -> float:
        """None, where nothing is simulated."""
        return 0.0

    def objection(self, lost: float, begin: int, end: int) -> str | None:
        """See `is_judged`."""
        return None

    def on_one_device(self) -> Stage:
        """The same stage, spread over nothing."""
        return dataclasses.replace(self, sharding=None)

    def objective(
        self, parameters: AbstractScore, batch: Batch
    ) -> tuple[Scalar, dict[str, Scalar]]:
        """Weighted sum of the objectives, averaged over a batch, and the mean of each."""
        values = self.terms(self.model(parameters), batch)
        means = {name: jnp.mean(value) for name, value in values.items()}
        total = sum(
            (self.options.objectives[name].weight * mean for name, mean in means.items()),
            jnp.zeros(()),
        )
        return total, means

    def update(self, state: TrainingState, pool: Pool) -> tuple[TrainingState, dict[str, Scalar]]:
        """One optimiser step."""
        batch = self.draw(pool, state.step)
        (total, means), gradient = eqx.filter_value_and_grad(self.objective, has_aux=True)(
            state.parameters, batch
        )
        decay = jnp.minimum(self.options.average_decay, (1.0 + state.step) / (10.0 + state.step))
        state = state.stepped(self.optimiser, gradient, decay)
        log = {**means, "loss": total, "gradient_norm": optax.tree.norm(gradient)}
        return gather((state, log), self.sharding)

    def _fraction(self, name: str) -> float:
        return getattr(self.options.objectives[name], "fraction", 1.0)

    def _frame(
        self,
        model: AbstractScore,
        one: Batch,
        names: list[str],
    ) -> dict[str, Scalar]:
        """Terms of one frame of a batch."""
        clean, features, objectives = one.frames, self.features, self.objectives
        if one.molecule is not None:
            features, objectives = of_molecule((features, objectives), one.molecule)
        turn, noise, probe = jax.random.split(one.keys, 3)
        label = one.labels
        if self.options.rotate:
            rotation = random_rotation(turn)
            clean = clean @ rotation.T
            if label is not None:
                label = label._replace(force=label.force @ rotation.T)
        noised = Noised.draw(
            clean,
            one.times,
            self.process,
            features,
            noise,
            centred=self.centred,
            antithetic=self.options.antithetic,
            label=label,
        )
        evaluation = Evaluation(model, self.process, noised)
        return {
            name: objectives[name](evaluation, jax.random.fold_in(probe, index))
            for index, name in enumerate(sorted(objectives))
            if name in names
        }


def _matrices(parameters: Any) -> Any:
    """Which arrays Muon moves, and which of their axes are those of a matrix."""
    one, one_a_place = (optax.contrib.MuonDimensionNumbers(i, i + 1) for i in (0, 1))

    def of_node(node: Any) -> Any:
        if isinstance(node, PerPlace):
            chosen = jax.tree.map(lambda _: None, node)
            return eqx.tree_at(
                lambda n: n.weight, chosen, one_a_place, is_leaf=lambda leaf: leaf is None
            )
        return one if node.ndim == 2 else None

    return jax.tree.map(of_node, parameters, is_leaf=lambda node: isinstance(node, PerPlace))


def _share(fraction: float, size: int) -> int:
    """Frames of a batch that carry a term."""
    return max(1, round(fraction * size))


def _built(options: Any, molecules: Sequence[Molecule], several: bool) -> AbstractObjective:
    """An objective for one molecule or, its arrays padded with zeros and stacked, for many."""
    each = [options.build(molecule) for molecule in molecules]
    if not several:
        return each[0]
    arrays = [eqx.partition(one, lambda leaf: isinstance(leaf, np.ndarray)) for one in each]
    joined = jax.tree.map(lambda *leaves: stacked(leaves), *(own for own, _ in arrays))
    return eqx.combine(joined, arrays[0][1])
