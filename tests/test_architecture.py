"""Rules about the source itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fokker"
SOURCES = sorted(PACKAGE.rglob("*.py"))

LAYERS = [
    ("errors", "types", "units", "options"),
    ("process", "runtime", "variables"),
    ("system",),
    ("dynamics", "metrics", "potential", "trajectory"),
    ("backmap", "chains", "network"),
    ("model", "report"),
    ("objective", "sampler"),
    ("config",),
    ("dataset",),
    ("training",),
    ("run",),
    ("workflow",),
    ("adapters", "benchmark"),
    ("cli",),
    ("__main__",),
]
"""From the ground to the roof: a part imports what stands in rows above its own alone."""
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def part(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path):
    """Parts of the package that a file imports, lazily or not."""
    package = ("fokker", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            if len(base) > 1:
                yield base[1]
            elif node.module:
                yield node.module.split(".")[0]
            else:
                yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    own = part(path)
    if own == "__init__":
        return
    for other in set(imported_parts(path)) - {own, "__version__"}:
        assert LEVEL[other] < LEVEL[own], f"{own} imports {other}"


def test_metrics_and_report_never_see_a_model():
    for path in [p for p in SOURCES if part(p) in ("metrics", "report")]:
        assert not set(imported_parts(path)) & {"model", "network", "objective", "training"}
        assert "import jax\n" not in path.read_text()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_is_unpickled_or_evaluated(path):
    text = path.read_text()
    for word in ("pickle.", "import pickle", "allow_pickle=True", "joblib", "yaml.load", "marshal"):
        assert word not in text
    assert "XmlSerializer" not in text  # OpenMM's XML of a Python force holds a pickle
    calls = [n.func for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    names = {f.id for f in calls if isinstance(f, ast.Name)}
    assert not names & {"eval", "exec"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_concrete_classes_are_never_subclassed(path):
    """Within the package's own classes: a base is called Abstract*, or is a plain-data base."""
    allowed = {"Options", "_Record", "Exception", "NamedTuple", "Protocol", "ProgressColumn"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
                external = {"Module", "BaseModel", "ABC", "Enum", "StrEnum", "Generic"}
                plugged_into = {"Calculator", "MLPotentialImpl", "MLPotentialImplFactory"}
                known = allowed | external | plugged_into
                assert name.startswith("Abstract") or name in known, name


def test_import_is_fast_and_starts_no_device():
    code = (
        "import sys, time; t = time.perf_counter(); import fokker; "
        "print(time.perf_counter() - t, 'jax' in sys.modules, 'mdtraj' in sys.modules)"
    )
    times = []
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        seconds, jax, mdtraj = out.stdout.split()
        times.append(float(seconds))
        assert (jax, mdtraj) == ("False", "False")
    assert min(times) < 0.3


def test_heavy_libraries_are_imported_lazily():
    code = (
        "import sys, fokker.cli, fokker.training, fokker.workflow.train, fokker.report; "
        "print([m for m in ('mdtraj', 'matplotlib', 'openmm', 'deeptime', 'ase') "
        "if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.stdout.strip() == "[]", out.stderr


def test_files_stay_small():
    long = {p.name: n for p in SOURCES if (n := len(p.read_text().splitlines())) > 420}
    assert not long
