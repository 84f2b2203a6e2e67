# The front door. `make` tells what there is; every command sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
# Each step needs the one before it, and cargo uses all processors by itself.
.NOTPARALLEL:

# Runs a command with the toolchain and the cache that set-up made.
in := tests/setup/in
cargo := $(in) cargo
built := $(in) tests/setup/built
vm := $(built) weir-vm
policies := $(patsubst policies/%/Cargo.toml,target/policies/%.wasm,$(wildcard policies/*/Cargo.toml))

.PHONY: help
help: ## Tell what there is
	@echo 'weir: a Kubernetes service proxier. What make does here:'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'Start with `make demo`. Each command installs what it needs and says so first (Debian 12'
	@echo 'or 13); WEIR_SETUP=skip leaves that out. Downloads and builds are kept outside the clone,'
	@echo 'in $$WEIR_CACHE (default: ~/.cache/weir); the command is in $$WEIR_CACHE/target/debug.'
	@echo 'Writing tests: docs/testing.md.'

.PHONY: setup
setup: ## Install what building and testing need, if it is missing
	@tests/setup/setup

# Always the whole workspace with its tests: another selection of packages would have other features
# of the same libraries, and compile them all again.
.PHONY: build
build: setup build-only ## Build every program and test

.PHONY: build-only
build-only:
	$(cargo) test --workspace --no-run 2>&1 | { grep --line-buffered -v '^ *Executable ' || true; }

.PHONY: shell
shell: setup ## Open a shell that has weir, cargo and the rest in PATH
	@$(in) bash

.PHONY: demo
demo: setup build-only policies-only ## Watch weir balance real connections, in a guest that leaves this machine alone
	@$(vm) script tests/demo/run

.PHONY: test
test: setup ## Check format and lints, run every test, in a browser and in guests too (6.12, and shortly 6.1 and 7)
	@tests/setup/test
	@$(MAKE) --no-print-directory lint-only build-only policies-only
	$(cargo) test --workspace
	$(cargo) test --workspace --test boot -- --include-ignored --test-threads 1
	@tests/setup/browser
	$(vm) test

.PHONY: test-full
test-full: test ## The tests on every kernel, and what may rot unseen: fuzz targets
	$(vm) test --full
	@tests/setup/fuzz build

# WEIR=FILE is a weir that was built before: then nothing is built here.
.PHONY: test-cluster
test-cluster: cluster-reached $(if $(WEIR),,setup build-only policies-only) ## Check deploy/ and traffic on a cluster: KUBECONFIG=FILE [IMAGE=what its nodes pull] [PODS_IMAGE=busybox]
	@$(in) tests/cluster/run

# Before anything is built for it.
.PHONY: cluster-reached
cluster-reached:
	@$(in) tests/cluster/run reach

.PHONY: policies
policies: setup build-only policies-only ## Build the shipped policies into target/policies/NAME.wasm

.PHONY: policies-only
policies-only: $(policies)

# Cargo decides what is out of date, so the command is always run.
target/policies/%.wasm: policies/%/Cargo.toml force
	@mkdir -p $(@D)
	$(built) weir policy build policies/$* --out $@

.PHONY: image
image: ## Build the container image weir:VERSION; needs podman, docker or buildah
	@deploy/image/build

.PHONY: bench
bench: setup policies ## Measure, in a guest whose clock counts instructions; writes docs/performance.md
	@$(in) benches/run

.PHONY: fuzz
fuzz: setup ## Fuzz every decoder for FUZZ_SECONDS (default: 60) each
	@tests/setup/fuzz run

.PHONY: docs
docs: setup build-only ## Write what is generated: the configuration's reference, man pages (target/man), rustdoc
	BLESS=1 $(cargo) test --quiet --workspace --test config_docs
	$(built) weir man target/man
	$(cargo) doc --workspace --no-deps

.PHONY: bless
bless: setup ## Rewrite golden files by what the code now does; look at the difference before committing
	BLESS=1 $(cargo) test --workspace

.PHONY: lint
lint: setup lint-only ## Check format and lints

.PHONY: lint-only
lint-only:
	$(cargo) fmt --all --check
	$(cargo) clippy --workspace --all-targets -- -D warnings
	$(cargo) clippy --workspace --features weir/otel -- -D warnings

.PHONY: clean
clean: ## Remove what was built in the clone (the cache stays: its place is named by make help)
	rm -rf target vm-out

.PHONY: force
force:
