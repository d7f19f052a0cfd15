"""Shapes and types are checked at run time for the whole package, in every test."""

import sys

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("fokker", "beartype.beartype")

# A busy machine is no reason to fail; the suite as a whole has a time limit.
settings.register_profile("fokker", deadline=None)
settings.load_profile("fokker")


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Forget compiled programs after each module.

    Every one holds memory maps, of which a process may have some 65,000: the compiler of a worker
    that has run a thousand tests crashes without them.
    """
    last = nextitem is None or nextitem.path != item.path
    if last and (jax := sys.modules.get("jax")) is not None:
        jax.clear_caches()
