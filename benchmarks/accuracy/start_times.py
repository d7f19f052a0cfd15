"""Where on the way from t = 1 down samples go wrong.

    python benchmarks/accuracy/start_times.py RUN [-n 120000] [--times 1 0.6 0.3 0.1]

For each time prints a JSON line: samples that start there from training frames, noised, instead of
at t = 1 from noise: JS over its floor, and the share of frames with the first collective variable
above zero. What a later start does not better, the experts below that time have to answer for.
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fokker.metrics import compare, compute, failed_frames
from fokker.run.loaded import LoadedRun, load_run
from fokker.sampler import ReverseProcess, solve
from fokker.workflow.evaluate import baseline_of

BATCH = 4096


def samples(loaded: LoadedRun, training: np.ndarray, start: float, n: int) -> np.ndarray:
    """Frames that started at the grid's time nearest to one from noised training frames."""
    process, sampler = loaded.config.process.build(), loaded.config.sampling.sampler.build()
    features = jax.tree.map(jnp.asarray, loaded.features)
    reverse = ReverseProcess(loaded.model, process, features, loaded.system.centred)
    times = np.asarray(sampler.times(process, reverse.edges))
    times = times[np.abs(times - start).argmin() :]
    alpha, sigma = process.level(jnp.asarray(times[0]))
    clean = jnp.asarray(loaded.scaling.apply(training), jnp.float32)

    @jax.jit
    def draw(key):
        pick, noise, steps = jax.random.split(key, 3)
        chosen = clean[jax.random.randint(pick, (BATCH,), 0, len(clean))]
        x = alpha * chosen + sigma * reverse.noise(noise, chosen.shape)
        return solve(sampler, reverse, x, times, steps)

    keys = jax.random.split(jax.random.key(0), -(-n // BATCH))
    return loaded.scaling.invert(np.concatenate([np.asarray(draw(key)) for key in keys])[:n])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("-n", type=int, default=120_000)
    parser.add_argument("--times", type=float, nargs="+", default=[1.0, 0.6, 0.3, 0.1, 0.03])
    given = parser.parse_args()
    loaded = load_run(given.run)
    baseline = baseline_of(loaded)
    for start in given.times:
        frames = samples(loaded, baseline.frames, start, given.n)
        found = compare(loaded.system, baseline.frames, frames, reference_frames=baseline.reference)
        frames = frames[~failed_frames(loaded.system, frames, loaded.limits)]
        positive = (compute(loaded.system.collective_variables[0], frames) > 0).mean()
        row = {"run": given.run.name, "start": start, "js_ratio": round(found["js_data_ratio"], 3)}
        print(json.dumps({**row, "positive": round(float(positive), 5)}), flush=True)


if __name__ == "__main__":
    main()
