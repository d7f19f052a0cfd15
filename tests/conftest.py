"""Shapes and types are checked at run time for the whole package, in every test."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("fokker", "beartype.beartype")

# A busy machine is no reason to fail; the suite as a whole has a time limit.
settings.register_profile("fokker", deadline=None)
settings.load_profile("fokker")

# Compiling takes half of the time, and workers and commands in processes of their own compile the
# same programs. The key of an entry holds the program, the options and the version of the compiler.
COMPILED = Path(__file__).parents[1] / ".pytest_cache" / "compiled"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(COMPILED))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

TOGETHER = ("test_adapters", "test_benchmark", "test_cli", "test_molecules", "test_report_browser")
"""Modules with a run that takes long to make: all their tests go to one worker, which makes it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
