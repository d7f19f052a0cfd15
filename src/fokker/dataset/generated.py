"""Files that the package makes: a configuration names them, and then they are like a user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..config import Config, MoleculeOptions

GENERATED = "generated:"
"""Prefix of trajectory and topology paths that name data which the package makes and keeps."""


def generated_file(
    name: str, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Path of a file such as ``generated:hairpin/native.pdb``, which is made if it is not there.

    Raises
    ------
    FokkerError
        If it cannot be made.
    """
    from ..chains import chain_file

    return chain_file(name.removeprefix(GENERATED), on_progress=on_progress)


def make_data(config: Config, on_progress: Callable[[str, int, int], None]) -> None:
    """Make the files that a configuration names and the package makes, before they are read.

    Parameters
    ----------
    config
        The whole configuration.
    on_progress
        Told what is being made, and the steps done and in total.

    Raises
    ------
    FokkerError
        If they cannot be made.
    """
    options = config.system
    if isinstance(options, MoleculeOptions) and options.topology.startswith(GENERATED):
        chain = options.topology.removeprefix(GENERATED).partition("/")[0]
        what = f"OpenMM, {chain} (once)"
        generated_file(options.topology, lambda done, total: on_progress(what, done, total))
