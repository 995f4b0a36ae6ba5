# Two commands: `make demo` trains on handwritten digits, `make test` passes the tests. Each sets up
# all it needs in .venv: Python, its venv module and PyPI (or a mirror of it) must be at hand.
PYTHON ?= python3
CHECKS ?= .
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs check-all clean
.NOTPARALLEL:

demo: $(VENV)/demo.stamp
	@$(BIN)/python -m jitml.demo

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/docs.stamp
	$(BIN)/mkdocs build --quiet --strict
	@echo "build/docs/index.html"

check-all: $(VENV)/test.stamp $(VENV)/lint.stamp
	bash tests/check_all.sh $(BIN)/python "$(CHECKS)"

# A half-made environment would look like a whole one to the next `make`.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "jitml needs Python 3.10 or newer: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/%.stamp: pyproject.toml setup.py $(wildcard runtime/core/*) | $(BIN)/python
	@echo "setting up $(VENV) for \"make $*\" (once, a minute or two) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
