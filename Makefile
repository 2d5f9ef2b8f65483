# Each target makes what it needs, in any order, on a machine with Python 3.11+ and its venv module.
# PYTHON names the interpreter that makes .venv; PYTEST_ARGS is handed to pytest, WORKERS says in
# how many processes it runs the tests; BENCH_ARGS is handed to the benchmarks.

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?=
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal
FULL := --override-ini 'norecursedirs=.* build dist third_party' --conformance-face both --full
BENCHMARKS := $(sort $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)))

# Modules with the whole suite on a driver.
SUITES := $(addprefix tests/conformance/test_,$(addsuffix .py,local memory fsspec s3 azure gcs)) \
  tests/soak/test_s3_radosgw.py

.PHONY: help demo test test-full servers check format bench bench-quick conformance clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo         see the library at work on local disk'
	@echo 'make test         the tests'
	@echo 'make test-full    the tests and the long ones of tests/soak'
	@echo 'make servers      install the servers the tests run on (the tests do it too, but for Ceph and PostgreSQL)'
	@echo 'make check        formatting, lint, types, layers'
	@echo 'make format       mend what the formatter and the linter can mend'
	@echo 'make bench        the benchmarks of docs/performance.md, which it writes anew (half an hour)'
	@echo 'make bench-quick  a short run of all benchmarks, for a look'
	@echo 'make conformance  the conformance suite on every driver and server, and docs/matrix.md'
	@echo 'make clean        remove all that these targets made'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed: make PYTHON=/usr/bin/python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/python examples/quickstart.py

# Cases on servers run on one face each, in turns; test-full runs them on both, and what repeats on
# one server or event loop what runs on another (marked `repetition`).
test: $(STAMP)
	@$(PYTEST) $(PYTEST_ARGS)

test-full: $(STAMP)
	@$(PYTEST) $(FULL) $(PYTEST_ARGS)

servers: $(STAMP)
	@$(BIN)/python -m tests.servers --install

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	@$(BIN)/python benchmarks/performance.py $(BENCH_ARGS)

bench-quick: $(STAMP)
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script --quick; done

conformance: $(STAMP)
	@mkdir -p reports
	@status=0; $(PYTEST) $(FULL) --conformance-report reports/conformance.json $(PYTEST_ARGS) \
	  $(SUITES) || status=1; $(BIN)/python -m tests.conformance.matrix reports/conformance.json \
	  && exit $$status

clean:
	rm -rf $(VENV) .servers build dist reports htmlcov .coverage .coverage.* .hypothesis \
	  .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
