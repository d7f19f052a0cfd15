# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_DOCS := $(VENV)/.ready-docs
# Python compiles the few modules that it imports; pip would compile all of them, for 20 s.
INSTALL := -m pip install --quiet --no-compile
DEMO ?= runs/demo

# Many images forbid Python to keep what it has compiled: then every process that a test starts
# compiles JAX and the rest again, for four seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-statistics test-documentation test-slow test-distributed test-physics lint types docs docs-test package clean

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, {sys.executable} is {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) --upgrade pip

$(READY): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) --editable .
	@touch $@

$(READY_DEV): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) --editable '.[dev]'
	@touch $(READY) $@

$(READY_DOCS): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) --editable '.[docs]'
	@touch $(READY) $@

## Train on the embedded alanine dipeptide, sample, simulate and report: under 10 minutes on 2 cores.
demo: $(READY)
	$(BIN)/fokker run alanine-dipeptide --method fokker --effort 0.15 --out $(DEMO) --resume
	@echo "open $(DEMO)/report.html"

## Lint, types and tests, with array shapes checked at run time.
test: $(READY_DEV) lint types
	$(BIN)/python -m pytest

## Samplers, objectives, integrators and estimators against known means, moments and errors.
test-statistics: $(READY_DEV)
	$(BIN)/python -m pytest -m 'statistics and not slow'

## The files of CONTRIBUTING.md and the scripts of examples/, shortened.
test-documentation: $(READY_DEV)
	$(BIN)/python -m pytest -m documentation

## Long physics tests.
test-slow: $(READY_DEV)
	$(BIN)/python -m pytest -m slow

## Training and simulation on several devices and, over loopback, in several processes; SOME="1-2 or 1-4" chooses.
test-distributed: $(READY_DEV)
	$(BIN)/python -m pytest -n 0 -m distributed tests/runtime/test_parallel.py -k "$(SOME)"

## Integrators against closed forms and against the package physical_validation.
test-physics: $(READY_DEV)
	$(BIN)/python $(INSTALL) --editable '.[dev,validation]'
	$(BIN)/python -m pytest -n 0 -m slow tests/dynamics/test_physics.py

lint: $(READY_DEV)
	$(BIN)/ruff check src tests benchmarks docs examples tools
	$(BIN)/ruff format --check src tests benchmarks docs examples tools

types: $(READY_DEV)
	$(BIN)/pyright --pythonpath $(BIN)/python

## The documentation, into docs/_build/html; a warning is an error.
docs: $(READY_DOCS)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

## Run every example of the documentation and of examples/, shortened.
docs-test: $(READY_DEV) $(READY_DOCS) test-documentation
	$(BIN)/python docs/run_examples.py

## Build wheel and source distribution; check both in clean environments.
package:
	$(PYTHON) tools/check_package.py

clean:
	rm -rf $(VENV) build dist docs/_build docs/reference/generated .pytest_cache .ruff_cache
