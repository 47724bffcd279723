# `make demo` and `make test` each work on a fresh clone: they install into .venv first. A torch that is there already (a build for another GPU, or without
# one) is kept if its version is the pinned one.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin

.PHONY: install demo test lint check wheel clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/genomix demo --force -o genomix-demo

test: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint test

wheel: install
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find genomix tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
