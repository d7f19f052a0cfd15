"""Langevin dynamics with the force of a trained run."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..config import SimulationOptions
from ..dynamics import AbstractIntegrator, BlockResult, SimulationState
from ..dynamics import simulate as integrate
from ..errors import FokkerError
from ..metrics import evenly
from ..metrics.tally import Tally
from ..model.force import Broken, Force
from ..run.loaded import LoadedRun, load_run
from ..run.weights import read_weights
from ..runtime import checkpoint, parallel
from ..runtime.interruption import Interrupted, Stop
from ..trajectory import FrameWriter, check_output_path, read_frames
from ..units import BOLTZMANN
from .sample import SIMULATION_STREAM


@dataclass(frozen=True)
class SimulationProgress:
    """Told after every block."""

    step: int
    n_steps: int
    temperature: float | None
    """Of all frames of the block; K for molecules, else in units of energy."""
    kinetic: float | None
    """kJ/mol, mean over the running chains at the last frame of the block."""
    potential: float | None
    """kJ/mol up to a constant, likewise; None if the model has no energy."""
    diverged: int


def _progress(
    block: BlockResult, options: SimulationOptions, loaded: LoadedRun, force: Force
) -> SimulationProgress:
    last = block.kinetic_energy[-1]
    running = np.asarray(block.state.stopped_at) < 0
    kinetic = potential = None
    if running.any():
        kinetic = float(last[running].mean()) if np.isfinite(last[running]).all() else None
        potential = force.mean_energy(jnp.asarray(block.frames[-1]), jnp.asarray(running))
    return SimulationProgress(
        block.step,
        options.steps,
        _temperature(block.kinetic_energy, loaded),
        kinetic,
        potential,
        int(np.sum(~running)),
    )


def simulate(
    run: Path,
    *,
    options: SimulationOptions | None = None,
    out: Path | None = None,
    seed: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    stop: Stop | None = None,
    on_progress: Callable[[SimulationProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Run many chains and stream their frames to a trajectory.

    The file holds all chains at the first stored time, then all chains at the second, and so on.

    Parameters
    ----------
    run
        Folder of a trained run.
    options
        Integrator, chains, steps, start; by default those of the configuration.
    out
        XTC, DCD or NPY file; by default `simulation.xtc` in the run folder.
    seed
        By default that of the configuration.
    resume
        Continue a simulation that was interrupted, or extend one to more steps.
    overwrite
        Replace a file that exists.
    stop, on_progress
        For a display.

    Returns
    -------
    dict
        What was done: chains, steps, start, speed, temperature, diverged chains.

    Raises
    ------
    FokkerError
        On bad input.
    Interrupted
        If stopped; `resume` continues.
    """
    loaded = load_run(run)
    options = options or loaded.config.simulation
    seed = loaded.config.seed if seed is None else seed
    target = out or loaded.folder.simulation(loaded.system)
    restart = target.with_name(f".{target.name}.restart")
    settings = {"seed": seed, **options.model_dump(mode="json", exclude={"steps"})}
    integrator = options.integrator.build(loaded.system.masses, loaded.system.kT)
    force = loaded.force(options.t)
    sharding = parallel.split(options.chains, "chains", parallel.CHAINS_PER_CORE)
    x0, start = _start(loaded, options, seed)
    # the restart folder is made before the file: where both are there, the file is ours to resume
    ours = resume and restart.is_dir()
    if parallel.is_primary():  # which may have made it before another process looks
        check_output_path(target, loaded.system, overwrite or ours)
    key = jax.random.fold_in(jax.random.key(seed), SIMULATION_STREAM)
    with contextlib.ExitStack() as stack:
        stack.enter_context(loaded.folder.locked())
        state, n_bytes, tally = None, 0, Tally()
        if ours and checkpoint.exists(restart):
            state, n_bytes, tally = _restore(restart, settings, integrator, x0)
        elif parallel.is_primary():
            _begin(restart)
        writer = None
        if parallel.is_primary():
            append_at = n_bytes if target.exists() or n_bytes else None
            writer = FrameWriter(target, loaded.system, append_at=append_at)
            stack.enter_context(writer)
        failed_before = tally.n_failed
        clock = time.monotonic()

        def on_block(block: BlockResult) -> None:
            nonlocal clock
            if writer is not None:
                writer.write(block.frames.reshape(-1, *block.frames.shape[2:]))
                tally.n_failed = failed_before + writer.n_failed
            tally.add(block.kinetic_energy, time.monotonic() - clock)
            clock = time.monotonic()
            if writer is not None:
                checkpoint.save(
                    restart,
                    block.step,
                    {"state": block.state},
                    {"settings": settings, "bytes": writer.n_bytes, "tally": tally.as_json()},
                )
            on_progress(_progress(block, options, loaded, force))
            if parallel.anywhere(stop is not None and stop()) and block.step < options.steps:
                raise Interrupted

        state = integrate(
            integrator,
            force,
            x0,
            key,
            n_steps=options.steps,
            stride=options.stride,
            centred=loaded.system.centred,
            on_block=on_block,
            state=state,
            is_broken=Broken.create(loaded.system, loaded.limits),
            sharding=sharding,
        )
    record = _record(loaded, options, start, state, tally)
    if target == loaded.folder.simulation(loaded.system):
        loaded.folder.note(simulation=record)
    return record


