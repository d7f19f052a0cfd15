"""The documentation: what it names exists, it builds without a warning, its examples run."""

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [p for p in DOCS.rglob("*.md") if "_build" not in p.parts and "generated" not in p.parts]

spec = importlib.util.spec_from_file_location("run_examples", DOCS / "run_examples.py")
run_examples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_examples)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(DOCS)))
def test_every_name_of_a_page_exists(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\{py:\w+\}`(?:[^`<]*<)?([\w.]+)>?`", text):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_theory_links_every_objective_process_sampler_and_integrator():
    text = (DOCS / "theory.md").read_text(encoding="utf-8")
    for package in ("process", "objective", "sampler", "dynamics"):
        module = importlib.import_module(f"fokker.{package}")
        for name in module.__all__:
            found = getattr(module, name)
            base = getattr(found, "__bases__", (object,))[0].__name__
            if base.startswith("Abstract") and not name.startswith("Abstract"):
                assert f"fokker.{package}.{name}`" in text, name


def test_examples_that_fail_are_told(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("```shell\necho fine\n```\n\n```python\n1 / 0\n```\n")
    monkeypatch.setattr(run_examples, "DOCS", tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(RuntimeError, match="1 / 0\n"):
        run_examples.run("page.md", tmp_path / "run")


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("furo")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    theory = (tmp_path / "theory.html").read_text(encoding="utf-8")
    assert "<math" in theory
    for page in (index, theory):  # a reader without a network sees the whole page
        assert not re.findall(r'(?:src|rel="stylesheet"[^>]*href)="https?:', page)


@pytest.mark.slow
@pytest.mark.parametrize("page", run_examples.PAGES)
def test_the_examples_of_a_page_run_as_written(page, tmp_path):
    run_examples.run(page, tmp_path)
