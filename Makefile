# Everything a newcomer needs: `make demo`, `make test`. Installs into .venv, node_modules and .local only.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The newest Python that runs here and that the worker library and MongoDB's stand-in have wheels for.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE :=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo up test test-fast lint types bench lock packages clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

.venv/.ready: requirements-bootstrap.txt requirements-dev.txt requirements-worker.txt
	@test -n "$(PYTHON)" || { echo "missing: Python 3.11 to 3.13 with venv (Debian: apt-get install python3 python3-venv)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt \
		|| { echo "uv could not install; trying pip"; $(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt; }
	@$(BIN)/python -m pip install --quiet --no-deps --ignore-requires-python --require-hashes -r requirements-worker.txt
	@touch $@

node_modules/.ready: package-lock.json
	@command -v npm >/dev/null || { echo "missing: Node 20 or newer with npm (Debian: apt-get install nodejs npm)"; exit 1; }
	@npm ci --silent
	@touch $@

setup: .venv/.ready node_modules/.ready ## Install what the project needs into .venv and node_modules

lock: ## Compile the lock files anew from requirements*.in
	@for name in requirements requirements-cli requirements-dev; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--prerelease if-necessary-or-explicit --custom-compile-command "make lock" $$name.in -o $$name.txt || exit 1; done
	@$(BIN)/uv pip compile --quiet --python-version 3.13 --no-deps --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" requirements-worker.in -o requirements-worker.txt