def _begin(restart: Path) -> None:
    """Make the restart folder, without what an earlier simulation left there."""
    try:
        if restart.exists():
            shutil.rmtree(restart)
        restart.mkdir()
    except OSError as error:
        raise FokkerError(
            f"{restart}: cannot be written to ({error.strerror}); choose another folder."
        ) from error


def _start(
    loaded: LoadedRun, options: SimulationOptions, seed: int
) -> tuple[Float[np.ndarray, "chains beads dim"], str]:
    """Start positions in user units, and a sentence on where they come from."""
    rng = np.random.default_rng([seed, SIMULATION_STREAM])
    chains = options.chains
    if options.start == "training" and loaded.vocabulary is not None:
        frames, text = _own_start(loaded, chains)
    elif options.start == "training":
        frames = loaded.scaling.invert(loaded.start_frames)
        text = f"{chains} random training frames (equilibrium starts)"
    elif options.start == "samples":
        path = loaded.folder.samples(loaded.system)
        if not path.exists():
            raise FokkerError(f"{path}: no samples to start from; run `fokker sample` first.")
        frames = _samples(path, loaded)
        text = f"{chains} of the model's own samples"
    else:
        path = Path(options.start)
        frames = read_frames(path, loaded.system, min_frames=1)[:1]
        text = f"one structure, {path.name}, in all {chains} chains"
    rows = rng.choice(len(frames), chains, replace=len(frames) < chains)
    return frames[rows], text


def _samples(path: Path, loaded: LoadedRun) -> Float[np.ndarray, "_ beads dim"]:
    """Frames of a file of samples, as often as their weights say."""
    frames = read_frames(path, loaded.system, allow_failed=True)
    weights = read_weights(path, len(frames))
    return frames if weights is None else frames[evenly(weights)]


def _own_start(loaded: LoadedRun, chains: int) -> tuple[Float[np.ndarray, "_ beads dim"], str]:
    """Start of a molecule that need not have been trained on: the model's samples, if any."""
    path = loaded.folder.samples(loaded.system)
    if path.exists():
        return _samples(path, loaded), f"{chains} of the model's own samples"
    frames = loaded.scaling.invert(loaded.start_frames)
    return frames, f"the structure of the topology, in all {chains} chains"


def _restore(
    restart: Path,
    settings: dict[str, Any],
    integrator: AbstractIntegrator,
    x0: Float[np.ndarray, "chains beads dim"],
) -> tuple[SimulationState, int, Tally]:
    path = checkpoint.latest(restart)
    manifest = checkpoint.read_manifest(path)
    if manifest.get("settings") != settings:
        raise FokkerError(
            f"{restart}: the simulation to resume had other settings; repeat those, or start again "
            "with `fokker simulate` and --overwrite."
        )
    chains = jax.vmap(integrator.init)(
        jnp.asarray(x0), jax.random.split(jax.random.key(0), len(x0))
    )
    blank = SimulationState(chains, jnp.zeros((), jnp.int32), jnp.zeros(len(x0), jnp.int32))
    state = checkpoint.load(path, "state", blank)
    try:
        return state, int(manifest["bytes"]), Tally.from_json(manifest["tally"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FokkerError(
            f"{path}/manifest.json: incomplete or altered ({type(error).__name__}); use "
            "--overwrite to start again."
        ) from error


def _temperature(kinetic: Float[np.ndarray, "frames chains"], loaded: LoadedRun) -> float | None:
    finite = kinetic[np.isfinite(kinetic)]
    if not len(finite):
        return None
    kT = 2.0 * float(finite.mean()) / loaded.system.degrees_of_freedom
    return kT / BOLTZMANN if loaded.system.dim == 3 else kT


def _record(
    loaded: LoadedRun,
    options: SimulationOptions,
    start: str,
    state: SimulationState,
    tally: Tally,
) -> dict[str, Any]:
    stopped_at = np.asarray(state.stopped_at)
    molecule = loaded.system.dim == 3
    unit = 1.0 if molecule else BOLTZMANN
    found = tally.temperature(loaded.system.degrees_of_freedom)
    measured = None
    if found is not None and np.isfinite(found.mean):
        measured = {
            "mean": found.mean * unit,
            "standard_error": found.standard_error * unit,
            "target": loaded.system.kT / BOLTZMANN * unit,
            "unit": "K" if molecule else "energy",
        }
    work = options.chains * options.steps
    return {
        "chains": options.chains,
        "steps": options.steps,
        "stride": options.stride,
        "start": start,
        "t": options.t,
        "conservative": loaded.model.conservative[0],
        "integrator": options.integrator.model_dump(mode="json"),
        "seconds": round(tally.seconds, 2),
        "steps_per_second": round(work / tally.seconds, 1) if tally.seconds else None,
        "temperature": measured,
        "diverged": int(np.sum(stopped_at >= 0)),
        "diverged_at": [int(step) for step in np.sort(stopped_at[stopped_at >= 0])],
    }
