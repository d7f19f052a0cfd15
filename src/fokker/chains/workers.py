"""Many chains side by side, in processes of their own.

    python -m fokker.chains.workers < task.json

runs some of the chains and writes a file each. Every chain has its own seed, so the frames do not
depend on how chains are dealt out to processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..errors import FokkerError
from .engine import Dynamics, require_openmm, run_chain
from .model import ForceField, GoModel

_LOOK_SECONDS = 0.5


def simulate(
    model: GoModel,
    dynamics: Dynamics,
    *,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Float[np.ndarray, "chains frames beads 3"]:
    """Frames of independent chains, as from `run_chain`.

    Parameters
    ----------
    model, dynamics
        What is simulated, and how.
    seed
        Of velocities and noise.
    on_progress
        Told the steps done and in total, of all chains.

    Returns
    -------
    Array
        Positions in nm, float32.

    Raises
    ------
    FokkerError
        If OpenMM is not installed, or a chain fails.
    """
    require_openmm()
    total = dynamics.chains * (dynamics.equilibration + dynamics.frames * dynamics.stride)
    n_workers = min(dynamics.chains, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as name:
        task = {
            "native": model.native.tolist(),
            "field": model.field.model_dump(),
            "dynamics": dynamics.model_dump(),
            "seed": seed,
            "folder": name,
        }
        workers = [
            _Worker(json.dumps({**task, "chains": list(range(k, dynamics.chains, n_workers))}))
            for k in range(n_workers)
        ]
        try:
            while any(worker.wait(_LOOK_SECONDS) for worker in workers):
                on_progress(sum(worker.steps for worker in workers), total)
        finally:
            for worker in workers:
                worker.end()
        on_progress(sum(worker.steps for worker in workers), total)
        return np.stack([np.load(_file(Path(name), i)) for i in range(dynamics.chains)])


class _Worker:
    """A process that runs some of the chains, and the thread that listens to it."""

    def __init__(self, task: str) -> None:
        self.steps = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent, which ends this
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its own message, below, says more
            self._process.stdin.write(task)
            self._process.stdin.close()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.steps += int(line)

    def wait(self, seconds: float) -> bool:
        """Wait a while; whether it still runs."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        if code:
            assert self._process.stderr is not None
            lines = self._process.stderr.read().strip().splitlines() or [f"exit code {code}"]
            raise FokkerError(f"OpenMM could not simulate the chain ({lines[-1]}).")
        self._listener.join()
        return False

    def end(self) -> None:
        """Stop it if it still runs."""
        self._process.kill()
        self._process.wait()


def _file(folder: Path, chain: int) -> Path:
    return folder / f"{chain}.npy"


def _main() -> None:
    task = json.load(sys.stdin)
    model = GoModel.of(np.array(task["native"]), ForceField.model_validate(task["field"]))
    dynamics = Dynamics.model_validate(task["dynamics"])

    def tell(steps: int) -> None:
        print(steps, flush=True)

    for chain in task["chains"]:
        frames = run_chain(model, dynamics, task["seed"], chain, tell)
        np.save(_file(Path(task["folder"]), chain), frames)


if __name__ == "__main__":
    _main()
