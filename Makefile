# Each target makes what it needs, in any order, on a machine with Python 3.11+ and its venv module.
# PYTHON names the interpreter that makes .venv; PYTEST_ARGS is handed to pytest.

PYTHON ?= python3
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCHMARKS := $(sort $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)))

.PHONY: help demo test test-full check format bench conformance clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo         see the library at work on local disk'
	@echo 'make test         the tests'
	@echo 'make test-full    the tests and the long ones of tests/soak'
	@echo 'make check        formatting, lint, types, layers, documentation'
	@echo 'make format       mend what the formatter and the linter can mend'
	@echo 'make bench        the benchmarks'
	@echo 'make conformance  the conformance suite on the local and the memory driver'
	@echo 'make clean        remove all that these targets made'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed: make PYTHON=/usr/bin/python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/python examples/quickstart.py

test: $(STAMP)
	@$(BIN)/pytest $(PYTEST_ARGS)

test-full: $(STAMP)
	@$(BIN)/pytest --override-ini 'norecursedirs=.* build dist' $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q -m docs

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script; done

# The built-in profiles, with versions and with a user data directory of their own.
conformance: $(STAMP)
	@mkdir -p reports
	@set -e; for profile in local memory; do \
	  XDG_DATA_HOME=$(CURDIR)/reports/data STORAGE_CONFIG= STORAGE_PROFILES__LOCAL__VERSIONS=true \
	    STORAGE_PROFILES__MEMORY__VERSIONS=true $(BIN)/storage conformance \
	    --profile $$profile --report reports/conformance-$$profile.json; \
	done

clean:
	rm -rf $(VENV) build dist reports htmlcov .coverage .coverage.* .hypothesis \
	  .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
