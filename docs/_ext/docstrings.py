"""Docstrings as they are written here: plain text with `code` and indented equations.

Sphinx reads them as reStructuredText, in which an indented paragraph is a quotation and a bar or an
asterisk opens mark-up. Indented paragraphs become literal blocks, and lone signs are escaped.
"""

import re

from sphinx.application import Sphinx

_CODE = re.compile(r"(``.+?``|`[^`]+`)")


def read(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Rewrite the lines of one docstring in place."""
    written: list[str] = []
    literal_from: int | None = None
    plain_before = ""
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if literal_from is not None and line.strip() and indent < literal_from:
            literal_from = None
        if literal_from is None and _opens_literal(written, line, indent, plain_before):
            literal_from = indent
            written += ["::", ""]
        literal = literal_from is not None or line.lstrip().startswith((":", ".."))
        written.append(line if literal else _escaped(line))
        if line.strip() and literal_from is None:
            plain_before = line
    lines[:] = written


def _opens_literal(written: list[str], line: str, indent: int, before: str) -> bool:
    if not line.strip() or not written or written[-1].strip():
        return False
    deeper = indent >= len(before) - len(before.lstrip()) + 4
    return deeper and not before.lstrip().startswith((":", "..", "- ", "* ", "1. ", "2. ", "3. "))


def _escaped(line: str) -> str:
    parts = _CODE.split(line)
    parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Run after napoleon has read the sections."""
    app.connect("autodoc-process-docstring", read, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
