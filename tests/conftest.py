"""Shapes and types are checked at run time for the whole package, in every test.

Programs are compiled with few optimisations: most of the time of the suite was compiling what then
runs for milliseconds. `test_cli.py` has a training as a user runs it, with all of them.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Before JAX is imported; the processes that tests start inherit them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

# What tests write need not survive a power cut: waiting for the disk took a second in forty.
os.fsync = lambda _: None

install_import_hook("fokker", "beartype.beartype")


def _share_contexts(uses: int = 200) -> None:
    """Lower several programs in one MLIR context: building one takes JAX longer than most use it.

    It is no part of JAX's interface, and without it the suite is only slower.
    """
    try:
        from jax._src.interpreters import mlir

        make = mlir.make_ir_context
    except (ImportError, AttributeError):
        return
    left: list = []

    def shared():
        if not left:
            left.extend([make()] * uses)
        return left.pop()

    mlir.make_ir_context = shared


_share_contexts()

# A busy machine is no reason to fail; the suite as a whole has a time limit.
settings.register_profile("fokker", deadline=None)
settings.load_profile("fokker")


MAPS = Path("/proc/self/maps")
MOST_MAPS = 30_000


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Forget compiled programs after a module if there are many.

    Every one holds memory maps, of which Linux grants a process some 65,000: the compiler of a
    worker that has run a thousand tests crashes without them.
    """
    last = nextitem is None or nextitem.path != item.path
    jax = sys.modules.get("jax")
    if last and jax is not None and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
