# Two commands: `make demo` trains on handwritten digits, `make test` passes the tests. Each sets up all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint check-all clean

demo: $(VENV)/demo.stamp
	$(BIN)/python -m jitml.demo

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-all: $(VENV)/test.stamp $(VENV)/lint.stamp
	bash tests/check_all.sh $(BIN)/python

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: pyproject.toml setup.py $(wildcard runtime/core/*) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
