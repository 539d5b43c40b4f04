# The two commands: `make process-production` and `make test`. Both set up what they need.

DATA ?=
OUT ?= production
CURRENCY ?= AUDUSD
LOBSET := target/release/lobset
PYTHON := .venv/bin/python

.PHONY: build process-production test test-rust test-python lint doc bench clean

build:
	cargo build --release --locked --bin lobset

# DATA=/path/to/dbn names your own files; without it a small market is simulated into market/.
process-production: build
	@if [ -z "$(DATA)" ] && [ ! -d market ]; then \
		rm -rf market.partial && $(LOBSET) simulate market.partial --days 6 --rows 290000 --seed 1 --currency $(CURRENCY) \
		&& mv market.partial market; \
	fi
	$(LOBSET) process $(if $(DATA),"$(DATA)",market) -o "$(OUT)" --currency $(CURRENCY) --overwrite

test: test-rust test-python

test-rust:
	cargo test --workspace --locked

# The Python tests read files that test-rust leaves.
test-python: build test-rust $(PYTHON)
	$(PYTHON) -m pytest -q tests/python

$(PYTHON): tests/python/requirements.txt
	scripts/python-env .venv $<
	touch $@

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

bench: build
	scripts/bench

clean:
	rm -rf target .venv market market.partial production
