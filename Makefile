# Python 3.11+ and make are all that must be there: uv is fetched into .tools where it is missing.
SHELL := /bin/sh
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := $(UV) run --frozen --no-sync
STAMP := .venv/.synced
PYTEST_ARGS ?=

.PHONY: demo test test-all lint bench docs clean help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP) ## A small life cycle on this machine, ending with a report
	@$(RUN) wattlake demo

test: $(STAMP) ## The tests that take minutes
	$(RUN) pytest -m "not slow" $(PYTEST_ARGS)

test-all: $(STAMP) ## Every test
	$(RUN) pytest $(PYTEST_ARGS)

lint: $(STAMP) ## Style, types and the one-way rule
	$(RUN) ruff check contracts agents pipelines warehouse tests bench
	$(RUN) mypy
	$(RUN) lint-imports

bench: $(STAMP) ## Speed and size against peers and limits; writes bench/results.json
	$(UV) sync --frozen --all-extras --group bench --quiet
	$(RUN) python bench/run.py

docs: $(STAMP) ## Write docs/reference.md anew from the contracts
	$(RUN) python -c "from wattlake_contracts.schema import reference_page; print(reference_page(), end='')" > docs/reference.md

clean: ## Remove what make made
	rm -rf .venv .tools build dist demo

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/python -m pip install --quiet 'uv>=0.8'

$(STAMP): pyproject.toml uv.lock $(filter .tools/bin/uv,$(UV))
	$(UV) sync --frozen --all-extras --quiet
	@touch $@
