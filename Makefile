# `make demo` and `make test` each work as the first command in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake
# One stamp per list: the environment is made again when a list changes, and only then.
READY := .venv/.ready
# Snakemake, numba, matplotlib and torch keep caches; a home or an installation that cannot be written to must not matter.
CACHE := $(CURDIR)/.snakemake/cache
export MPLCONFIGDIR := $(CACHE)/matplotlib
export NUMBA_CACHE_DIR := $(CACHE)/numba
ifneq ($(shell d="$${XDG_CACHE_HOME:-$${HOME:-/dev/null}/.cache}"; mkdir -p "$$d" 2>/dev/null && test -w "$$d" && echo can),can)
export XDG_CACHE_HOME := $(CACHE)
endif

.PHONY: help demo run label cohort report models status doctor test lint format lock dag clean
.DEFAULT_GOAL := help

help:  ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): requirements/uv.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up .venv: about 3 GB of packages are downloaded the first time (7.5 GB on disk)"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/uv.txt requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps --editable .
	@touch $@

demo: $(READY)  ## run everything on a real slide (fetched by itself) and say where the pictures are
	$(SNAKEMAKE) --configfile config/demo.yaml --quiet rules host
	$(SNAKEMAKE) cohort --configfile config/demo.yaml --quiet rules host
	@$(BIN)/python workflow/scripts/tools/summary.py results/CMU-1-Small-Region

run: $(READY)  ## run the slides of the sheet (ARGS="--configfile mine.yaml", here and below)
	$(SNAKEMAKE) $(ARGS)

label: $(READY)  ## name clusters in the browser (RESULTS=results; see also clusterfirst-label --help)
	$(BIN)/clusterfirst-label $(or $(RESULTS),results)

cohort: $(READY)  ## put all finished slides on one page, results/cohort.html
	$(SNAKEMAKE) cohort --quiet rules host $(ARGS)

report: $(READY)  ## gather the pictures of what is finished in report.zip
	$(SNAKEMAKE) benchmarks --quiet rules host $(ARGS)
	$(SNAKEMAKE) --report report.zip $(ARGS)

models: $(READY)  ## fetch all weights that the config needs, e.g. before going offline
	$(SNAKEMAKE) models $(ARGS)

status: $(READY)  ## say what is done, running, waiting or failed, and why; also while a run is at work
	@$(SNAKEMAKE) status --quiet rules host progress $(ARGS)

doctor:  ## check machine, packages, weights, disks, Slurm, sheet and slides; say what to do
	@$(firstword $(wildcard $(BIN)/python) $(PYTHON)) workflow/scripts/tools/doctor.py $(ARGS)

test: $(READY)  ## run all tests (some need CLUSTERFIRST_TEST_DATA, see CONTRIBUTING.md)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)  ## check style and workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow
	$(SNAKEMAKE) --lint --configfile config/demo.yaml
	$(BIN)/python -m pytest -q tests/unit/test_javascript.py

format: $(READY)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt workflow

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'
lock: $(READY)  ## compile the requirement lists from pyproject.toml
	echo uv | $(COMPILE) - --output-file requirements/uv.txt
	$(COMPILE) pyproject.toml --extra rapids --output-file requirements/rapids.txt
	$(COMPILE) pyproject.toml --constraint requirements/rapids.txt --output-file requirements/base.txt
	$(COMPILE) pyproject.toml --group dev --constraint requirements/rapids.txt --output-file requirements/dev.txt

dag: $(READY)  ## draw the jobs of the demo as dag.svg (needs graphviz)
	$(SNAKEMAKE) --configfile config/demo.yaml --forceall --dag | dot -Tsvg > dag.svg

clean:  ## DELETE all results, and caches; keep the environment and what was downloaded
	rm -rf results dag.svg report.zip .snakemake .pytest_cache .hypothesis .ruff_cache
