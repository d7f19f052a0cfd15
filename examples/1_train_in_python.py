"""Train one model on alanine dipeptide, then sample and simulate with it.

    python examples/1_train_in_python.py [--quick]

The functions are those behind the commands `fokker train`, `sample`, `simulate`, `evaluate` and
`report`. The data come with the package: 50,000 frames of five beads at 300 K.
"""

import shutil
import sys
from pathlib import Path

import fokker

QUICK = "--quick" in sys.argv
RUN = Path("runs/example-alanine")

# 1. Settings. A preset is a system and a method. Changes are nested tables; their keys are those of
#    config.toml. `fokker presets --show alanine-dipeptide` prints all of them.
changes = {"sampling": {"n": 20_000}, "simulation": {"chains": 100, "steps": 20_000}}
method, effort = "fokker", 0.15
if QUICK:
    method, effort = "diffusion", 0.001
    changes = {"sampling": {"n": 500}, "simulation": {"chains": 10, "steps": 500, "stride": 50}}
config = fokker.preset("alanine-dipeptide", method, changes, effort=effort)

# 2. Train. A run folder that exists is never overwritten, so an old one is removed here.
shutil.rmtree(RUN, ignore_errors=True)
fokker.train(
    config,
    RUN,
    on_progress=lambda p: print(f"stage {p.stage + 1} of {p.n_stages}, step {p.step}", flush=True),
)

# 3. The two uses of the one model: independent samples, and molecular dynamics.
print("samples in", fokker.sample(RUN))
simulated = fokker.simulate(RUN)
print("diverged chains:", simulated["diverged"], "of", simulated["chains"])

# 4. Compare both with the training frames. The floor is what a perfect model would score at these
#    numbers of frames; about 1.1 times the floor is as good as it gets.
metrics = fokker.evaluate(RUN)
for name, words in (("iid", "samples"), ("sim", "simulation")):
    table = metrics[name]
    print(f"{words}: JS {table['js_data']:.4f}, {table['js_data_ratio']:.1f} times the floor")

# 5. One page with tables, figures and structures. It opens without a network.
if not QUICK:
    fokker.write_report(RUN)
    print("open", RUN / "report.html")
