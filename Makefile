# make demo opens the app, make test runs the tests; both set up .venv first, once.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-all lint

setup: .venv/ready

.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "unetlift needs Python 3.10 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

demo: setup
	$(BIN)/python app.py

test: setup
	$(BIN)/python -m pytest

test-all: setup
	$(BIN)/python -m pytest -m "slow or not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/lint-imports
