# The doors of this repository. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

TARGET := $(or $(CARGO_TARGET_DIR),target)
# Seconds that each fuzz target runs.
FUZZ_SECONDS ?= 10
# The demo: KEEP=1 leaves everything up.
KEEP ?= 0

# End-to-end tests and the demo make network namespaces: as root, or through sudo.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
NEXTEST := $(shell command -v cargo-nextest >/dev/null 2>&1 && echo yes)
# Tests that were skipped write their reasons here (see tests/src/require.rs).
SKIPPED := $(abspath $(TARGET))/skipped-tests

# step(title, command): a heading before, the time after.
define step
@printf '\n==== %s\n' "$(1)"; start=$$SECONDS; $(2); printf '==== %s: ok, %d s\n' "$(1)" $$((SECONDS - start))
endef

.PHONY: help deps build build-e2e packages packages-prepare kubernetes demo demo-clean test lint unit loom e2e fuzz bench bench-scale bench-rooms bench-peers-build bench-peers bench-reconfigure clean-test

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

deps: ## Install with apt what is missing (Debian 12)
	@deploy/install-deps.sh

build: deps ## Build the daemons, vrctl and the demo for use
	cargo build --release --workspace --bins

build-e2e: ## Build the daemons for the end-to-end tests (optimised, assertions on)
	cargo build --profile e2e -p vrouter-dataplane -p vrouter-control -p vrouter-bench -p vrouter-example-orchestrator --bins

packages: deps ## Debian packages of everything: target/packages/*.deb
	@deploy/install-deps.sh --packages
	@deploy/build-packages.sh

packages-prepare:
	@deploy/install-deps.sh --packages
	@$(SUDO) deploy/test-packages.sh --prepare

kubernetes: ## The manifests against Kubernetes' types, without a cluster
	cargo test --manifest-path deploy/kubernetes/check/Cargo.toml --target-dir '$(TARGET)/kubernetes'

demo: deps ## Two nodes, four containers, VXLAN and MPLS: watch it work (KEEP=1: leave it up)
	@echo 'Building (the first time takes a few minutes) ...'
	@cargo build --release --bins -p vrouter-dataplane -p vrouter-control -p vrouter-tests
	@$(SUDO) env -u VROUTER_BIN_DIR $(TARGET)/release/vrouter-demo $(if $(filter-out 0 no,$(KEEP)),--keep)

demo-clean: ## Remove what `make demo KEEP=1` left up
	@$(SUDO) env VERBOSE=1 sh tests/sweep.sh vrouter-demo-

test: ## Everything: lint, unit, loom, end-to-end and short fuzz runs
	@rm -f '$(SKIPPED)'
	$(call step,Packages,$(MAKE) deps)
	$(call step,Format and lint,$(MAKE) lint)
	$(call step,Unit tests,$(MAKE) unit)
	$(call step,Concurrency models (loom),$(MAKE) loom)
	$(call step,Kubernetes manifests,$(MAKE) kubernetes)
	$(call step,A fresh Debian for packages,$(MAKE) packages-prepare)
	$(call step,Build for end-to-end tests,$(MAKE) build-e2e)
	$(call step,End-to-end tests,$(MAKE) e2e)
	$(call step,Fuzzing$(comma) $(FUZZ_SECONDS) s a target,$(MAKE) fuzz)
	@if [ -s '$(SKIPPED)' ]; then printf '\nSKIPPED TESTS\n'; cat '$(SKIPPED)'; fi
	@printf '\nAll tests passed.\n'

comma := ,

lint: ## rustfmt and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

unit: ## Unit and property tests, no root needed
ifeq ($(NEXTEST),yes)
	cargo nextest run --workspace --exclude vrouter-tests --no-tests pass
else
	cargo test --workspace --exclude vrouter-tests --lib --bins --tests
endif
	cargo test --workspace --doc

loom: ## Model-check the lock-free code
	RUSTFLAGS='--cfg vrouter_loom' CARGO_TARGET_DIR='$(TARGET)/loom' cargo test -p vrouter-dataplane --release --lib loom_

# Tests make namespaces, so on a machine where we are not root each test program runs under sudo.
ifneq ($(SUDO),)
e2e: export CARGO_TARGET_$(HOST)_RUNNER = $(SUDO)
endif
e2e: export VROUTER_TESTS_SKIPPED = $(SKIPPED)
e2e: ## End-to-end tests on network namespaces (after build-e2e)
ifeq ($(NEXTEST),yes)
	cargo nextest run --cargo-profile e2e -p vrouter-tests --config-file tests/nextest.toml --no-fail-fast
else
	cargo test --profile e2e -p vrouter-tests --no-fail-fast
endif

fuzz: ## Run each fuzz target for FUZZ_SECONDS
	fuzz/run.sh $(FUZZ_SECONDS)

bench: ## The pipeline in memory against its targets: target/bench.json, bench/RESULTS.md (some minutes; root for loading routes)
	cargo build --release -p vrouter-dataplane --bin vrouterd
	cargo bench -p vrouter-bench --bench pipeline

bench-scale: ## Curves over flows, routes, VRFs and workers: bench/RESULTS.md, bench/plots (some minutes)
	cargo bench -p vrouter-bench --bench scale

bench-rooms: ## Single parts by themselves: headers, flow table, routes, policies
	cargo bench -p vrouter-bench --bench wire --bench flow --bench lpm --bench policy --bench address

# Comparisons: ARGS="--only latency/bridge,vrouter --reps 5"; see bench-peers --help. What was not asked for in full does not go into
# bench/RESULTS.md.
ARGS ?=
PEERS = $(SUDO) env -u VROUTER_BIN_DIR $(TARGET)/release/bench-peers

bench-peers-build: deps
	@cargo build --release --bins -p vrouter-dataplane -p vrouter-control -p vrouter-bench -p vrouter-tests

bench-peers: bench-peers-build ## vrouter beside veth, bridge, nftables, OVS, kernel VXLAN (ARGS=--help); about half an hour
	@$(PEERS) --json $(TARGET)/bench-peers.json $(if $(ARGS),$(ARGS),--results bench/RESULTS.md)

bench-reconfigure: bench-peers-build ## Packets lost while routes, policies and ports of vrouter change
	@$(PEERS) --only reconfigure --json $(TARGET)/bench-reconfigure.json $(if $(ARGS),$(ARGS),--results bench/RESULTS.md)

clean-test: ## Remove what killed test runs and demos left behind
	@$(SUDO) env VERBOSE=1 sh tests/sweep.sh
	@$(SUDO) env VERBOSE=1 sh tests/sweep.sh vrouter-demo-
