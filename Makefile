# The daily work on Roundhouse. `make` alone lists the recipes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help check-tools check-test-tools engine build demo run test bench fmt lint docs test-clients sample readme clean

# Out of the tree, so that a second clone and a clean checkout build the 600 crates once. One profile serves all.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/roundhouse/target
CARGO_FLAGS := --release --locked
ROUNDHOUSE := $(CARGO_TARGET_DIR)/release/roundhouse
CLIENTS := tests/clients

# What `make run` passes on, for example: make run ARGS='--listen 127.0.0.1:9000'
ARGS ?=

help: ## Lists the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

check-tools: ## Says which tools are missing, and how to get them
	@scripts/check-tools

check-test-tools:
	@scripts/check-tools --tests

engine: engine/node_modules/.installed ## Fetches the ClickHouse engine library with npm, once

build: check-tools ## Builds the program
	cargo build $(CARGO_FLAGS)

demo: check-tools engine build ## Does the whole job on data/gamerounds.csv, prints what came of it, and exits
	$(ROUNDHOUSE) demo

run: check-tools engine build ## Serves on http://127.0.0.1:8000, everything embedded; options in ARGS
	$(ROUNDHOUSE) serve $(ARGS)

test: check-test-tools engine test-clients ## Runs everything that has to pass: format, lints, documentation, all tests
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_FLAGS) --no-deps --document-private-items
	cargo test $(CARGO_FLAGS)

bench: check-tools engine ## Measures each stage and the whole way, beside what limits them: the tables of docs/BENCHMARKS.md
	cargo bench --locked

fmt: ## Formats the source
	cargo fmt

lint: ## Runs clippy, any warning being an error
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

docs: ## Builds the documentation of the source and says where it is
	cargo doc $(CARGO_FLAGS) --no-deps --document-private-items
	@echo '$(CARGO_TARGET_DIR)/doc/roundhouse/index.html'

test-clients: $(CLIENTS)/.venv/.installed $(CLIENTS)/node_modules/.installed ## Fetches the foreign clients that tests use

sample: build ## Writes data/gamerounds.csv anew; the generator's defaults decide what is in it
	$(ROUNDHOUSE) generate -o data/gamerounds.csv

readme: ## Writes the settings tables in README.md anew, from the options of the program
	ROUNDHOUSE_UPDATE_README=1 cargo test $(CARGO_FLAGS) --test it readme::

clean: ## Removes what was built and fetched; what is stored (.roundhouse) stays
	cargo clean
	rm -rf engine/node_modules $(CLIENTS)/.venv $(CLIENTS)/node_modules

# Each stamp is written last, so that what was broken off is done again.

engine/node_modules/.installed: engine/package.json engine/package-lock.json scripts/install-engine | check-tools
	scripts/install-engine
	@touch $@

$(CLIENTS)/.venv/.installed: $(CLIENTS)/requirements.txt | check-test-tools
	rm -rf $(CLIENTS)/.venv
	python3 -m venv $(CLIENTS)/.venv
	$(CLIENTS)/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(CLIENTS)/node_modules/.installed: $(CLIENTS)/package.json $(CLIENTS)/package-lock.json | check-test-tools
	npm ci --prefix $(CLIENTS) --no-audit --no-fund
	@touch $@
