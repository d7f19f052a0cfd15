"""Reference pages made from the package itself: its commands, the keys of its configuration."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator

from docutils import nodes
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from fokker.cli.app import app as commands
from fokker.config import Config


class AbstractMarkdown(SphinxDirective):
    """A directive that stands for Markdown made by `text`."""

    def text(self) -> Iterator[str]:
        """Lines of Markdown."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown in place of the directive."""
        lines = "\n".join(self.text()).splitlines()
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class Commands(AbstractMarkdown):
    """Every command with its arguments and options."""

    def text(self) -> Iterator[str]:
        """One section a command."""
        for command in commands.registered_commands:
            yield from _command(command)


class Keys(AbstractMarkdown):
    """Every key of config.toml with its type, its default and what it means."""

    def text(self) -> Iterator[str]:
        """One section a table, and one for each variant of a table that has several."""
        seen: set[type[BaseModel]] = set()
        waiting = [("", Config)]
        while waiting:
            place, cls = waiting.pop(0)
            if cls in seen:
                continue
            seen.add(cls)
            rows = list(_rows(cls))
            variant = {n: f for n, f in cls.model_fields.items() if n in ("name", "kind")}
            chosen = [
                f'{n} = "{f.default}"' for n, f in variant.items() if isinstance(f.default, str)
            ]
            variant_of = f" with {' and '.join(chosen)}" if chosen and place else ""
            yield f"## {place or 'At the top'}{variant_of}\n"
            yield f"{inspect.cleandoc(cls.__doc__ or '').splitlines()[0]}\n"
            yield "| key | type | default | |\n|---|---|---|---|"
            yield from rows
            yield ""
            for name, field in cls.model_fields.items():
                table = f"{place}.{name}" if place else name
                waiting += [(table, part) for part in _models(field.annotation)]


def _command(command: CommandInfo) -> Iterator[str]:
    """Typer's own description is read, not that of the library beneath it, which changes."""
    function = command.callback
    assert function is not None
    name = command.name or function.__name__.replace("_", "-")
    hints = typing.get_type_hints(function, include_extras=True)
    signature = inspect.signature(function).parameters
    given = {n: (_info(hints[n]), parameter.default) for n, parameter in signature.items()}
    arguments = [
        (info.metavar or n.upper()) for n, (info, _) in given.items() if _is_argument(info)
    ]
    yield f"## fokker {name}\n"
    yield f"```text\nfokker {' '.join([name, *arguments])} [OPTIONS]\n```\n"
    yield f"{inspect.cleandoc(command.help or function.__doc__ or '')}\n"
    yield "| | default | |\n|---|---|---|"
    for n, (info, default) in given.items():
        shown = (info.metavar or n.upper(),) if _is_argument(info) else _flags(n, info)
        names = ", ".join(f"`{flag}`" for flag in shown)
        required = default is inspect.Parameter.empty
        value = "required" if required else "" if default in (None, False) else f"`{default}`"
        yield f"| {names} | {value} | {_cell(info.help or '')} |"
    yield ""
    if command.epilog:
        yield f"{command.epilog}\n"


def _info(hint: object) -> OptionInfo | ArgumentInfo:
    """What Typer is told of a parameter; a plain type is an option without a help."""
    for part in typing.get_args(hint):
        if isinstance(part, OptionInfo | ArgumentInfo):
            return part
    return OptionInfo()


def _flags(name: str, info: OptionInfo | ArgumentInfo) -> list[str]:
    """Flags as they were declared; within `Annotated` the first of them lands in `default`."""
    first = [info.default] if isinstance(info.default, str) else []
    return [*first, *(info.param_decls or ())] or [f"--{name.replace('_', '-')}"]


def _is_argument(info: OptionInfo | ArgumentInfo) -> bool:
    return isinstance(info, ArgumentInfo)


def _rows(cls: type[BaseModel]) -> Iterator[str]:
    for name, field in cls.model_fields.items():
        if field.is_required():
            default = "required"
        elif isinstance(field.default, BaseModel | dict) or field.default is PydanticUndefined:
            default = ""
        else:
            default = f"`{field.default!r}`"
        description = _cell(field.description or "")
        yield f"| `{name}` | {_type(field.annotation)} | {default} | {description} |"


def _type(annotation: object) -> str:
    models = list(_models(annotation))
    if models:
        several = typing.get_origin(annotation) is tuple
        return "list of tables" if several else "table"
    text = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
    text = text or str(annotation).replace("typing.", "")
    return f"`{text}`".replace("|", "\\|")


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """Options within an annotation: unions, lists, `Annotated`, dictionaries."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _models(part)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("fokker-commands", Commands)
    app.add_directive("fokker-keys", Keys)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
