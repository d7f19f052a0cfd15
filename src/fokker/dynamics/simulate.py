"""The simulation loop: many chains, compiled once, in blocks of bounded memory."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.sharding import NamedSharding
from jaxtyping import Array, Bool, Float, Int, UInt32

from ..errors import FokkerError
from ..runtime.parallel import gather, of_primary, ready, scatter, share
from ..types import Key, Positions
from .base import AbstractIntegrator, Force, State
from .noise import standard_normal

BLOCK_BYTES = 64 * 2**20
MAX_STEPS = 2**31
START = -1
"""Counter of the noise of the first velocities: no step has it."""

BLOCKS_PER_RUN = 20
BLOCK_SECONDS = 10.0
"""Most work that a kill loses, and longest wait for the answer to a signal."""

Predicate: TypeAlias = Callable[[Positions], Bool[Array, ""]]


class SimulationState(NamedTuple):
    """Everything that continues a simulation, given the same key.

    Attributes
    ----------
    chains : State with arrays of shape (chains, beads, dim)
    step : steps made
    stopped_at : per chain, the step at which it was found broken, or -1 while it runs
    """

    chains: State
    step: Int[Array, ""]
    stopped_at: Int[Array, " chains"]


class BlockResult(NamedTuple):
    """Consecutive frames on the host.

    Attributes
    ----------
    frames : float32, nm, shape (frames, chains, beads, dim); NaN from the frame a chain stopped at
    kinetic_energy : kJ/mol, shape (frames, chains); NaN likewise
    step : steps made at the last of these frames
    state : the state to restart from
    """

    frames: Float[np.ndarray, "frames chains beads dim"]
    kinetic_energy: Float[np.ndarray, "frames chains"]
    step: int
    state: SimulationState


def simulate(
    integrator: AbstractIntegrator,
    force: Force,
    x0: Float[Array | np.ndarray, "chains beads dim"],
    key: Key,
    *,
    n_steps: int,
    stride: int,
    centred: bool,
    on_block: Callable[[BlockResult], Any],
    state: SimulationState | None = None,
    is_broken: Predicate | None = None,
    frames_per_block: int | None = None,
    sharding: NamedSharding | None = None,
) -> SimulationState:
    """Run independent chains and hand over their frames block by block.

    The noise of step k depends on the key, k and the place of the number in the batch only, so a
    run continued from a stored state equals an uninterrupted one bit for bit.

    A chain whose frame is not finite, or for which `is_broken` says True, is stopped: it keeps the
    positions of its last good frame in the state, its frames are NaN, the others do not notice.

    Parameters
    ----------
    integrator : time step, for one chain
    force : force on one frame, kJ/mol/nm. Give an `equinox.Module`, whose arrays are arguments of
        the compiled program; the arrays that a plain function closes over become constants
    x0 : start positions, nm; not read on a restart
    key : random key of the run; a restart takes the same one
    n_steps : total number of steps, including those that `state` has already made; nothing is done
        if it has made as many
    stride : steps between stored frames
    centred : subtract the mean position at each stored frame
    on_block : called with each `BlockResult`, in order
    state : restart from here
    is_broken : predicate of one frame, for example a bond out of range
    frames_per_block : frames stored in a block; by default as many as take ten seconds, at most a
        twentieth of the run and 64 MiB
    sharding : spread the chains over devices; the noise, and so the result, is the same

    Raises
    ------
    FokkerError
        if `n_steps`, `stride` or `frames_per_block` is out of range, if `n_steps` is not a multiple
        of `stride`, or if `state` was made with another stride or number of chains or beads.
    """
    _check_length(n_steps, stride)
    noise_words = random.bits(key, (2,), jnp.uint32)
    if state is None:
        state = _start(integrator, is_broken, jnp.asarray(x0, jnp.float32), noise_words, centred)
    _check_restart(state, x0.shape, n_steps, stride)

    room = frames_per_block
    if room is None:
        room = block_length(n_steps // stride, 4 * state.chains.x.size)
    if room < 1:
        raise FokkerError(f"frames_per_block must be at least 1, got {room}")
    integrator, force, current, noise_words = share(
        (integrator, force, state, noise_words), sharding
    )
    step, length = int(current.step), 1 if frames_per_block is None else room
    program: Callable[..., Any] | None = None
    while step < n_steps:
        n_frames = min(length, (n_steps - step) // stride)
        began = time.monotonic()
        varying = current, noise_words, share(jnp.asarray(n_frames, jnp.int32), sharding)
        arguments = integrator, force, is_broken, *varying, room, stride, centred, sharding
        program = program or ready(_run_block, *arguments)
        current, frames, kinetic = program(*arguments)
        block = np.asarray(frames)[:n_frames], np.asarray(kinetic)[:n_frames]
        step += n_frames * stride
        if frames_per_block is None:
            length = of_primary(_next_length(n_frames, time.monotonic() - began, room))
        on_block(BlockResult(*block, step, current))
    return current


def _next_length(n_frames: int, seconds: float, room: int) -> int:
    """Frames that should take `BLOCK_SECONDS`, after so many took so long; at most fourfold."""
    fitting = int(n_frames * BLOCK_SECONDS / max(seconds, 1e-9))
    return max(1, min(fitting, 4 * n_frames, room))


@eqx.filter_jit
def _start(
    integrator: AbstractIntegrator,
    is_broken: Predicate | None,
    x0: Float[Array, "chains beads dim"],
    noise_words: UInt32[Array, "2"],
    centred: bool,
) -> SimulationState:
    if centred:
        x0 = x0 - x0.mean(axis=1, keepdims=True)
    noise = standard_normal(noise_words, jnp.asarray(START), x0.size).reshape(x0.shape)
    chains = jax.vmap(integrator.start)(x0, noise)
    stopped_at = jnp.where(is_sound(chains, is_broken), -1, 0)
    return SimulationState(chains, jnp.zeros((), jnp.int32), stopped_at)


@eqx.filter_jit
def _run_block(
    integrator: AbstractIntegrator,
    force: Force,
    is_broken: Predicate | None,
    state: SimulationState,
    noise_words: UInt32[Array, "2"],
    n_frames: Int[Array, ""],
    frames_per_block: int,
    stride: int,
    centred: bool,
    sharding: NamedSharding | None,
) -> tuple[
    SimulationState,
    Float[Array, "frames chains beads dim"],
    Float[Array, "frames chains"],
]:
    """Fill the first n_frames of a block; n_frames is dynamic, so the last block is not recompiled.

    A block of chains that have all stopped costs nothing.
    """
    advance = jax.vmap(lambda chain, noise: integrator.advance(chain, force, noise))

    def store_frame(i, carry):
        state, frames, kinetic = carry
        state = lax.cond(jnp.any(state.stopped_at < 0), make_frame, skip_frame, state)
        running = state.stopped_at < 0
        energy = jax.vmap(lambda chain: integrator.kinetic_energy(chain, centred))(state.chains)
        frames = frames.at[i].set(jnp.where(running[:, None, None], state.chains.x, jnp.nan))
        return state, frames, kinetic.at[i].set(jnp.where(running, energy, jnp.nan))

    def make_frame(state):
        chains = many_steps(advance, state.chains, state.step, noise_words, stride)
        if centred:
            chains = chains._replace(x=chains.x - chains.x.mean(axis=1, keepdims=True))
        step = state.step + stride
        running = state.stopped_at < 0
        sound = running & is_sound(chains, is_broken)
        chains = jax.tree.map(
            lambda new, old: jnp.where(sound[:, None, None], new, old), chains, state.chains
        )
        return SimulationState(chains, step, jnp.where(running & ~sound, step, state.stopped_at))

    def skip_frame(state):
        return state._replace(step=state.step + stride)

    frames = jnp.full((frames_per_block, *state.chains.x.shape), jnp.nan)
    kinetic = jnp.full((frames_per_block, len(state.stopped_at)), jnp.nan)
    frames, kinetic = scatter((frames, kinetic), sharding, axis=1)
    chains, stopped_at = scatter((state.chains, state.stopped_at), sharding)
    state = SimulationState(chains, state.step, stopped_at)
    return gather(lax.fori_loop(0, n_frames, store_frame, (state, frames, kinetic)), sharding)


def many_steps(
    advance: Callable[[State, Float[Array, "chains beads dim"]], State],
    chains: State,
    step: Int[Array, ""],
    noise_words: UInt32[Array, "2"],
    n: int,
) -> State:
    """Make n steps of every chain.

    Parameters
    ----------
    advance
        One step of all chains, given standard normal noise.
    chains
        State with arrays of shape (chains, beads, dim).
    step
        How many steps have been made; the noise depends on it.
    noise_words
        Seed of the noise.
    n
        How many to make.
    """
    shape, size = chains.x.shape, chains.x.size

    # The noise of the next step is carried along: as an output of the loop body it is computed over
    # a flat array, which on a CPU takes half the time of one fused into (chains, beads, dim).
    def one_step(carry, i):
        chains, noise = carry
        chains = advance(chains, noise.reshape(shape))
        return (chains, standard_normal(noise_words, step + i + 1, size)), None

    first = standard_normal(noise_words, step, size)
    return lax.scan(one_step, (chains, first), jnp.arange(n))[0][0]


def is_sound(chains: State, is_broken: Predicate | None) -> Bool[Array, " chains"]:
    """Which chains are finite and not broken."""
    finite = jax.vmap(lambda chain: jnp.isfinite(chain.x).all() & jnp.isfinite(chain.v).all())
    sound = finite(chains)
    return sound if is_broken is None else sound & ~jax.vmap(is_broken)(chains.x)


def block_length(n_frames: int, frame_bytes: int) -> int:
    """Frames in a block: a twentieth of the run, for progress, within the bound on memory."""
    return max(1, min(-(-n_frames // BLOCKS_PER_RUN), BLOCK_BYTES // frame_bytes))


def _check_length(n_steps: int, stride: int) -> None:
    if not 1 <= n_steps < MAX_STEPS or stride < 1:
        raise FokkerError(
            f"a simulation takes 1 to {MAX_STEPS - 1} steps and a stride of at least 1, "
            f"got n_steps={n_steps} and stride={stride}"
        )
    if n_steps % stride:
        raise FokkerError(
            f"n_steps={n_steps} is not a multiple of stride={stride}; "
            f"use {n_steps // stride * stride or stride} steps"
        )


def _check_restart(
    state: SimulationState, shape: tuple[int, ...], n_steps: int, stride: int
) -> None:
    if state.chains.x.shape != shape:
        raise FokkerError(
            f"the stored simulation has (chains, beads, dim) = {state.chains.x.shape}, this one "
            f"has {shape}; restart with the same system and number of chains"
        )
    if int(state.step) % stride:
        raise FokkerError(
            f"the stored simulation is at step {int(state.step)}, not a multiple of "
            f"stride={stride}; restart with the stride it was run with"
        )
