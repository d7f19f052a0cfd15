"""Calls into mdtraj: silent, and with every failure told as a FokkerError."""

import ctypes
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import FokkerError
from .titles import mended


def _flush_output() -> None:
    """Empty the buffers of Python and of the C library into the current descriptors."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)


@contextmanager
def _discarded(descriptor: int) -> Iterator[None]:
    """Point a file descriptor at the null device for a while."""
    try:
        saved = os.dup(descriptor)
    except OSError:  # the process runs without that descriptor: nothing to silence
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)


@contextmanager
def quiet() -> Iterator[None]:
    """Drop Python warnings and what C code prints; process-wide, so keep the body short."""
    _flush_output()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(_discarded(1))
        stack.enter_context(_discarded(2))
        # last in, first out: C output still in a buffer must be emptied into the null device
        stack.callback(_flush_output)
        yield


@contextmanager
def calling_mdtraj(path: Path, remedy: str) -> Iterator[None]:
    """Run quietly; turn whatever the library raises into one sentence about the file.

    Parsers fail on a bad file with nearly every built-in exception, so all of them are caught.
    """
    try:
        with quiet():
            yield
    except FokkerError:
        raise
    except ImportError as error:
        raise FokkerError(
            f"{path}: reading {path.suffix} files needs a package that is not installed "
            f"({_missing(error)}); install it, or convert the file to .xtc or .dcd with mdconvert."
        ) from error
    except Exception as error:
        told = (str(error).strip().splitlines() or [""])[0][:200].rstrip(" .")
        reason = f"{type(error).__name__}: {told}" if told else type(error).__name__
        raise FokkerError(f"{path}: cannot be read ({reason}); {remedy}.") from error


def _missing(error: ImportError) -> str:
    """Name of the package; mdtraj hides it in an advertisement of several lines."""
    if error.name:
        return error.name
    return "PyTables, pip install 'fokker[hdf5]'" if "PyTables" in str(error) else "see mdtraj"


@contextmanager
def ascii_path(path: Path) -> Iterator[str]:
    """Name of a file or folder for mdtraj, which takes ASCII and small suffixes: else a link to it.

    A GRO file with titles that mdtraj stumbles over is a copy without them. The name is absolute,
    so that none is taken for a URL and fetched.
    """
    absolute = path.absolute()
    suffix = file_suffix(path)
    text = mended(path) if suffix == ".gro" and path.is_file() else None
    if str(absolute).isascii() and absolute.name.endswith(suffix) and text is None:
        yield str(absolute)
        return
    with tempfile.TemporaryDirectory(prefix="fokker-") as folder:
        link = Path(folder) / f"link{suffix if suffix.isascii() else ''}"
        if text is not None:
            link.write_text(text)
            yield str(link)
            return
        try:
            link.symlink_to(absolute)
        except OSError as error:
            raise FokkerError(
                f"{path}: the path has letters that are not ASCII or a suffix in capitals, which "
                "mdtraj cannot open here; rename the file or its folder."
            ) from error
        yield str(link)


def check_file(path: Path, what: str) -> int:
    """Size in bytes of a file that exists and is not empty.

    Raises
    ------
    FokkerError
        If the path is missing, not a file, unreadable or empty.
    """
    try:
        if path.is_dir():
            raise FokkerError(f"{path}: this {what} is a folder; name a file in it.")
        if not path.is_file():
            found = "is not a file" if path.exists() else "does not exist"
            raise FokkerError(f"{path}: this {what} {found}; check the path.")
        with path.open("rb"):
            size = path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise FokkerError(f"{path}: this {what} cannot be opened ({error}).") from error
    if size == 0:
        raise FokkerError(f"{path}: this {what} is empty; write or copy it again.")
    return size


def file_suffix(path: Path) -> str:
    """Suffix that tells the format, in small letters; two parts where the last one is `.gz`."""
    name = Path(path.name.lower())
    return "".join(name.suffixes[-2:]) if name.suffix == ".gz" else name.suffix
