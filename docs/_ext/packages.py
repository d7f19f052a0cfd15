"""One reference page for each package of the library, found and not listed."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

import fokker

NOT_SHOWN = {"cli", "workflow"}


def write(app: Sphinx) -> None:
    """Write `reference/generated/NAME.md` for every package."""
    folder = Path(app.srcdir) / "reference" / "generated"
    folder.mkdir(exist_ok=True)
    wanted = {}
    for found in pkgutil.iter_modules(fokker.__path__):
        if found.ispkg and found.name not in NOT_SHOWN:
            wanted[f"{found.name}.md"] = _page(importlib.import_module(f"fokker.{found.name}"))
    for page in folder.glob("*.md"):
        if page.name not in wanted:
            page.unlink()
    for name, text in wanted.items():
        page = folder / name
        # A page that is written again would be read again.
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def _page(package: ModuleType) -> str:
    names = [package.__name__]
    options = "   :imported-members:\n"
    if not getattr(package, "__all__", None):
        names += [f"{names[0]}.{m.name}" for m in pkgutil.iter_modules(package.__path__)]
        options = ""
    directives = "\n".join(f".. automodule:: {name}\n{options}" for name in names)
    return f"# {package.__name__}\n\n```{{eval-rst}}\n{directives}```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
