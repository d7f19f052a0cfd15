"""Mutation testing: change one place of the source, and see whether a test notices.

    python benchmarks/reliability/mutants.py OUT.json [MUTANTS] [SEED] [GROUP ...]

Draws that many mutants of the noise processes, the objectives and the integrators, or of the groups
named, evenly from each. A mutant swaps an operator or a function for its neighbour, changes a
number, drops a minus or a `not`, or flips a truth value; options' defaults and annotations are left
alone. Each runs the tests of its group, the first failure ends it. Survivors are listed with their
line, to be killed or explained. Groups already in OUT.json and not run again stay there.

Mutants are forked from a process that has imported JAX and pytest, and import a copy of the
package.
"""

import ast
import copy
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GROUPS = {
    "processes": ("process/*.py", ["process"]),
    "objectives": ("objective/*.py", ["objective"]),
    "integrators": (
        "dynamics/*.py",
        [f"dynamics/test_{name}.py" for name in ("integrators", "noise", "order", "simulate")],
    ),
}
TIMEOUT = 600
MEMORY = 12 * 2**30
"""Bytes of address space: a mutant that counts its steps wrong would fill the machine."""

OPERATORS = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
    **{ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.Mod: ast.FloorDiv, ast.FloorDiv: ast.Mod},
    **{ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitXor: ast.BitOr},
    **{ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And},
}
FUNCTIONS = {
    **{"sin": "cos", "cos": "sin", "sum": "mean", "mean": "sum", "minimum": "maximum"},
    **{"maximum": "minimum", "min": "max", "max": "min", "exp": "expm1", "expm1": "exp"},
    **{"zeros_like": "ones_like", "ones_like": "zeros_like", "zeros": "ones", "any": "all"},
    **{"all": "any", "softplus": "relu", "sqrt": "square"},
}


def places(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that may change: none in annotations, decorators, docstrings or `Field(...)`."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Field":
            continue
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases", "type_params"):
                continue
            children = value if isinstance(value, list) else [value]
            stack += [child for child in children if isinstance(child, ast.AST)]


def changed(node: ast.AST) -> ast.AST | None:
    """The node changed, or None if there is nothing to change in it."""
    new = copy.deepcopy(node)
    if (isinstance(new, ast.BinOp) and type(new.op) in OPERATORS) or isinstance(new, ast.BoolOp):
        new.op = OPERATORS[type(new.op)]()
    elif isinstance(new, ast.Compare) and type(new.ops[0]) in OPERATORS:
        new.ops[0] = OPERATORS[type(new.ops[0])]()
    elif isinstance(new, ast.UnaryOp) and isinstance(new.op, ast.USub | ast.Not | ast.Invert):
        new = new.operand
    elif isinstance(new, ast.Constant) and isinstance(new.value, bool):
        new.value = not new.value
    elif isinstance(new, ast.Constant) and isinstance(new.value, int | float):
        new.value = new.value + 1 if isinstance(new.value, int) else 1.5 * new.value + 0.1
    elif isinstance(new, ast.Attribute) and new.attr in FUNCTIONS:
        new.attr = FUNCTIONS[new.attr]
    else:
        return None
    return new


def mutants(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, description and source of every mutant of a file."""
    text = path.read_text()
    count = sum(changed(node) is not None for node in places(ast.parse(text)))
    for index in range(count):
        tree = ast.parse(text)
        node = [n for n in places(tree) if changed(n) is not None][index]
        new = changed(node)
        assert new is not None
        told = f"{ast.unparse(node)}  ->  {ast.unparse(new)}"
        line = getattr(node, "lineno", 0)

        class Replace(ast.NodeTransformer):
            def visit(self, at, node=node, new=new):
                return ast.copy_location(new, at) if at is node else self.generic_visit(at)

        yield line, told, ast.unparse(ast.fix_missing_locations(Replace().visit(tree)))


def survives(package: Path, tests: list[str]) -> tuple[bool, float]:
    """Whether all tests pass with the package there; a hang does not."""
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.path.insert(0, str(package.parent))
        os.chdir(ROOT)
        import pytest

        code = 1
        try:
            files = [str(ROOT / "tests" / name) for name in tests]
            code = pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *files])
        finally:
            os._exit(int(code))
    while not (found := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() - began > TIMEOUT:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False, TIMEOUT
        time.sleep(0.05)
    return os.waitstatus_to_exitcode(found[1]) == 0, time.monotonic() - began


def main() -> None:
    """Draw mutants and run them."""
    sys.path.insert(0, str(ROOT))
    importlib.import_module("tests.conftest")  # the compiler's options, which JAX reads once
    import jax  # noqa: F401  so that every fork has it
    import pytest  # noqa: F401

    out, count = Path(sys.argv[1]), int((sys.argv[2:] or ["30"])[0])
    rng = random.Random(int((sys.argv[3:] or ["0"])[0]))
    package = Path(tempfile.mkdtemp(prefix="mutants-")) / "fokker"
    shutil.copytree(ROOT / "src" / "fokker", package)
    result: dict = json.loads(out.read_text()) if out.exists() else {}
    groups = sys.argv[4:] or list(GROUPS)
    for group in groups:
        pattern, tests = GROUPS[group]
        sources = sorted((ROOT / "src" / "fokker").glob(pattern))
        drawn = [(path, *mutant) for path in sources for mutant in mutants(path)]
        total = len(drawn)
        drawn = rng.sample(drawn, min(total, -(-count // len(groups))))
        passed, seconds = survives(package, tests)
        assert passed, f"{group}: the tests fail without a mutant"
        print(
            f"{group}: {total} mutants, {len(drawn)} drawn, tests take {seconds:.0f} s", flush=True
        )
        found: dict = {"possible": total, "run": 0, "killed": 0, "survived": []}
        for path, line, told, text in drawn:
            file = package / path.relative_to(ROOT / "src" / "fokker")
            whole = file.read_text()
            file.write_text(text)
            alive, seconds = survives(package, tests)
            file.write_text(whole)
            found["run"] += 1
            found["killed"] += not alive
            where = f"{path.relative_to(ROOT)}:{line}: {told}"
            if alive:
                found["survived"].append(where)
            print("SURVIVED" if alive else "killed", f"{seconds:.0f} s", where, flush=True)
            result[group] = found
            out.write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(package.parent)


if __name__ == "__main__":
    main()
