"""Text trajectories, frame by frame: lines that are counted, and what is told of bad ones."""

import gzip
import io
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ...errors import FokkerError
from ..contents import unreadable

_NUMBER = re.compile(r"[-+]?\d*\.?\d*")


class Frame(NamedTuple):
    """One frame, nm.

    Attributes
    ----------
    positions
        Shape (atoms, 3).
    cell
        Box vectors as rows; None without a box.
    time
        In the file's own unit; None if it states none.
    elements
        Symbols in the order of the positions; empty if there are none.
    """

    positions: Float[np.ndarray, "atoms 3"]
    cell: Float[np.ndarray, "3 3"] | None = None
    time: float | None = None
    elements: tuple[str, ...] = ()


class CutShort(Exception):
    """A text file ends within a frame; `n_frames` whole ones are before it."""

    def __init__(self, fault: str, n_frames: int):
        super().__init__(fault)
        self.fault = fault
        self.n_frames = n_frames


class Lines:
    """Lines of a file, one after another."""

    def __init__(self, file: io.TextIOBase):
        self._file = file
        self._returned: list[str] = []
        self.number = 0
        self.ended = False
        self.last = ""

    def get(self) -> str:
        """Next line.

        Raises
        ------
        EOFError
            If there is none.
        """
        line = self._returned.pop() if self._returned else self._file.readline()
        if not line:
            self.ended = True
            raise EOFError
        self.number += 1
        self.last = line
        return line

    def give_back(self, line: str) -> None:
        """Let a line be the next one again."""
        self._returned.append(line)
        self.number -= 1

    def take(self, n: int) -> list[str]:
        """The next n lines; EOFError if there are fewer."""
        return [self.get() for _ in range(n)]

    def start(self) -> str | None:
        """Next line that is not blank; None at the end of the file."""
        try:
            while not (line := self.get()).strip():
                pass
        except EOFError:
            if self.ended:
                return None
            raise
        return line

    def at_end(self) -> bool:
        """Whether nothing but blank lines follow."""
        line = self.start()
        if line is not None:
            self.give_back(line)
        return line is None


class AbstractParser(ABC):
    """Reads one frame after another of one file; may keep what a header says once."""

    @abstractmethod
    def parse(self, lines: Lines) -> Frame | None:
        """Next frame; None at the end of the file.

        Raises
        ------
        EOFError
            If the file ends within the frame.
        ValueError, IndexError
            If the lines are not a frame.
        """

    def name(self, number: int) -> str:
        """What the frame of this number, counted from 0, is called in a message."""
        return f"frame {number}"


def numbers(
    rows: list[str], first: int, count: int = 3
) -> Float[np.ndarray, "{len(rows)} {count}"]:
    """Columns of every row, counted from 0.

    Raises
    ------
    ValueError
        If one is missing or not a number.
    """
    table = np.array([row.split()[first : first + count] for row in rows], np.float64)
    return table.reshape(len(rows), count)


def frames(path: Path, parser: AbstractParser) -> Iterator[Frame]:
    """Every frame of a text file.

    Raises
    ------
    CutShort
        If it ends within a frame.
    FokkerError
        If it is not of the format of the parser, or its frames have different numbers of atoms.
    """
    number, n_atoms, line = 0, 0, 0
    try:
        with opened(path) as file:
            lines = Lines(file)
            while True:
                line = lines.number + 1
                try:
                    frame = parser.parse(lines)
                except EOFError as error:
                    raise CutShort(f"it ends in {parser.name(number)}", number) from error
                except (ValueError, IndexError) as error:
                    if not lines.last.endswith("\n") and lines.at_end():
                        raise CutShort(f"it ends in {parser.name(number)}", number) from error
                    fault = str(error).splitlines()[0][:120] if str(error) else "not a frame"
                    where = f"{parser.name(number)} at line {line}"
                    raise unreadable(path, f"{where}: {fault}") from error
                if frame is None:
                    return
                n_atoms = n_atoms or len(frame.positions)
                if len(frame.positions) != n_atoms:
                    raise FokkerError(
                        f"{path}: {parser.name(number)} at line {line} has "
                        f"{len(frame.positions)} atoms, the first has {n_atoms}; every frame must "
                        "have the same atoms."
                    )
                if _ends_in_a_number(lines.last):
                    raise CutShort(f"it ends in the last number of {parser.name(number)}", number)
                yield frame
                number += 1
    except EOFError as error:  # of the archive
        raise CutShort(f"its archive ends in {parser.name(number)}", number) from error
    except (OSError, zlib.error) as error:
        raise unreadable(path, str(error).splitlines()[0]) from error


def opened(path: Path) -> io.TextIOWrapper:
    """A text file, packed or not, without a byte order mark."""
    how: Any = gzip.open if path.suffix.lower() == ".gz" else open
    return how(path, "rt", encoding="utf-8-sig", errors="replace")


def _ends_in_a_number(line: str) -> bool:
    """Whether a last line without its end has fewer decimals in its last number than before it."""
    words = line.split()[-2:]
    if line.endswith("\n") or not all(_NUMBER.fullmatch(word) for word in words):
        return False
    decimals = [len(word.partition(".")[2]) for word in words]
    return len(decimals) == 2 and decimals[1] < decimals[0]


def blocks(found: Iterator[Frame], atoms: np.ndarray, at_once: int) -> Iterator[list[Frame]]:
    """Lists of at most `at_once` frames of these atoms; those before a cut are handed over."""
    fault = None
    while fault is None:
        block = []
        try:
            for frame in islice(found, at_once):
                block.append(frame._replace(positions=frame.positions[atoms].astype(np.float32)))
        except CutShort as error:
            fault = error
        if block:
            yield block
        if fault is None and len(block) < at_once:
            return
    raise fault
