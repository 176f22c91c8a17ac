# Every target sets up what it needs in .venv and a second run finds it there. It takes Python >= 3.11 with pip, no more.
# PYTHON=… names the interpreter; ARGS=… goes to the command that a target runs: make test ARGS="-k laws".

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-app lint format docs bench bench-quick constraints clean

PYTHON ?= python3.11 python3 python
BIN := .venv/bin
RUNTIME := .venv/runtime.stamp
DEVELOPMENT := .venv/development.stamp
INSTALL := $(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check --constraint constraints.txt

# $(call environment,FOLDER): a virtual environment of the first interpreter that is new enough, unless there is one. Debian
# splits venv's copy of pip from Python; where it is missing, the interpreter's own pip installs one.
define environment
if $(1)/bin/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
for python in $(PYTHON); do \
    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
        "$$python" -m venv --clear $(1) >/dev/null 2>&1 && exit 0; \
        "$$python" -m venv --clear --without-pip $(1); \
        exec "$$python" -m pip --python $(1)/bin/python install -qq --disable-pip-version-check pip; \
    fi; \
done; \
echo "nextpixel needs Python 3.11 or newer, which none of '$(PYTHON)' is: name one with make PYTHON=/path/to/python." >&2; exit 1
endef

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(DEVELOPMENT)  ## the environment for development, in .venv

demo: $(RUNTIME)  ## train a small model on the embedded digits, then sample and complete with it
	$(BIN)/python examples/demo.py $(ARGS)

test: $(DEVELOPMENT)  ## all tests and the examples of docstrings; real data is looked for in NEXTPIXEL_DATA
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

# Debian's Chromium, as playwright would download one of its own.
test-app: $(DEVELOPMENT)  ## the app, in a real browser; screenshots are in build/app
	command -v chromium chromium-browser google-chrome >/dev/null || { \
	    if [ "$$(id -u)" = 0 ]; then root=; else root=sudo; fi; \
	    $$root apt-get update -qq && $$root apt-get install -qq -y --no-install-recommends chromium >/dev/null; }
	NEXTPIXEL_APP=1 $(BIN)/python -m pytest tests/app $(ARGS)

# Without the variable, pyright asks the npm registry whether there is a newer one.
lint: $(DEVELOPMENT)  ## style, types and the one-way flow of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --project pyproject.toml
	$(BIN)/lint-imports --no-logo --no-cache

format: $(DEVELOPMENT)  ## mend what the linter can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(DEVELOPMENT)  ## the documentation, in build/docs; warnings are errors, and the tour is run
	$(BIN)/python -m sphinx --quiet --fail-on-warning --builder html docs build/docs

bench: $(DEVELOPMENT)  ## how near every model is to what this machine can do
	$(BIN)/python benchmarks/bench.py $(ARGS)

bench-quick: $(DEVELOPMENT)  ## only whether the benchmark works
	$(BIN)/python benchmarks/bench.py --quick

constraints:  ## pin the newest releases that pyproject.toml admits, torch at 2.13.0
	rm -rf build
	$(call environment,build/constraints)
	build/constraints/bin/python -m pip install -qq --disable-pip-version-check hatchling torch==2.13.0 --editable '.[dev]'
	{ echo "# Every dependency of nextpixel[dev] and of its build, written by 'make constraints' with the CPU build of torch."; \
	  echo "# What a CUDA build needs besides is pinned by torch itself."; \
	  build/constraints/bin/python -m pip freeze --all --exclude nextpixel --exclude pip | sed 's/+cpu$$//'; } > constraints.txt.new
	mv constraints.txt.new constraints.txt
	rm -rf build

clean:  ## remove the environment, the caches and the demo's output; runs/ stays
	rm -rf .venv build dist demo .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# The demo gets nothing of development, so that it fails where a dependency of the package is forgotten. The build tool
# is installed like the rest: an isolated build would fetch one that constraints.txt does not pin.
$(RUNTIME): pyproject.toml constraints.txt
	@echo "Setting up .venv (some minutes the first time) …"
	@$(call environment,.venv)
	$(INSTALL) hatchling
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(DEVELOPMENT): $(RUNTIME)
	$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@
