"""Titles of GRO files, in which `mdtraj` looks for a time and takes nothing else."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_TIME = re.compile(r"t= *\d+\.\d+")


def mended(path: Path) -> str | None:
    """The file with titles that `mdtraj` reads; None if it reads those it has.

    A title is free text. After `t=` the library wants a decimal number, which not every title has.
    """
    text = path.read_bytes().decode(errors="replace")
    lines = text.splitlines(keepends=True)
    wrong = [at for at in _titles(lines) if "t=" in lines[at] and not _TIME.search(lines[at])]
    for at in wrong:
        lines[at] = lines[at].replace("t=", "t")
    return "".join(lines) if wrong or "\ufffd" in text else None


def _titles(lines: Sequence[str]) -> Iterator[int]:
    """Number of the line that each frame begins with."""
    at = 0
    while at < len(lines):
        yield at
        count = lines[at + 1].strip() if at + 1 < len(lines) else ""
        at += 3 + int(count) if count.isdecimal() else len(lines)
