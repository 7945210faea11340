# `make` lists the targets. Everything is installed into .venv; nothing outside this folder is touched.
# The quickest that is there; PYTHON=python3.12 names another.
PYTHON ?= $(or $(shell python3 distribution/python.py),python3)
ARGS ?=
BIN = .venv/bin
# Names what it fetches. Modules are compiled when they are first used; most never are.
PIP = @$(BIN)/python distribution/install.py
PIP_WHEEL = $(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation
BIOME = $(BIN)/node node_modules/@biomejs/biome/bin/biome

.DEFAULT_GOAL := help
.PHONY: help install install-locked demo test test-peers test-images test-scripts checked programs compiled lint lint-types lint-rest format lock audit check clean screenshots wheels

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

.venv/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed; {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv || { echo "No virtual environment could be made in $(CURDIR): see above (no permission to write here, or the venv module is missing)."; exit 1; }

.venv/installed: .venv/bin/python requirements.txt clientagent/requirements.txt
	$(PIP) -r requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

node_modules/installed: .venv/installed-dev package.json package-lock.json .npmrc
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --silent
	@touch $@

install: .venv/installed ## make .venv and install what the server and the agents need

install-locked: .venv/bin/python ## the same, and what tests need, in the very files that requirements.lock knows by their hashes
	$(PIP) --require-hashes -r requirements.lock
	@touch .venv/installed .venv/installed-dev

demo: install ## a server, four clients and a session on real data; ARGS="--exit --port 8123" passes arguments on
	@exec $(BIN)/python manage.py demo $(ARGS)

lint: .venv/installed-dev node_modules/installed ## formatting, lint, types, import contracts, missing migrations
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint-types lint-rest

lint-types: .venv/installed-dev
	$(BIN)/mypy

lint-rest: .venv/installed-dev node_modules/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/djlint --check --lint templates
	$(BIOME) ci
	$(BIN)/node node_modules/typescript/bin/tsc

format: .venv/installed-dev node_modules/installed ## write Python, templates, scripts and styles the way that lint wants
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/djlint --reformat --quiet templates
	$(BIOME) check --write

test-scripts: node_modules/installed ## the unit tests of static/js
	$(BIN)/node --test "tests/static/**/*.test.js"

# Each folder of tests/peers with a requirements.txt is tried in an environment of its own.
PEERS = $(patsubst tests/peers/%/requirements.txt,%,$(wildcard tests/peers/*/requirements.txt))

.venv-peers/%/installed: tests/peers/%/requirements.txt .venv/installed-dev
	@$(BIN)/python -m venv .venv-peers/$*
	@# What it does not bring itself comes from .venv: torch, Django and pytest are not installed twice.
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > .venv-peers/$*/below
	@mv .venv-peers/$*/below "$$(.venv-peers/$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/below.pth"
	.venv-peers/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r $<
	@# Packages of which tests read files only.
	@[ ! -f tests/peers/$*/beside.txt ] || .venv-peers/$*/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-compile --no-deps --upgrade --target .venv-peers/$*/beside -r tests/peers/$*/beside.txt
	@touch $@

test-peers: $(PEERS:%=.venv-peers/%/installed) ## tests with other frameworks, each in an environment of its own; PEERS=flower runs one
	@failed=; for peer in $(PEERS); do \
		echo "$$peer:"; .venv-peers/$$peer/bin/python -m pytest -q tests/peers/$$peer $(ARGS) || failed="$$failed $$peer"; \
	done; [ -z "$$failed" ] || { echo "Failed:$$failed"; exit 1; }

.venv-images/installed: tests/images/requirements.txt .venv/installed-dev
	@$(BIN)/python -m venv .venv-images
	.venv-images/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

test-images: .venv-images/installed ## build both images without Docker, and run the stack of compose.yaml from them; needs Debian, as root
	@for one in buildah mmdebstrap ip nginx promtool; do command -v $$one > /dev/null || missing=1; done; [ -z "$$missing" ] || { apt-get update -qq \
		&& RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah mmdebstrap iproute2 nginx prometheus > /dev/null; }
	PATH="$(CURDIR)/.venv-images/bin:$$PATH" $(BIN)/python -m pytest -q $(or $(filter tests/%,$(ARGS)),tests/images) $(filter-out tests/%,$(ARGS))

# Named tests run without lint before them.
test: $(if $(filter tests tests/%,$(ARGS)),.venv/installed-dev,checked) ## from nothing to a verdict: lint and every test; ARGS=tests/fl runs that alone
	$(BIN)/python tests/run.py $(ARGS)

# Packages come while the system's programs do, and what the tests load is compiled while mypy is at work.
checked:
	@$(MAKE) --no-print-directory --jobs=2 node_modules/installed programs
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint-types lint-rest test-scripts compiled

programs:
	@$(PYTHON) tests/run.py --programs

compiled: .venv/installed-dev
	@$(BIN)/python tests/compiled.py

.venv-audit/installed: requirements-audit.txt
	@$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check -r requirements-audit.txt
	@touch $@

COMPILE = .venv-audit/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links

lock: .venv-audit/installed ## write requirements.lock anew, from the ranges in requirements*.txt, and those of the images
	$(COMPILE) requirements.txt requirements-dev.txt -o requirements.lock
	$(COMPILE) -c requirements.lock requirements.txt -o deploy/server.lock
	$(COMPILE) -c requirements.lock clientagent/requirements.txt -o deploy/agent.lock

audit: .venv/installed .venv-audit/installed ## bandit, the licences, a bill of materials in var/sbom.json, known vulnerabilities
	.venv-audit/bin/bandit --quiet --severity-level medium --recursive federation dashboard clientagent flsite
	.venv-audit/bin/pip-licenses --python=$(BIN)/python --summary
	@mkdir -p var
	.venv-audit/bin/cyclonedx-py environment $(BIN)/python --output-file var/sbom.json
	$(BIN)/python tests/audit.py .venv-audit/bin/pip-audit requirements.lock

wheels: .venv/installed ## dist/*.whl: the agent and the library for scripts, without the server
	$(PIP_WHEEL) --wheel-dir dist .

screenshots: .venv/installed-dev ## fresh pictures for docs/tour.md, from real sessions
	$(BIN)/python docs/screenshots.py

clean: ## remove .venv, node_modules and caches; var/ is kept
	rm -rf .venv .venv-audit .venv-images .venv-peers node_modules .mypy_cache .ruff_cache .pytest_cache
