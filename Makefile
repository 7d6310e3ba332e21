# Crossgate: the commands that one needs. 'make' alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# rustup's usual place, for shells that do not have it in PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
TARGET := $(or $(CARGO_TARGET_DIR),target)

# The gateway's configuration for 'make run'; none: the demo.
CONFIG ?=
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 30
# Seeds for each simulated test.
SEEDS ?= 10000

# Always the whole workspace with a choice of test programs: another choice of crates would be compiled anew with other features.
test_names = $(basename $(notdir $(wildcard $(1)/tests/*.rs))) $(notdir $(patsubst %/main.rs,%,$(wildcard $(1)/tests/*/main.rs)))
UNIT_TESTS := $(foreach crate,sys config dataplane control control/eap control/ike control/pki perf,$(call test_names,$(crate)))
PEER_TESTS := $(call test_names,tests)

# cargo shows its progress to people; to a log it says what failed only.
CARGO_VERBOSITY := $(shell test -t 2 || echo --quiet)

.PHONY: help run test simulate interop bench fuzz lint lint-arm install-deps

help: ## this list
	@echo 'usage: make TARGET, as root where it says so'
	@sed -n 's/^\([a-z-]*\):.*## /  \1|/p' Makefile | column -t -s '|'

run: ## root: install what is missing, build, and show two gateways at work (CONFIG=file: run yours instead)
	@tests/setup/install run
	@echo 'building (a few minutes the first time)'
	@cargo build --release $(CARGO_VERBOSITY) -p crossgate -p crossgate-tests --bin crossgate --bin crossgated --bin crossgate-demo
	@if [ -n '$(CONFIG)' ]; then \
		exec tests/setup/with-hugepages $(TARGET)/release/crossgated '$(CONFIG)'; \
	else \
		exec tests/setup/with-hugepages $(TARGET)/release/crossgate-demo; \
	fi

test: ## root: install what is missing, then every test: units, simulation, workers, real peers
	@tests/setup/install test
	@echo 'building (a few minutes the first time)'
	@cargo test --workspace --no-run --quiet
	@failed=0; \
	tests/setup/with-hugepages cargo test --quiet --workspace --no-fail-fast --lib --bins $(addprefix --test ,$(UNIT_TESTS)) || failed=1; \
	echo 'end-to-end, three at a time: strongSwan and a guest are peers'; \
	HUGEPAGES=1024 tests/setup/with-hugepages cargo test --workspace --no-fail-fast $(addprefix --test ,$(PEER_TESTS)) -- --test-threads=3 --skip bandwidth:: || failed=1; \
	echo 'end-to-end, without others beside them: those that need all that the machine can send'; \
	HUGEPAGES=1024 tests/setup/with-hugepages cargo test --workspace --no-fail-fast $(addprefix --test ,$(PEER_TESTS)) -- --test-threads=2 bandwidth:: || failed=1; \
	exit $$failed

simulate: ## every simulated test of IKE with SEEDS (10000) seeds: loss, repeats, clocks that jump, rekeys and deletes that meet
	@CROSSGATE_SEEDS=$(SEEDS) cargo test $(CARGO_VERBOSITY) --workspace --lib sim::tests

interop: ## root: run the end-to-end tests with every peer and write docs/interop.md, who was met and what came of it (15 minutes)
	@tests/setup/install test
	@echo 'building (a few minutes the first time)'
	@cargo test --workspace --no-run --quiet
	@HUGEPAGES=1024 tests/setup/with-hugepages $(TARGET)/debug/crossgate-interop

bench: ## root: install what is missing, then measure everything beside its peers and write docs/benchmarks (15 minutes)
	@tests/setup/install bench
	@echo 'building (a few minutes the first time)'
	@cargo build --release $(CARGO_VERBOSITY) -p crossgate -p crossgate-perf --features crossgate-perf/aws-lc
	@tests/setup/with-hugepages $(TARGET)/release/crossgate-perf report

# What a run finds new stays out of the tree, in the first of the two directories; the second is where all begin.
fuzz: ## every fuzz target for FUZZ_SECONDS (30) each, from tests/fuzz/corpus on
	@tests/setup/install fuzz
	@for target in $$(cargo fuzz list --fuzz-dir tests/fuzz); do \
		echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
		grown=tests/fuzz/target/corpus/$$target; \
		mkdir -p $$grown; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz $$target $$grown tests/fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1; \
	done

lint: ## formatting, clippy and documentation; warnings are errors
	@cargo fmt --all --check
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS='-D warnings' cargo doc --quiet --workspace --no-deps
	@$(MAKE) lint-arm

ARM := aarch64-unknown-linux-gnu
lint-arm: ## that the AES-GCM crate, where all SIMD is, compiles for AArch64; skipped where rustup has no such target
	@if rustup target list --installed 2>/dev/null | grep -qx $(ARM); then \
		cargo check --quiet --target $(ARM) --manifest-path dataplane/gcm/Cargo.toml; \
	else \
		echo 'skipped: AArch64 (rustup target add $(ARM))'; \
	fi

install-deps: ## root: install the Debian packages that building, running and testing need
	@tests/setup/install test
