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

import os
import sys
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


def _multiply_in_single_precision() -> None:
    """Make products of float32 as precise as float32, unless the user has chosen otherwise.

    JAX lets accelerators keep ten bits of each factor (TF32 on NVIDIA cards). An energy is a small
    difference of large terms, and near t = 0 a force is its derivative on the scale of a bond's
    noise: three digits fewer are wrong barriers. It is stated here, before anything of the package
    can be traced, because every product matters: networks, rotations, projections, optimisers.
    """
    chosen = os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    jax = sys.modules.get("jax")  # which reads the variable when it is imported
    if jax is not None and jax.config.jax_default_matmul_precision is None:
        jax.config.update("jax_default_matmul_precision", chosen)


_multiply_in_single_precision()


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fokker' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name], __name__), name)


def __dir__() -> list[str]:
    return __all__
