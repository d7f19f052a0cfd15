"""A configuration read from TOML or tables, written as TOML, and the sentences when it is wrong."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import FokkerError
from ..options import Options, plain_text
from .run import Config


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    FokkerError
        If it is missing, too large or not TOML.
    """
    try:
        if path.stat().st_size > 1_000_000:
            raise FokkerError(f"{path}: over 1 MB, which no configuration is; check the path.")
        return tomllib.loads(plain_text(path.read_bytes()))
    except OSError as error:
        raise FokkerError(f"{path}: not readable ({error.strerror}); check the path.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise FokkerError(f"{path}: not valid TOML ({error}); mend that place.") from error


def parse(raw: Mapping[str, Any], source: str) -> Config:
    """Validate a configuration.

    Parameters
    ----------
    raw
        Nested tables.
    source
        Named in errors: a file, or the command line.

    Raises
    ------
    FokkerError
        One sentence on the first thing that is wrong.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise FokkerError(f"{source}: {_sentence(error)}") from error


def changed(config: Config, section: str, values: Mapping[str, Any]) -> Any:
    """Options of one section from other values.

    Of the others nothing is asked: a simulation at another time is none of the training's business.

    Raises
    ------
    FokkerError
        One sentence on the first thing that is wrong.
    """
    try:
        return type(getattr(config, section)).model_validate(values)
    except ValidationError as error:
        raise FokkerError(f"settings: {_sentence(error, section)}") from error


def to_toml(config: Config) -> str:
    """Write a configuration as TOML that `parse` reads back to the same."""
    lines = [f"# fokker configuration: {config.method} on {config.system.name}"]
    lines += _table(config.model_dump(mode="json"), "")
    return "\n".join(lines) + "\n"


def _sentence(error: ValidationError, *table: str) -> str:
    first = error.errors()[0]
    location = ".".join(str(part) for part in (*table, *first["loc"]))
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        near = difflib.get_close_matches(key, sorted(_known_keys()), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see `fokker presets --show` for the keys."
        if near == [key]:
            hint = "it belongs elsewhere; see `fokker presets --show` for the place of every key."
        return f"unknown key {location!r}: {hint}"
    if first["type"].startswith("union_tag"):
        expected = first.get("ctx", {}).get("expected_tags", "")
        return f"{location} must say which one by its `name` or `kind`: {expected}."
    if first["type"] == "missing":
        return f"{location!r} is missing; add it."
    message = first["msg"].removeprefix("Value error, ")
    if not location:
        return f"{message}."
    value = repr(first["input"])
    shown = value if len(value) < 60 else value[:57] + "..."
    return f"{location} = {shown}: {message}."


def _known_keys() -> set[str]:
    def walk(cls: type[BaseModel]) -> Iterator[str]:
        for sub in cls.__subclasses__():
            yield from sub.model_fields
            yield from walk(sub)

    return set(walk(Options))


def _table(values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    tables = {k: v for k, v in values.items() if isinstance(v, dict)}
    arrays = {
        k: v for k, v in values.items() if isinstance(v, list) and v and isinstance(v[0], dict)
    }
    for key, value in values.items():
        if key not in tables and key not in arrays and value is not None:
            yield f"{key} = {_value(value)}"
    for key, value in tables.items():
        name = f"{prefix}{key}"
        yield f"\n[{name}]"
        yield from _table(value, f"{name}.")
    for key, items in arrays.items():
        name = f"{prefix}{key}"
        for item in items:
            yield f"\n[[{name}]]"
            yield from _table(item, f"{name}.")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    return _string(str(value))


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
    )
