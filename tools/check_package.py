"""Build wheel and source distribution, and try both as a user would: `make package`.

In a clean environment each must install, list the presets, hold every file that is no Python, know
how to complete commands in a shell, and write a report. Given other interpreters on the command
line, the wheel is tried with those too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEEL_LIMIT, SDIST_LIMIT = 10_000_000, 10_000_000
"""Bytes; the embedded trajectories are most of both."""

NEEDED = (
    "dataset/embedded/alanine-dipeptide/train.dcd",
    "dataset/embedded/alanine-dipeptide/topology.pdb",
    "config/presets/systems/alanine-dipeptide.toml",
    "config/presets/methods/fokker.toml",
    "report/template.html.j2",
    "report/scene.html.j2",
    "report/scene.js",
    "report/vendor/3Dmol-min.js",
    "report/vendor/3Dmol-LICENSE.txt",
    "py.typed",
)
UNWANTED = ("docs/_build", ".venv", "runs/", "__pycache__", ".xtc", "checkpoint/")

IMPORT_LIMIT = 0.3
"""Seconds."""

TIMED = """
import sys, time
began = time.perf_counter()
import fokker
print(time.perf_counter() - began)
assert "jax" not in sys.modules, "import fokker imports JAX"
assert "site-packages" in fokker.__file__, fokker.__file__
"""

REPORT = """
from pathlib import Path
import fokker
Path("metrics.json").write_text("{}")
print(fokker.__version__, fokker.write_report(Path()))
"""


def main() -> None:
    """Build and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", nargs="*", default=[sys.executable], help="interpreters")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        builder = environment(Path(folder) / "build", sys.executable)
        run(builder, "-m", "pip", "install", "--quiet", "build")
        for old in options.out.glob("fokker-*"):
            old.unlink()
        # The wheel is made from the source distribution, so that this is checked as well.
        run(builder, "-m", "build", "--outdir", str(options.out), str(ROOT))
        (wheel,) = options.out.glob("fokker-*.whl")
        (sdist,) = options.out.glob("fokker-*.tar.gz")
        check_contents(wheel, sdist)
        for interpreter in options.python:
            try_out(wheel, interpreter, Path(folder))


def check_contents(wheel: Path, sdist: Path) -> None:
    """Assert what both hold, and that neither holds what was made while working."""
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
    with tarfile.open(sdist) as archive:
        members = archive.getnames()
    for name in NEEDED:
        assert f"fokker/{name}" in inside, f"{wheel.name} lacks {name}"
        assert any(m.endswith(f"src/fokker/{name}") for m in members), f"{sdist.name} lacks {name}"
    for name in (*inside, *members):
        assert not any(word in name for word in UNWANTED), f"{name} should not be packaged"
    for file, limit in ((wheel, WHEEL_LIMIT), (sdist, SDIST_LIMIT)):
        size = file.stat().st_size
        assert size < limit, f"{file.name} has {size:,} bytes, over {limit:,}"
        print(f"{file.name}: {size / 1e6:.2f} MB")


def try_out(wheel: Path, interpreter: str, folder: Path) -> None:
    """Install a wheel into a clean environment and use it from another folder."""
    python = environment(folder / f"try-{abs(hash(interpreter))}", interpreter)
    run(python, "-m", "pip", "install", "--quiet", str(wheel))
    place = Path(tempfile.mkdtemp(dir=folder))
    command = str(python.parent / "fokker")
    presets = output(place, command, "presets")
    assert "alanine-dipeptide" in presets, presets
    assert output(place, str(python), "-m", "fokker", "presets") == presets
    shown = output(place, command, "presets", "--show", "alanine-dipeptide")
    assert "[[experts]]" in shown, shown
    for shell in ("bash", "zsh", "fish"):
        completion = {"_FOKKER_COMPLETE": f"source_{shell}"}
        assert "_FOKKER_COMPLETE" in output(place, command, more=completion), shell
    # The best of three: another program may be using the machine.
    seconds = min(float(output(place, str(python), "-c", TIMED)) for _ in range(3))
    assert seconds < IMPORT_LIMIT, f"import fokker takes {seconds:.2f} s"
    told = output(place, str(python), "-c", REPORT)
    version = output(place, str(python), "--version").strip()
    print(f"{wheel.name} works with {version}: fokker {told.split()[0]}, import {seconds:.2f} s")


def environment(folder: Path, interpreter: str) -> Path:
    """Make a clean virtual environment; returns its interpreter."""
    if interpreter == sys.executable:
        venv.create(folder, with_pip=True)
    else:
        run(Path(interpreter), "-m", "venv", str(folder))
    return folder / "bin" / "python"


def run(python: Path, *arguments: str) -> None:
    """Run a Python, ending with its exit code if it fails."""
    done = subprocess.run([str(python), *arguments], stdout=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(done.returncode)


def output(place: Path, *command: str, more: dict[str, str] | None = None) -> str:
    """What a command prints, run in a folder outside the source."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=place, env={**kept, **(more or {})}, capture_output=True, text=True
    )
    assert not done.returncode, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    main()
