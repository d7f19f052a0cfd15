"""The log of training: one JSON line a block."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import FokkerError


def append(log: Path, record: dict[str, Any]) -> None:
    """Add a line.

    Raises
    ------
    FokkerError
        If the disk does not take it.
    """
    try:
        with log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
    except OSError as error:
        raise FokkerError(
            f"{log}: could not be written ({error.strerror}); the last checkpoint is kept: mend "
            "that and continue with --resume."
        ) from error


def rewind(log: Path, stage: int, step: int) -> None:
    """Drop log lines of steps that the checkpoint does not hold."""
    if not log.exists():
        return
    lines = log.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _position(line) <= (stage, step)]
    temporary = log.with_name(f".{log.name}.tmp")
    temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    os.replace(temporary, log)


def _position(line: str) -> tuple[float, float]:
    try:
        record = json.loads(line)
        return float(record["stage"]), float(record["step"])
    except (ValueError, KeyError):
        return float("inf"), float("inf")
