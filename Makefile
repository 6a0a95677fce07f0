# Every target does its own set-up and is quick the second time. `make` alone lists them.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 6001
WORKERS ?= 1
PYTHONS ?= 3.11 3.12 3.13
ARGS ?=
URL ?=

BIN := .venv/bin
NODE_MODULES := tests/e2e/js/node_modules/.stamp examples/demo/node_modules/.stamp
SOURCES = $(wildcard relay relay_transports benchmarks examples tests)

.PHONY: help setup serve test test-plugins test-pythons autobahn conformance check fmt bench bench-quick docs clean debian
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

setup: .venv/.dev $(NODE_MODULES) debian ## install everything the other targets need

serve: DEBIAN = nodejs npm$(if $(filter-out 1,$(WORKERS)), redis-server)
serve: .venv/.relay examples/demo/node_modules/.stamp ## run the demo; HOST=... PORT=... say where, WORKERS=2 over how many processes
	$(BIN)/python examples/demo/app.py --host $(HOST) --port $(PORT) --workers $(WORKERS)

test: setup ## run the tests; ARGS="-k presence -x" go to pytest
	$(BIN)/pytest $(ARGS)

test-plugins: .venv/.dev ## run the pytest plugin's tests, also beside pytest-asyncio and pytest-aiohttp
	.ci/plugin-environments
	$(BIN)/pytest tests/plugin $(ARGS)

test-pythons: ## run the unit and property tests on each of PYTHONS that is installed
	.ci/test-pythons $(PYTHONS)

autobahn: .venv/.dev ## let the Autobahn test suite judge the WebSocket server; needs Python 2.7
	.ci/autobahn
	$(BIN)/python -m tests.autobahn.suite $(ARGS)

conformance: export CONFORMANCE_URL := $(or $(URL),$(CONFORMANCE_URL))
conformance: .venv/.dev tests/conformance/js/node_modules/.stamp debian ## let every client judge Relay, write the page; URL=... judges another server
	.ci/conformance-environments
	$(BIN)/python -m tests.conformance $(ARGS)

check: .venv/.dev ## check format, lint, types and layers; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports --no-logo

fmt: .venv/.dev ## format, and fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: .venv/.dev ## measure Relay beside its peers, write the page; ARGS="fanout rest --rounds 3" chooses
	$(BIN)/python -m benchmarks $(ARGS); code=$$?; $(BIN)/python -m benchmarks report && exit $$code

bench-quick: .venv/.dev ## hold Relay to the ratios in benchmarks/budgets.toml, in under two minutes
	$(BIN)/python -m benchmarks quick $(ARGS)

docs: .venv/.dev ## build the documentation into docs/_build
	$(BIN)/sphinx-build -q -W --keep-going docs docs/_build
	@echo docs/_build/index.html

clean: ## remove everything the targets made
	rm -rf .venv .venvs build dist docs/_build tests/e2e/js/node_modules tests/conformance/js/node_modules examples/demo/node_modules
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(SOURCES) docs -name __pycache__ -prune -exec rm -rf {} +

# Set-up, one file as the mark of each finished step.

.venv/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	  "Relay needs Python 3.11 or newer and '$(PYTHON)' is not: name one, as in make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || .ci/debian-packages python3-venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --upgrade 'pip>=25.1'
	@touch $@

.venv/.relay: pyproject.toml | .venv/.pip
	$(BIN)/pip install -qq --editable '.[all]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/.pip
	$(BIN)/pip install -qq --editable '.[all]' --group dev
	@touch $@ .venv/.relay

%/node_modules/.stamp: %/package.json | debian
	@.ci/npm-packages $*

debian:
	@.ci/debian-packages $(DEBIAN)
