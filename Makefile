# What a person does with this repository. `make` alone lists it; CONTRIBUTING.md explains it.
#
# Everything lives in .venv: uv (pinned, hashes checked) installs requirements/dev.txt into it, then
# Plinth itself as an editable package. A finished set-up is the stamp .venv/ready; it names the
# folder it was made in, so that a moved or copied tree sets itself up anew.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
TEST_PROCESSES ?= 2
# Journeys wait for their processes a part of the time.
JOURNEY_PROCESSES ?= 3

# Without .pyc files every start of Python compiles its imports anew: seconds for each process.
unexport PYTHONDONTWRITEBYTECODE
# Another environment's settings must not reach into ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

ifneq ($(CURDIR),$(shell [ -x $(BIN)/python ] && cat $(READY) 2>/dev/null))
.PHONY: $(READY)
endif

# $(call step,NAME,COMMAND): one line when it passes, the whole output when it does not.
define step
@started=$$SECONDS; log=$$(mktemp); trap 'rm -f $$log' EXIT; \
if $(2) >$$log 2>&1; then printf '  ok      %-10s %3d s\n' '$(1)' $$((SECONDS - started)); \
else cat $$log; printf '  FAILED  %-10s see above; `make check-$(1)` repeats it\n' '$(1)'; exit 1; fi
endef

.PHONY: help
help: ## List these commands
	@printf 'Plinth: the application platform for AI workloads\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@printf '\nStart with `make demo`. The first set-up takes about a minute.\n'

.PHONY: setup
setup: $(READY) ## Make .venv with everything Plinth needs (again only when a pin changed)
	@$(if $(filter setup,$(MAKECMDGOALS)),printf '==> ready: try `$(BIN)/plinth --help`\n',:)

$(BIN)/uv:
	@tools/create_environment $(VENV)

$(READY): requirements/dev.txt pyproject.toml | $(BIN)/uv
	@if ! $(BIN)/python -c '' 2>/dev/null; then tools/create_environment $(VENV); fi
	@printf '==> %d pinned packages\n' "$$(grep -c '^[a-z].*==' requirements/dev.txt)"
	@quiet=; [ -t 2 ] || quiet=--quiet; \
	$(BIN)/uv pip sync $$quiet --python $(VENV) --require-hashes --compile-bytecode requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(VENV) --no-deps --editable .
	@printf '%s' '$(CURDIR)' >$(READY)

.PHONY: demo
demo: setup ## Start Plinth; explore, train, serve, score, chat and run a flow on real data
	@$(BIN)/python examples/flights/demo.py

.PHONY: test
test: setup ## Set up, check, then run every test
	@$(MAKE) check
	@$(MAKE) test-unit
	@$(MAKE) conformance
	@$(MAKE) test-journeys

.PHONY: test-unit
test-unit: setup ## Run the tests that start no process
	@$(BIN)/pytest --ignore=tests/journeys --ignore=tests/conformance --ignore=tests/docs -q -rs -n $(TEST_PROCESSES) $(ARGS)

.PHONY: test-journeys
test-journeys: setup ## Run the tests that start real processes (minutes)
	@$(BIN)/pytest tests/journeys -q -rs -n $(JOURNEY_PROCESSES) --dist loadfile --no-loadscope-reorder --durations 10 $(ARGS)

.PHONY: conformance
conformance: setup ## Say what of Envoy's behaviour that Plinth relies on holds in this Envoy
	@$(BIN)/pytest tests/conformance -q -rs --no-header --tb=short $(ARGS)

.PHONY: soak
soak: setup ## Kill parts at random for minutes (SEED= KILLS=200 JOBS=50 ENDPOINTS=5)
	@SEED='$(SEED)' KILLS='$(KILLS)' JOBS='$(JOBS)' ENDPOINTS='$(ENDPOINTS)' \
		$(BIN)/pytest tests/soak/soak.py -q -rs $(ARGS)

CHECKS := lint format types layers source docs

.PHONY: check
check: setup ## Lint, format, types, layers, our own rules, docs (under a minute)
	@printf '==> check\n'
	@$(MAKE) --jobs 2 --keep-going $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) \
		$(CHECKS:%=check-%)

.PHONY: $(CHECKS:%=check-%)
$(CHECKS:%=check-%): setup
check-types:
	$(call step,types,$(BIN)/mypy)
check-docs:
	$(call step,docs,$(BIN)/pytest -q tests/docs)
check-layers:
	$(call step,layers,$(BIN)/lint-imports)
check-source:
	$(call step,source,$(BIN)/python -m tools.check_source)
check-lint:
	$(call step,lint,$(BIN)/ruff check)
check-format:
	$(call step,format,$(BIN)/ruff format --check)

.PHONY: fix
fix: setup ## Format the code and mend what the linter can mend
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format --quiet

# Addresses of registries must never stand in these files: they are each machine's own affair.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

.PHONY: lock
lock: $(BIN)/uv ## Pin pyproject.toml's dependencies anew (UPGRADE=1: to their newest versions)
	@$(COMPILE) pyproject.toml --output-file requirements/core.txt
	@$(COMPILE) pyproject.toml --group dev --constraint requirements/core.txt \
		--output-file requirements/dev.txt
	@echo uv | $(COMPILE) - --constraint requirements/core.txt --no-annotate \
		--output-file requirements/uv.txt
	@printf '==> requirements/*.txt are written: read the difference, then `make test`\n'

.PHONY: clean
clean: ## Remove .venv and every cache here (never a PLINTH_HOME)
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
