"""Memory and restart size of a simulation of many frames.

    python benchmarks/reliability/long_simulation.py OUT.json [FRAMES]

Simulates a double well as `fokker simulate` does, block after block through the trajectory writer,
the tally and the restart, and notes the peak of the resident memory and the size of the restart at
tenths of the way. The trajectory goes to a temporary folder (4 bytes a frame and chain).
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

from fokker.dynamics import LangevinOptions, simulate
from fokker.metrics.tally import Tally
from fokker.potential import DoubleWell
from fokker.runtime import checkpoint
from fokker.system import Bead, System
from fokker.trajectory import FrameWriter

CHAINS = 10
STRIDE = 2


class _Force(eqx.Module):
    potential: DoubleWell

    def __call__(self, x):
        return self.potential.force(x)


def main() -> None:
    """Run it."""
    out, n_frames = Path(sys.argv[1]), int((sys.argv[2:] or ["10000000"])[0])
    stored = n_frames // CHAINS
    system = System(name="well", dim=1, beads=(Bead(name="X"),), kT=1.0, centred=False)
    tally, rows, began = Tally(), [], time.monotonic()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with FrameWriter(folder / "long.npy", system) as writer:

            def on_block(block) -> None:
                writer.write(block.frames.reshape(-1, 1, 1))
                tally.add(block.kinetic_energy, 0.0)
                metadata = {"bytes": writer.n_bytes, "tally": tally.as_json()}
                path = checkpoint.save(
                    folder / "restart", block.step, {"state": block.state}, metadata
                )
                done = block.step // STRIDE
                if done * 10 // stored > len(rows):
                    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
                    size = sum(p.stat().st_size for p in path.iterdir())
                    row = {"frames": done * CHAINS, "peak": peak, "restart": size}
                    rows.append(row)
                    print(row, flush=True)

            simulate(
                LangevinOptions(dt=0.1, friction=1.0).build((1.0,), 1.0),
                _Force(DoubleWell(2.0, 1.0, 1.0)),
                np.ones((CHAINS, 1, 1), np.float32),
                jax.random.key(0),
                n_steps=stored * STRIDE,
                stride=STRIDE,
                centred=False,
                on_block=on_block,
            )
            n_bytes = writer.n_bytes
        whole = np.load(folder / "long.npy", mmap_mode="r")
        assert whole.shape == (n_frames, 1, 1)
    result = {
        "frames": n_frames,
        "chains": CHAINS,
        "trajectory bytes": n_bytes,
        "seconds": round(time.monotonic() - began, 1),
        "temperature over target": tally.temperature(1).mean * 0.00831446261815324,
        "bytes at tenths of the way": rows,
    }
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
