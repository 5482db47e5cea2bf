# Requires only Python 3.10 to 3.13 with its venv module. `make PYTHON=python3.12 test` chooses an interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo docs site check format test test-slow clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(INSTALLED)  ## create .venv and install the package in it, editable, with all development tools

$(INSTALLED): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "$(PYTHON) is not Python 3.10 to 3.13; choose one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: install  ## compose, render, build, train, evaluate, predict and export in demo/ (needs no data and no GPU)
	$(BIN)/python tools/demo.py --out demo

check: install  ## check lint, formatting, types and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## format the code and apply the linter's fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: install  ## run the fast tests (under 8 minutes on 2 cores)
	$(BIN)/python -m pytest -m 'not slow and not gpu' -n 2 --dist loadfile

test-slow: install  ## run the slow tests (under 40 minutes on 2 cores)
	$(BIN)/python -m pytest -m 'slow and not gpu' -n 2 --dist loadfile

docs: install  ## build the documentation as a web site in site/ (needs no network)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict  # with --quiet, --strict counts no warnings
	@echo "site/index.html; to serve it: $(BIN)/python -m http.server --directory site"

$(BIN)/mir-tf:  # without TensorFlow, if nothing is installed yet
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .

site: $(BIN)/mir-tf  ## build the app as a static site in site-app/ (needs npm)
	$(BIN)/python tools/build_site.py --out site-app

clean:  ## remove .venv, caches and the demo's output
	rm -rf $(VENV) demo site site-app build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
