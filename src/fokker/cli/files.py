"""Options that take several files: `-f a.xtc b.xtc`, as a shell writes `-f part*.xtc`."""

from __future__ import annotations

from pathlib import Path

_FILES = ("-f", "--trajectory", "--forces", "--reference")


def repeated(args: list[str]) -> list[str]:
    """Words of a command line with the option before each of its files.

    A word belongs to the option before it if it has the suffix of a trajectory, so that a system
    or a run that follows is still one.
    """
    if not any(word.startswith(_FILES) for word in args):
        return args  # without the time that the import below takes
    from ..trajectory import READABLE
    from ..trajectory.labelled import SUFFIXES

    known = tuple({*READABLE, *SUFFIXES})
    found: list[str] = []
    option, more = "", False
    for word in args:
        if word.startswith("-") and word != "-":
            option, _, value = word.partition("=")
            # the value of an option is never a further file
            more = option in _FILES and bool(value)
            if word.startswith("-f") and not word.startswith("--") and len(word) > 2:
                option, more = "-f", True
        elif option in _FILES and more and Path(word).name.lower().endswith(known):
            found.append(option)
        else:
            more = option in _FILES and not more
        found.append(word)
    return found
