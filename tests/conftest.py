"""Shapes and types are checked at run time for the whole package, in every test."""

from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("fokker", "beartype.beartype")

# A busy machine is no reason to fail; the suite as a whole has a time limit.
settings.register_profile("fokker", deadline=None)
settings.load_profile("fokker")
