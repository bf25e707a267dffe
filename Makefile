# Wattlake
# Python 3.11+ and make are all that must be there: uv is fetched into .tools where it is missing.
SHELL := /bin/sh
PYTEST_ARGS ?=
DEMO_ARGS ?=
# two at a time: most tests are short processes that wait for each other
WORKERS ?= 2

# the first Python that is new enough; $(PYTHON) if it is given
FIND_PYTHON = for p in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
    "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { "$$p" -c 'import sys; print(sys.executable)'; break; }; done
PYTHON_FOUND := $(shell $(FIND_PYTHON))
UV := $(shell command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1 && echo uv || echo .tools/bin/uv)
BIN := .venv/bin
STAMP := .venv/.synced
# uv trusts whom this machine trusts, as pip does: a company's proxy may bear a certificate of its own. The second name is
# for a uv that does not know the first yet; a machine that keeps no list of certificates leaves uv its own
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/ssl/cert.pem /etc/ssl/ca-bundle.pem /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1
endif
# uv takes the Python found here and fetches none
UV_SYNC = UV_PYTHON='$(PYTHON_FOUND)' UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --frozen --all-extras

.PHONY: demo test test-all lint bench docs clean help

help: ## Show this list
	@echo "make TARGET, of:"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo "What is installed lies in .venv: \`source .venv/bin/activate\`, and then \`wattlake --help\`"

demo: $(STAMP) ## A small life cycle on this machine, ending with a report
	@$(BIN)/wattlake demo $(DEMO_ARGS)

test: $(STAMP) ## The tests that take minutes
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow" $(PYTEST_ARGS)

test-all: $(STAMP) ## Every test
	$(UV_SYNC) --group bench --quiet
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: $(STAMP) ## Style, types and the one-way rule
	$(BIN)/ruff check contracts agents pipelines warehouse tests bench docs
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## Speed and size against peers and limits; writes bench/results.json
	$(UV_SYNC) --group bench --quiet
	$(BIN)/python bench/run.py

docs: $(STAMP) ## Write the generated pages in docs anew
	$(BIN)/python -c "from wattlake_contracts.schema import reference_page; print(reference_page(), end='')" > docs/reference.md
	$(BIN)/python -c "from pathlib import Path; from wattlake_contracts.schema import write_schemas; write_schemas(Path('docs/schemas'))"
	$(BIN)/python -c "from wattlake_contracts.factors.page import factors_page; print(factors_page(), end='')" > docs/factors.md
	$(BIN)/python -m wattlake_warehouse.marts.page > docs/marts.md
	$(BIN)/python docs/commands.py > docs/commands.md

clean: ## Remove what make made
	rm -rf .venv .tools build dist demo

.tools/bin/uv:
	@test -n '$(PYTHON_FOUND)' || { echo "Python 3.11 or newer is needed and not on PATH. Install it, or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "fetching uv into .tools …"
	@'$(PYTHON_FOUND)' -m venv .tools || { echo "this Python cannot make a virtual environment. Install python3-venv, or uv (https://docs.astral.sh/uv)" >&2; rm -rf .tools; exit 1; }
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'

$(STAMP): pyproject.toml uv.lock $(filter .tools/bin/uv,$(UV))
	@test -n '$(PYTHON_FOUND)' || { echo "Python 3.11 or newer is needed and not on PATH. Install it, or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "installing into .venv with $(PYTHON_FOUND): a minute or two, once …"
	@$(UV_SYNC) --quiet
	@touch $@
