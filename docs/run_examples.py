"""Run the examples of the pages as they are written, and the scripts: `make docs-test`.

Every `shell` and `python` block of a page runs in turn in one new folder; the page fails with the
first block that does. Blocks marked `text` are shown and not run. The examples are those of a user
with time: a command `fokker` ahead of the true one shortens training and simulation, and changes
nothing else. The scripts of `examples/` run in turn in one folder, with `--quick`.
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
TUTORIALS = tuple(f"tutorials/{page.name}" for page in (DOCS / "tutorials").glob("*.md"))
PAGES = ("start.md", "handbook.md", *TUTORIALS)
SCRIPTS = sorted((DOCS.parent / "examples").glob("*.py"))

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
        _run(f"{page}:\n{text}", command, folder, {"PATH": path})


def run_script(script: Path, folder: Path) -> str:
    """Run a script of `examples/` in shortened form, and return what it printed.

    Raises
    ------
    RuntimeError
        With what it printed, if it fails.
    """
    return _run(script.name, [sys.executable, str(script), "--quick"], folder, {})


def _run(what: str, command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "COLUMNS": "100", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{what}\nexit code {done.returncode}:\n{done.stdout}")
    return done.stdout


def main() -> None:
    """Run the pages named on the command line, or all of them and the scripts."""
    for page in sys.argv[1:] or PAGES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            run(page, Path(folder))
        print(f"{page}: {len(blocks(page))} blocks in {time.monotonic() - began:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for script in () if sys.argv[1:] else SCRIPTS:
            began = time.monotonic()
            run_script(script, Path(folder))
            print(f"{script.name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
