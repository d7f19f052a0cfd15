"""Reading the files of a run folder; whatever is wrong with one is told with its name."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import FokkerError
from .records import TrainingStep

Record = TypeVar("Record", bound=BaseModel)


def read_json(file: Path, kind: type[Record]) -> Record | None:
    """Read one file; None if there is none.

    Raises
    ------
    FokkerError
        If the file is not JSON or not of this kind.
    """
    text = read_text(file)
    return None if text is None else _validate(kind, _parse(text, str(file)), str(file))


def read_training(file: Path) -> list[TrainingStep]:
    """Read training.jsonl, one step a line; an empty list if there is none.

    Raises
    ------
    FokkerError
        If a line is not JSON or not a training step; the message has the line's number.
    """
    return list(_training_steps(file, read_text(file) or ""))


def read_config(file: Path) -> str | None:
    """Read config.toml verbatim; None if there is none.

    Raises
    ------
    FokkerError
        If the file is not TOML.
    """
    text = read_text(file)
    try:
        tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as error:
        raise FokkerError(
            f"{file}: not valid TOML ({error}); restore the run's own file."
        ) from error
    return text


def read_text(file: Path) -> str | None:
    """Read a text file; None if there is none.

    Raises
    ------
    FokkerError
        If it exists but is not readable, or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FokkerError(f"{file}: not readable ({error.strerror}); check the file.") from error
    except UnicodeDecodeError as error:
        raise FokkerError(f"{file}: not text in UTF-8; write the file again.") from error


def _training_steps(file: Path, text: str) -> Iterator[TrainingStep]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            where = f"{file}, line {number}"
            yield _validate(TrainingStep, _parse(line, where), where)


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FokkerError(f"{where}: not valid JSON ({error}); write the file again.") from error


def _validate(kind: type[Record], value: Any, where: str) -> Record:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        found = f"{first['input']!r:.40}"
        raise FokkerError(
            f"{where}: entry {place} is {found} ({first['msg']}); write the file again."
        ) from error
