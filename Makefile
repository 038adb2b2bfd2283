# `make demo` and `make test` are all that a fresh machine needs: Linux, Python 3.11 or later, make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast coverage test-slow test-rest lint style types format bench docs audit clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or later is needed; name it with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.installed  ## train, evaluate and predict on the built-in synthetic corpus
	$(BIN)/python demo.py

# In the order of tests/conftest.py, the longest files first: else they are sorted by their number of tests.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The types are checked beside the tests, as that takes half a minute of one core where nothing is cached.
test: style  ## lint, and all tests but the slow ones: some minutes
	@$(MAKE) --no-print-directory --jobs=2 types test-fast

test-fast: $(VENV)/.installed-dev
	$(PYTEST)

# Slow tests that run in this process: what they cover counts. In one go with the others, named room by room: pytest drops
# a file of tests/slow where the whole of tests/ is named too.
COVERED := tests/slow/test_docs.py tests/slow/test_sweep_folders.py
FAST := $(filter-out tests/slow/ tests/__pycache__/,$(wildcard tests/*/)) $(wildcard tests/test_*.py) ser app

coverage: lint  ## the same and some slow tests, and what of the code they run, with its floor: half as long again
	$(PYTEST) --cov --cov-report=term $(FAST) $(COVERED)

test-slow: $(VENV)/.installed-dev  ## the tests in tests/slow: browser, kills, hostile files, load, benchmarks
	$(PYTEST) tests/slow

test-rest: $(VENV)/.installed-dev  ## those of them that `make coverage` leaves out
	$(PYTEST) tests/slow $(COVERED:%=--ignore=%)

bench: $(VENV)/.installed-dev  ## measure everything and write docs/benchmarks.md
	$(BIN)/python benchmarks/all.py

$(VENV)/.installed-docs: requirements-docs.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

docs: $(VENV)/.installed-docs  ## build the site of docs/ below outputs/site, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# In an environment of its own: what it needs is nothing of ours. Strict: what could not be looked up is no clean answer.
audit: $(BIN)/python  ## look up every pinned version in the published advisories (network)
	$(BIN)/python -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements-dev.txt -r app/requirements.txt -r requirements-serve.txt -r requirements-docs.txt

lint: style types  ## check style, format and types

style: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## mend what the linter can mend, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and what runs have written; data/ stays
	rm -rf $(VENV) outputs
