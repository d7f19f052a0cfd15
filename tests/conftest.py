"""Shapes and types are checked at run time for the whole package, in every test."""

from jaxtyping import install_import_hook

install_import_hook("fokker", "beartype.beartype")
