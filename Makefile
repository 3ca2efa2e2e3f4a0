# Everything a newcomer needs: `make demo`, `make test`. Installs into .venv, node_modules and .local only.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The newest Python from 3.11 to 3.13 that runs here and can make a virtual environment: 3.11 is the oldest that the
# code is written for (Debian 12's own is enough), 3.13 the newest that MongoDB's stand-in has wheels for.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE :=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_SYSTEM_CERTS := 1

.PHONY: help setup packages demo up test retest lint generate bench simulate faults fuzz mutate coverage package real dashboards helm lock clean secret-finders

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

# All that a bare machine lacks is named at once, in one line, and not after minutes of installing the rest. Debian 12's
# own Node is 18, which Azurite no longer runs on.
.PHONY: programs
programs:
	@missing=; node=$$(node -p 'process.versions.node' 2>/dev/null); \
	test -x $(BIN)/python || $(or $(PYTHON),false) -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
		|| missing="Python 3.11 to 3.13 with venv (Debian: apt-get install python3 python3-venv)"; \
	test "$$(echo $${node:-0} | cut -d. -f1)" -ge 20 && command -v npm >/dev/null \
		|| missing="$$missing$${missing:+; }Node 20 or newer with npm (Debian 13: apt-get install nodejs npm)$${node:+, and not $$node}"; \
	test -z "$$missing" || { echo "missing: $$missing"; exit 1; }

.venv/.ready: requirements-bootstrap.txt requirements-dev.txt requirements-worker.txt | programs
	@test -x $(BIN)/python || { echo "creating .venv with $$($(PYTHON) -V)"; $(PYTHON) -m venv .venv; }
	@echo "installing uv (1 of 3)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bootstrap.txt
	@echo "installing Python packages (2 of 3)"
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements-dev.txt \
		|| { echo "uv failed; installing with pip"; $(BIN)/python -m pip install --require-hashes -r requirements-dev.txt; }
	@echo "installing Microsoft's worker library (3 of 3)"
	@$(BIN)/python -m pip install --quiet --no-deps --ignore-requires-python --require-hashes -r requirements-worker.txt
	@touch $@

node_modules/.ready: package-lock.json | programs
	@echo "installing Azurite from npm"
	@npm ci --no-audit --no-fund
	@touch $@

setup: .venv/.ready node_modules/.ready ## Install what the project needs into .venv and node_modules

packages: ## Debian packages that some tests want: age, chromium, prometheus, … (needs root only if one is absent)
	@missing=; for pair in age:age chromium:chromium curl:curl jq:jq shellcheck:shellcheck promtool:prometheus \
		amtool:prometheus-alertmanager; do \
		command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	test -z "$$missing" && exit 0; \
	test "$$(id -u)" = 0 || { echo "missing:$$missing (as root: apt-get install$$missing); tests that need them are skipped"; exit 0; }; \
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } >/dev/null 2>&1 \
		|| echo "could not install$$missing; tests that need them are skipped"

demo: setup ## Seed, back up while it changes, restore, prove; under five minutes
	@$(BIN)/python -m local.demo

up: setup ## Run it all on this machine until Ctrl-C, with data and a backup; prints commands to try
	@$(BIN)/python -m local.up

# By file, since the tests of some go on where the one before ended. (Groups, which would say so in the tests, are not
# seen by pytest-xdist 3.8 with pytest 9.2, which no longer takes the names that it gives to tests.)
# Five on the two cores of the smallest machine: end-to-end tests wait for other processes half of their time.
WORKERS ?= 5
# promtool, OpenTofu and kubectl run for seconds, and a fifth of that is Go's collection of garbage.
test: export GOGC ?= 400
test: setup ## All tests, on both cores; WORKERS=2 for a machine that is short of memory
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore=tests/real \
		-p tests.support.late_collection -o console_output_style=classic

