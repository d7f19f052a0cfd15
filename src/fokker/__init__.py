"""One energy-based diffusion model of a molecule: equilibrium samples and dynamics that agree.

    from pathlib import Path

    import fokker

    run = Path("runs/ala")
    fokker.train(fokker.preset("alanine-dipeptide", "fokker"), run)
    fokker.sample(run, n=20_000)
    fokker.simulate(run)
    fokker.evaluate(run)
    fokker.write_report(run)

The functions are imported at their first use, so `import fokker` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "FokkerError": ".errors",
    "System": ".system",
    "evaluate": ".workflow.evaluate",
    "inspect": ".workflow.inspect",
    "load_run": ".run.loaded",
    "molecule": ".run.molecule",
    "preset": ".workflow.preset",
    "relax": ".workflow.relaxation",
    "sample": ".workflow.sample",
    "simulate": ".workflow.simulate",
    "train": ".workflow.train",
    "write_report": ".report",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fokker' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name], __name__), name)


def __dir__() -> list[str]:
    return __all__
