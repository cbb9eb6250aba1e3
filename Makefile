# make run: the console on a sandbox. make test: every check. Both need only Python >= 3.11 and make.

PYTHON ?=
TESTS ?= tests
ONLY ?=
SEEDS ?=
JOBS ?= 2
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: run install test lint simulate faults bench screenshots lock clean
.DEFAULT_GOAL := run
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

run: $(STAMP)
	@$(VENV)/bin/liquidation-engine --sandbox

install: $(STAMP)

# A file's tests stay together, for what they share: JOBS files at a time.
test: lint
	@$(PY) -m pytest -n $(JOBS) --dist loadfile $(TESTS)

lint: $(STAMP)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

# The tests that take minutes: days of running, hundreds of thousands of cases. SEEDS=5000 runs that many
# worlds of tests/simulation alone.
simulate: $(STAMP)
	@SEEDS=$(SEEDS) $(PY) -m pytest -m long $(if $(SEEDS),-s tests/simulation/test_long_simulation.py,$(TESTS))

# Real processes killed, frozen, cut off and starved; FAULTS_SEED=N repeats a run's draws. Takes half an hour.
faults: $(STAMP)
	@$(PY) -m pytest -m faults -v -s tests/faults

# ONLY=id,id runs these alone.
bench: $(STAMP)
	@$(PY) -m benchmarks $(ONLY)

# Pictures of the running console on a sandbox, into screenshots/.
screenshots: $(STAMP)
	@$(PY) screenshots/make.py

# Needs uv; every other target works without it.
lock:
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	@uv pip compile --universal --generate-hashes --extra dev --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --quiet --output-file requirements.lock pyproject.toml

clean:
	@rm -rf $(VENV)

# Runs again only when the lock or the project's metadata changed. uv is quicker where it is at hand, but it
# does not read pip's configuration: where it finds nothing, pip is asked.
$(STAMP): requirements.lock pyproject.toml
	@python=; for each in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$each; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 or newer is needed and none was found: install it, or name it: make PYTHON=/path/to/python3" >&2; exit 2; \
	fi; \
	if ! $(PY) -m pip --version >/dev/null 2>&1; then \
		"$$python" -m venv --clear $(VENV) >/dev/null 2>&1 || { \
			echo "$$python cannot make a virtual environment: install its venv module (Debian: apt-get install python3-venv)" >&2; exit 2; }; \
	fi; \
	echo "Installing what requirements.lock names into $(VENV) ..."; \
	{ command -v uv >/dev/null 2>&1 && uv pip install --quiet --python $(PY) --require-hashes -r requirements.lock 2>/dev/null; } \
		|| $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
		|| { echo "The dependencies could not be installed: the lines above say why" >&2; exit 2; }; \
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . \
		|| { echo "The project could not be installed: the lines above say why" >&2; exit 2; }; \
	touch $@