# For CI, after a red run: whole files, since tests of some go on where the one before ended. More than five is no accident.
retest: setup ## The files of the last run's failed tests once more, alone: what passes now depends on load or time
	@files=$$($(BIN)/python -c 'import json; print(*sorted({test.split("::")[0] for test in json.load(open(".pytest_cache/v/cache/lastfailed"))}))') \
		&& test -n "$$files" && test $$(wc -w <<< "$$files") -le 5 || { echo "retest: no or too many files with failed tests"; exit 1; }; \
	$(BIN)/python -m pytest -q $$files && echo "UNSTABLE, passed only the second time: $$files"

lint: setup ## Style, types, layers, and that what is generated is current
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

generate: setup ## Write docs/settings.md, docs/policy.md and the schema anew
	@$(BIN)/python -m local.generate

bench: setup ## Measure the figures of the issues into bench/results.json
	@PATH="$$PATH:$(CURDIR)/.local/real/bin" $(BIN)/python -m bench

# About ten minutes of processor time for each of two seeds; one process, the other core is for whoever waits.
simulate: setup ## A year of two machines through the jobs, with orders, holds, refusals, evictions and lost ticks
	@GROUNDCREW_SIMULATED_DAYS=$(or $(DAYS),365) nice -n 10 $(BIN)/python -m pytest -q -s tests/power/test_year.py

faults: setup ## Jobs in storms of faults, repeatable by seed: the table of docs/reliability.md
	@$(BIN)/python -m tests.faults --write

secret-finders: setup ## Our finder of plaintext secrets beside detect-secrets and gitleaks, where they are installed
	@$(BIN)/python -m tests.support.secret_finders

fuzz: setup ## What reads the bytes of others against changed inputs, SECONDS=10 for each reader
	@nice -n 10 $(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),10)

# Nothing is changed on disk. MODULES="shared/web/signin.py …" and SEED=2 choose; about ten seconds a mutant.
mutate: setup ## Try the tests with changed code, a sample of mutants a module, into bench/mutation.json
	@nice -n 10 $(BIN)/python -m local.mutation --seed $(or $(SEED),1) $(MODULES)

coverage: setup ## Which lines of triggers, wiring and commands only end-to-end tests run, and which none
	@nice -n 10 $(BIN)/python -m local.coverage

# Takes what is published where that can be reached, else builds with Go, which nothing else needs. What takes long to
# build is taken from ~/.cache/groundcrew/real if it was built before; SLOW=1 builds it, two Kubernetes control planes
# too, and runs everything against them: hours the first time.
# GROUNDCREW_SOURCES names Git directories with sources that no proxy serves (mongo-tools, cmctl), where GitHub is not
# reached; GROUNDCREW_TEST_CHART the official chart.
real: setup ## Bring real programs into .local/real, and run what only they can prove
	@$(BIN)/python -m local.real $(if $(SLOW),--slow,--cached) $(if $(MINUTES),--minutes $(MINUTES))
	@$(BIN)/python -m pytest -q -rs tests/real --ignore=tests/real/test_ferretdb.py \
		$(if $(SLOW),,--ignore=tests/real/test_bootstrap_chroot.py)
	@$(BIN)/python -m local.real.suites $(if $(SLOW),--full) $(if $(MINUTES),--minutes $(MINUTES))

dashboards: setup ## Draw the dashboards from a real Prometheus' data into docs/dashboards
	@$(BIN)/python -m local.dashboards

package: setup ## Build what is deployed: dist/groundcrew.zip (needs Python 3.13; Helm from `make helm`)
	@$(BIN)/python -m local.package

helm: setup ## Bring the official Helm into bin/, checked, for deploying
	@$(BIN)/python -m local.helm --into bin

clean: ## Remove what setup and the stack made
	@rm -rf .venv node_modules .local bin dist

lock: ## Compile the lock files anew from requirements*.in
	@for pair in requirements:requirements.in "requirements-cli:requirements.in requirements-cli.in" requirements-dev:requirements-dev.in; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--prerelease if-necessary-or-explicit --custom-compile-command "make lock" $${pair#*:} -o $${pair%%:*}.txt || exit 1; done
	@$(BIN)/uv pip compile --quiet --python-version 3.13 --no-deps --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" requirements-worker.in -o requirements-worker.txt
