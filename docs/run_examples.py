"""Run the examples of the pages as they are written: `make docs-test`.

Every `shell` and `python` block of a page runs in turn in one new folder; the page fails with the
first block that does. Blocks marked `text` are shown and not run. The examples are those of a user
with time: a command `fokker` ahead of the true one shortens training and simulation, and changes
nothing else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = ("start.md", *(f"tutorials/{page.name}" for page in (DOCS / "tutorials").glob("*.md")))

SHORT = (
    "--effort 0.005 --set sampling.n=400 --set simulation.chains=8 --set simulation.steps=400 "
    "--set simulation.stride=50"
)
TRAIN_ONLY = "--effort 0.005"

_BLOCK = re.compile(r"^```(shell|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_WRAPPER = """#!/bin/sh
case "$1" in
  run) set -- "$@" {short} ;;
  train) set -- "$@" {train} ;;
esac
exec "{python}" -m fokker "$@"
"""


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each block that is to be run."""
    return _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def run(page: str, folder: Path) -> None:
    """Run the blocks of a page.

    Raises
    ------
    RuntimeError
        With the block and what it printed, if one fails.
    """
    commands = folder / ".bin"
    commands.mkdir()
    wrapper = commands / "fokker"
    wrapper.write_text(_WRAPPER.format(short=SHORT, train=TRAIN_ONLY, python=sys.executable))
    wrapper.chmod(0o755)
    path = f"{commands}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for language, text in blocks(page):
        command = ["bash", "-euo", "pipefail", "-c", text]
        if language == "python":
            command = [sys.executable, "-c", text]
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path, "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{page}, exit code {done.returncode}:\n{text}\n{done.stdout}")


def main() -> None:
    """Run the pages named on the command line, or all."""
    for page in sys.argv[1:] or PAGES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            run(page, Path(folder))
        print(f"{page}: {len(blocks(page))} blocks in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
