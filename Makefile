# make demo, make test: from a clean clone each does all of its own set-up. PG_CONFIG=/path/pg_config uses an installed
# PostgreSQL 18 instead of the pinned wheel.

SHELL := /bin/bash
export PG_CONFIG
WITH := . build/toolchain.env &&

.PHONY: all toolchain build stage demo demo-stop test fuzz sqlsmith bench-latency bench-cost bench-tpch install installcheck clean
all: build

toolchain:
	@scripts/toolchain

build: toolchain
	@$(WITH) cargo build -p pg_trickle

stage: build
	@scripts/install --stage build/stage

install: build
	@scripts/install

installcheck: toolchain
	@$(WITH) cargo run -q -p trickle-regress -- --installed

demo: stage
	@scripts/flights
	@$(WITH) cargo run -q -p trickle-bench --bin demo -- $(ARGS)

demo-stop: toolchain
	@$(WITH) cargo run -q -p trickle-bench --bin demo -- --stop

bench-latency: toolchain
	@$(WITH) cargo build --release -p pg_trickle && PROFILE=release scripts/install --stage build/stage-release
	@$(WITH) TRICKLE_STAGE=build/stage-release cargo run -q --release -p trickle-bench --bin latency -- $(ARGS)

# What a change of 100 rows costs by construct and size: make bench-cost ARGS="10000 100000 join".
bench-cost: toolchain
	@$(WITH) cargo build --release -p pg_trickle && PROFILE=release scripts/install --stage build/stage-release
	@$(WITH) TRICKLE_STAGE=build/stage-release cargo run -q --release -p trickle-bench --bin cost -- $(ARGS)

# The queries of TPC-H against what PostgreSQL takes for them: make bench-tpch ARGS="0.1 q1 q9".
bench-tpch: toolchain
	@$(WITH) cargo build --release -p pg_trickle && PROFILE=release scripts/install --stage build/stage-release
	@$(WITH) TRICKLE_STAGE=build/stage-release cargo run -q --release -p trickle-bench --bin tpch -- $(ARGS)

test: stage
	@scripts/test

# Random queries for as long as is said: make fuzz SECONDS=3600; TRICKLE_SEED=n begins with a known case.
SECONDS := 600
fuzz: stage
	@$(WITH) TRICKLE_ORACLE_SECONDS=$(SECONDS) cargo test -p trickle-regress --test generator -- --nocapture

# Debian's sqlsmith against a database full of stream tables.
sqlsmith: stage
	@$(WITH) TRICKLE_ORACLE_SECONDS=$(SECONDS) cargo test -p trickle-regress --test sqlsmith -- --ignored --nocapture

clean:
	cargo clean
	[ ! -s build/server-copy ] || rm -rf "$$(cat build/server-copy)"
	rm -rf build
