"""Presets: one TOML file a system, one a method; together they make a configuration."""

from .combine import (
    DEFAULT_METHOD,
    assignment,
    combine,
    merge,
    methods,
    systems,
    takes_files,
    takes_folder,
    with_force_matching,
)

__all__ = [
    "DEFAULT_METHOD",
    "assignment",
    "combine",
    "merge",
    "methods",
    "systems",
    "takes_files",
    "takes_folder",
    "with_force_matching",
]
