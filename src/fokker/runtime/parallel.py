"""Several devices and several processes: one program, split over a mesh with one axis.

Arrays are whole on every device between two compiled programs, so that any process can read them;
inside, batches and chains are split. Process 0 alone writes files.

A CPU is one device that computes a small batch with one of its cores, and several if it is split.
Chains gain by that and are spread over its cores without being asked, those of a refinement or a
reweighting too; experts are trained on one device, which uses all cores in large products.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..errors import FokkerError

AXIS = "parts"
JOIN_SECONDS = 300
PATIENCE_SECONDS = 24 * 3600
"""How long a process that has ended its part waits for the others to end theirs."""

CHAINS_PER_CORE = 8
"""At least so many for each core that was not asked for."""

Tree = TypeVar("Tree")
_meetings = itertools.count()
_unasked = False
"""Whether the CPU was split though no option said so."""


class Place(NamedTuple):
    """Where this process stands among those that were started together."""

    coordinator: str | None
    n_processes: int
    index: int


def place(environment: Mapping[str, str]) -> Place | None:
    """Find out from the environment whether several processes were started together.

    Known are `srun` of Slurm, `mpirun` of Open MPI, and by hand `FOKKER_COORDINATOR` (host:port of
    process 0), `FOKKER_PROCESSES` and `FOKKER_PROCESS`.

    Raises
    ------
    FokkerError
        If only some of a set of variables are there, or one is not a number.
    """
    own = ("FOKKER_COORDINATOR", "FOKKER_PROCESSES", "FOKKER_PROCESS")
    if any(name in environment for name in own):
        n, index = (_number(environment, name) for name in own[1:])
        coordinator = environment.get(own[0], "")
        if ":" not in coordinator or not 0 <= index < n:
            raise FokkerError(
                f"{own[0]}={coordinator!r}, {own[1]}={n}, {own[2]}={index}: give host:port of "
                "process 0, the number of processes, and the number of this one from 0."
            )
        return Place(coordinator, n, index)
    if _many(environment, "SLURM_STEP_NUM_TASKS"):
        n, index = (
            _number(environment, "SLURM_STEP_NUM_TASKS"),
            _number(environment, "SLURM_PROCID"),
        )
        return Place(None, n, index)
    if _many(environment, "OMPI_COMM_WORLD_SIZE"):
        n, index = (_number(environment, f"OMPI_COMM_WORLD_{s}") for s in ("SIZE", "RANK"))
        if environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") != str(n):
            return Place(None, n, index)
        job = environment.get("PMIX_NAMESPACE", environment.get("OMPI_MCA_ess_base_jobid", ""))
        return Place(f"127.0.0.1:{49152 + sum(job.encode()) * 31 % 16384}", n, index)
    return None


def start(devices: int | None = None, environment: Mapping[str, str] = os.environ) -> None:
    """Set up devices and join the other processes; before anything is computed.

    Parameters
    ----------
    devices
        Devices of this process; on a CPU, parts that it is split in. By default all accelerators,
        or one CPU, which is split in its cores for what `split` says can use them.
    environment
        See `place`.

    Raises
    ------
    FokkerError
        If there are not so many devices, or the other processes cannot be reached.
    """
    global _unasked
    here = place(environment)
    if devices is not None:
        jax.config.update("jax_num_cpu_devices", devices)
        _unasked = False
    elif here is None and jax.config.jax_num_cpu_devices < 0:  # pyright: ignore[reportAttributeAccessIssue]
        with contextlib.suppress(RuntimeError):  # JAX has begun: the CPU stays as it is
            jax.config.update("jax_num_cpu_devices", _cores())
            _unasked = True
    if here is not None and here.n_processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        # it would take SIGTERM for itself, which asks for a checkpoint here
        jax.config.update("jax_enable_preemption_service", False)
        try:
            jax.distributed.initialize(
                here.coordinator,
                None if here.coordinator is None else here.n_processes,
                None if here.coordinator is None else here.index,
                initialization_timeout=JOIN_SECONDS,
                shutdown_timeout_seconds=PATIENCE_SECONDS,
            )
        except (RuntimeError, ValueError) as error:
            raise FokkerError(
                f"process {here.index} of {here.n_processes} could not join the others "
                f"({str(error).splitlines()[0]}); check that all were started and reach process 0."
            ) from error
    if devices is not None and jax.local_device_count() < devices:
        raise FokkerError(
            f"--devices {devices}: this process has {jax.local_device_count()}; give no more."
        )


def _cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def several_processes() -> bool:
    """Whether other processes take part."""
    return jax.process_count() > 1


def is_primary() -> bool:
    """Whether this process writes the files."""
    return jax.process_index() == 0


def split(count: int, what: str, per_core: int | None = None) -> NamedSharding | None:
    """Split so many equal things over all devices, or over as many as share them out evenly.

    Parameters
    ----------
    count, what
        How many of what.
    per_core
        Use also the cores of a CPU that no option asked for, if each gets at least so many of them.

    Returns
    -------
    NamedSharding or None
        Of the first axis; None if one device does it all.

    Raises
    ------
    FokkerError
        If several processes cannot share them out evenly: none may stand aside.
    """
    devices = jax.devices()
    most = len(devices)
    if _unasked and devices[0].platform == "cpu":
        most = 1 if per_core is None else min(most, max(1, count // per_core))
    n = max(k for k in range(1, most + 1) if count % k == 0)
    if several_processes() and n < len(devices):
        raise FokkerError(
            f"{count} {what} cannot be shared out evenly over {len(devices)} devices of "
            f"{jax.process_count()} processes; use a multiple of {len(devices)}."
        )
    return (
        None if n == 1 else NamedSharding(Mesh(np.array(devices[:n]), (AXIS,)), PartitionSpec(AXIS))
    )


def replicated(sharding: NamedSharding) -> NamedSharding:
    """Whole on every device of the same mesh."""
    return NamedSharding(sharding.mesh, PartitionSpec())


def share(tree: Tree, sharding: NamedSharding | None) -> Tree:
    """Put the JAX arrays of a pytree whole on every device; each process gives the same ones."""
    if sharding is None:
        return tree
    whole = replicated(sharding)

    def put(leaf: jax.Array) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            impl = jax.random.key_impl(leaf)
            return jax.random.wrap_key_data(put(jax.random.key_data(leaf)), impl=impl)
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, whole, lambda index: host[index])

    arrays, rest = eqx.partition(tree, lambda leaf: isinstance(leaf, jax.Array))
    return eqx.combine(jax.tree.map(put, arrays), rest)


def gather(tree: Tree, sharding: NamedSharding | None) -> Tree:
    """Inside a compiled program: make the arrays of a pytree whole on every device."""
    if sharding is None:
        return tree
    whole = replicated(sharding)
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, whole), tree)


def scatter(tree: Tree, sharding: NamedSharding | None, axis: int = 0) -> Tree:
    """Inside a compiled program: split the arrays of a pytree along an axis, if they can be."""
    if sharding is None or any(a.shape[axis] % sharding.num_devices for a in jax.tree.leaves(tree)):
        return tree
    split_axis = NamedSharding(sharding.mesh, PartitionSpec(*[None] * axis, *sharding.spec))
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, split_axis), tree)


def local(tree: Tree) -> Tree:
    """Copy arrays that are whole on every device to the first device of this process alone."""
    return jax.tree.map(lambda a: jnp.asarray(np.asarray(a)) if eqx.is_array(a) else a, tree)


def ready(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """Compile a function of `eqx.filter_jit` in every process before the first one calls it.

    Processes that wait for each other in the middle of a program give up after half a minute, which
    is less than compilation may differ by. With one process this does nothing.
    """
    if not several_processes():
        return function
    from jax._src.distributed import global_state

    compiled = function.lower(*arguments).compile()  # pyright: ignore[reportFunctionMemberAccess]
    client: Any = global_state.client
    client.wait_at_barrier(f"fokker-{next(_meetings)}", 1000 * PATIENCE_SECONDS)
    return compiled


def anywhere(flag: bool) -> bool:
    """Whether the flag is set in any process; all have to ask."""
    if not several_processes():
        return flag
    from jax.experimental.multihost_utils import process_allgather

    return bool(np.any(process_allgather(np.asarray(flag))))


def of_primary(number: int) -> int:
    """Return the number that process 0 gives; all have to ask."""
    if not several_processes():
        return number
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return int(broadcast_one_to_all(np.asarray(number)))


def lost_process(error: BaseException) -> FokkerError | None:
    """One sentence for an error that means that another process has gone."""
    if not isinstance(error, jax.errors.JaxRuntimeError) or not several_processes():
        return None
    first = (str(error).strip().splitlines() or [""])[0][:160]
    return FokkerError(
        f"process {jax.process_index()} of {jax.process_count()} lost another one ({first}); the "
        "last checkpoint is kept: start all of them again with --resume."
    )


def no_memory(error: BaseException) -> FokkerError | None:
    """One sentence for an error that means that the memory is used up."""
    if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
        return None
    return FokkerError(
        "the memory is used up; what was written is kept: use a smaller batch size, fewer chains "
        "or a smaller network."
    )


def _many(environment: Mapping[str, Any], name: str) -> bool:
    return environment.get(name, "").isdigit() and int(environment[name]) > 1


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text.isdigit():
        raise FokkerError(f"{name} is {text!r}; it must be a number from 0.")
    return int(text)
