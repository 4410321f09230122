# Every target works on a bare Debian machine that has Rust and a network.

# Debian packages: what the tests need, what the demo needs, what the benchmarks compare with.
BUILD_PACKAGES = gcc libc6-dev
TEST_PACKAGES  = prosody ejabberd jabberd2 sqlite3 sip-tester mariadb-server baresip-core kamailio
DEMO_PACKAGES  = prosody openssl go-sendxmpp baresip-core
BENCH_PACKAGES = kamailio kamailio-xmpp-modules kamailio-mysql-modules mariadb-server sip-tester
BENCH ?= --rounds 3

.DEFAULT_GOAL := help
.PHONY: help build test soak demo bench check fmt audit deps deps-build deps-demo deps-bench

help: ## Say what the targets do
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

build: deps-build ## Build the program for use: target/release/sipjab
	cargo build --release

test: deps check ## Install what is missing and run every test
	cargo test

soak: deps ## Kill everything again and again under 20,000 messages each way; 1,000 accounts online at once
	SIPJAB_SPOOL_MESSAGES=20000 cargo test --test e2e -- every_accepted_message --nocapture --test-threads 1
	SIPJAB_ACCOUNTS=1000 cargo test --test e2e -- a_crowd_is_online --nocapture

demo: deps-demo ## Let a SIP phone and an XMPP client talk; KEEP=1 keeps the servers running
	@cargo build --bin sipjab --example demo
	@KEEP=$(KEEP) target/debug/examples/demo

bench: deps-bench ## Measure beside Kamailio; BENCH="--quick" for a short look
	cargo bench --bench compare -- $(BENCH)

check: deps-build ## Check the formatting and the lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

fmt: ## Format the source
	cargo fmt

audit: ## Check licences and advisories of the dependencies (needs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo 'cargo-deny is missing: cargo install --locked cargo-deny' >&2; exit 1; }
	cargo deny check

deps: ## Install the Debian packages that the tests need
	@sh .ci/install $(BUILD_PACKAGES) $(TEST_PACKAGES)

deps-build:
	@command -v cc >/dev/null || sh .ci/install $(BUILD_PACKAGES)

deps-demo: deps-build
	@sh .ci/install $(DEMO_PACKAGES)

deps-bench: deps-build
	@sh .ci/install $(BENCH_PACKAGES)
