"""Shapes and types are checked at run time for the whole package, in every test."""

import sys

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("fokker", "beartype.beartype")

# A busy machine is no reason to fail; the suite as a whole has a time limit.
settings.register_profile("fokker", deadline=None)
settings.load_profile("fokker")

TOGETHER = ("test_adapters", "test_benchmark", "test_cli", "test_molecules", "test_report_browser")
"""Modules with a run that takes long to make: all their tests go to one worker, which makes it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Forget compiled programs after each module.

    Every one holds memory maps, of which a process may have some 65,000: the compiler of a worker
    that has run a thousand tests crashes without them.
    """
    last = nextitem is None or nextitem.path != item.path
    if last and (jax := sys.modules.get("jax")) is not None:
        jax.clear_caches()
