"""Alternate locations of a topology: of each atom one is kept, which must be said."""

from pathlib import Path

from .contents import unreadable
from .library import file_suffix
from .text import Lines, Seen, opened

_SUFFIXES = (".pdb", ".pdb.gz")


def alternate_locations(topology: Path) -> str:
    """Sentence on the atoms of a PDB file that have more than one location; empty if none has.

    Raises
    ------
    FokkerError
        If the file cannot be read.
    """
    if file_suffix(topology) not in _SUFFIXES:
        return ""
    seen, atoms, dropped = Seen(), set(), 0
    try:
        with opened(topology) as file:
            lines = Lines(file)
            while (line := lines.start()) is not None and not line.startswith("END"):
                if line.startswith(("ATOM  ", "HETATM")) and not seen.is_new(line):
                    atoms.add((line[12:16], line[21:27]))
                    dropped += 1
    except (OSError, EOFError) as error:
        raise unreadable(topology, str(error)) from error
    if not dropped:
        return ""
    return (
        f"{topology} has alternate locations of {len(atoms)} atom(s), of which the first each was "
        f"kept and {dropped} left out."
    )
