# `make up` runs the appliance here; `make test` tests it. Each target sets up what it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
CHAOS_ROUNDS ?= 20

.PHONY: help up check test lint image bench chaos nightly env-example lock clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: $(VENV)/runtime.stamp  ## Run the appliance here: PORT (8080), STORAGE_DIR (./storage)
	@PORT="$${PORT:-8080}" STORAGE_DIR="$${STORAGE_DIR:-$$PWD/storage}" exec $(BIN)/appliance up

check: lint  ## For a change in hand: lint, types, and the tests that start nothing (two minutes)
	@$(BIN)/python -m pytest -q -rfE --fast -n auto --dist loadfile --durations=5 $(ARGS)

test: $(VENV)/dev.stamp  ## Run every test that this machine can run
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/dev.stamp  ## ruff, mypy --strict, import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

image:  ## Build appliance:latest from Dockerfile.once
	@scripts/build-image

bench: $(VENV)/dev.stamp  ## Measure it beside its bare parts
	@$(BIN)/python -m bench

chaos: $(VENV)/dev.stamp  ## Break it at random under load: CHAOS_ROUNDS (20), CHAOS_SEED
	@CHAOS_ROUNDS="$(CHAOS_ROUNDS)" CHAOS_SEED="$(CHAOS_SEED)" $(BIN)/python -m tests.chaos

nightly: $(VENV)/dev.stamp  ## The legacy builder's image, long property runs, 60 rounds of chaos (as root)
	@scripts/with-engine --install scripts/nightly

env-example: $(VENV)/runtime.stamp  ## Write .env.example anew from the settings
	@$(BIN)/appliance env --example > .env.example

lock:  ## Pin the dependencies anew, with hashes (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q pyproject.toml -o requirements/runtime.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --extra dev pyproject.toml -c requirements/runtime.txt -o requirements/dev.txt

clean:  ## Remove what the targets set up (never ./storage)
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(VENV)/runtime.stamp: pyproject.toml requirements/runtime.txt requirements/files.txt scripts/setup
	@PYTHON="$(PYTHON)" scripts/setup $(VENV) runtime
	@touch $@

$(VENV)/dev.stamp: $(VENV)/runtime.stamp requirements/dev.txt
	@PYTHON="$(PYTHON)" scripts/setup $(VENV) dev
	@touch $@
