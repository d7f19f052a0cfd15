"""Train two methods on the same data and say which is better, and whether that means anything.

    python examples/5_compare_two_runs.py [--quick]

The data are two Gaussians in the plane. `diffusion` is score matching alone; `fokker` adds an
objective that ties the energies at different times together. `fokker benchmark` does the same for
many seeds.
"""

import shutil
import sys
from pathlib import Path

import fokker

QUICK = "--quick" in sys.argv
METHODS = ("diffusion", "fokker")
changes = {"sampling": {"n": 20_000}, "simulation": {"chains": 200, "steps": 20_000, "stride": 100}}
if QUICK:
    changes = {"sampling": {"n": 500}, "simulation": {"chains": 10, "steps": 200, "stride": 20}}

# 1. The same data, steps and seed for both. Only the method differs.
tables = {}
for method in METHODS:
    run = Path(f"runs/example-compare-{method}")
    shutil.rmtree(run, ignore_errors=True)
    config = fokker.preset("mixture-2d", method, changes, effort=0.001 if QUICK else 0.2)
    fokker.train(config, run)
    fokker.sample(run)
    fokker.simulate(run)
    tables[method] = fokker.evaluate(run)

# 2. Compare at equal numbers of frames: the floor depends on them. A ratio of about 1.1 is what a
#    perfect model gets.
print(f"{'method':12} {'use':12} {'JS':>8} {'+-':>8} {'floor':>8} {'ratio':>7}  failed")
for method, metrics in tables.items():
    for use in ("iid", "sim"):
        t = metrics[use]
        keys = ("js_data", "js_data_bootstrap_error", "js_data_floor")
        numbers = " ".join(f"{t[key]:8.4f}" for key in keys)
        print(f"{method:12} {use:12} {numbers} {t['js_data_ratio']:7.2f}  {t['failed_fraction']}")

# 3. Is the difference more than its error? The errors are of the frames. The spread from one
#    training to the next is not in them: for that train several seeds.
for use in ("iid", "sim"):
    one, two = (tables[method][use] for method in METHODS)
    difference = one["js_data"] - two["js_data"]
    error = (one["js_data_bootstrap_error"] ** 2 + two["js_data_bootstrap_error"] ** 2) ** 0.5
    verdict = "more than two errors" if abs(difference) > 2 * error else "within two errors"
    better = METHODS[difference > 0]
    print(f"{use}: {better} is better by {abs(difference):.4f} +- {error:.4f}, {verdict}")
