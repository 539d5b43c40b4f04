# The two main targets: `make process-production` and `make test`. Both install what they need.

DATA ?=
OUT ?= production
# Tag and preset; without it they follow from the data.
CURRENCY ?=
LOBSET := target/release/lobset
PYTHON := .venv/bin/python
TORCH := .venv-torch/bin/python
READERS := .venv-readers/bin/python
BROWSER := .venv-browser/bin/python
LINT := .venv-lint/bin/python
DOCS := .venv-docs/bin/python

.PHONY: build process-production test test-rust test-siege test-python test-readers test-torch test-browser wheel lint docs fuzz siege bench bench-scale compatibility clean

build:
	cargo build --release --locked --bin lobset

# DATA=/path/to/dbn selects your own files; without it a small market is simulated into market/.
process-production: build
	@if [ -z "$(DATA)" ] && [ ! -d market ]; then \
		rm -rf market.partial && $(LOBSET) simulate market.partial --days 6 --rows 290000 --seed 1 $(if $(CURRENCY),--currency $(CURRENCY)) \
		&& mv market.partial market; \
	fi
	$(LOBSET) process $(if $(DATA),"$(DATA)",market) -o "$(OUT)" $(if $(CURRENCY),--currency $(CURRENCY)) --overwrite

test: test-rust test-siege test-python test-readers test-torch test-browser

test-rust:
	cargo test --workspace --locked

# A few cases of `make siege`, in seconds. The debug build also supports the portable way of publishing.
test-siege: test-rust
	@command -v strace >/dev/null || scripts/debian-packages strace
	scripts/siege --short --lobset target/debug/lobset

# The wheel that `pip install .` installs.
wheel: $(PYTHON)
	rm -rf target/wheels
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir target/wheels .

# The dataset tests read files that test-rust leaves behind.
test-python: build test-rust wheel
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels/*.whl
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy.stubtest --allowlist tests/python/stubtest-allowlist.txt lobset._lobset lobset._config
	$(PYTHON) -m pytest -q tests/python

# Old versions of readers, and the dataset card as Hugging Face `datasets` reads it.
test-readers: build $(READERS)
	$(READERS) -m pytest -q tests/compatibility

# Debian packages a CPU-only PyTorch.
test-torch: wheel $(TORCH)
	$(TORCH) -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels/*.whl
	$(TORCH) -m pytest -q tests/python/test_torch.py tests/python/test_docs.py

# The report in Chromium. What it looks like is left in target/browser.
test-browser: build $(BROWSER)
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || scripts/debian-packages chromium chromium-driver
	$(BROWSER) -m pytest -q tests/browser

$(PYTHON): tests/python/requirements.txt
	scripts/python-env .venv $<
	touch $@

$(READERS): tests/compatibility/requirements.txt
	scripts/python-env .venv-readers $<
	touch $@

$(BROWSER): tests/browser/requirements.txt
	scripts/python-env .venv-browser $<
	touch $@

$(LINT): scripts/lint-requirements.txt
	scripts/python-env .venv-lint $<
	touch $@

$(DOCS): docs/requirements.txt
	scripts/python-env .venv-docs $<
	touch $@

$(TORCH):
	scripts/torch-env .venv-torch

lint: $(LINT)
	cargo fmt --all --check
	scripts/lint-circles
	.venv-lint/bin/ruff format --check --quiet .
	.venv-lint/bin/ruff check --quiet .
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --quiet --workspace --locked up_to_date
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	PATH="$(CURDIR)/.venv-lint/bin:$$PATH" scripts/lint-dependencies

# The documentation as a site, site/index.html. A broken link or reference is an error.
docs: $(DOCS)
	rm -rf site
	$(DOCS) -m sphinx -W --keep-going -q -b html docs site
	@echo "site/index.html"

# Every fault at every system call, and 500 kills: about half an hour.
siege: build
	scripts/siege

# Runs each target for SECONDS. Findings go to fuzz/artifacts, inputs with new coverage to fuzz/found.
SECONDS ?= 60
FUZZ := rows config thresholds manifest dataset quantile

fuzz:
	cargo fuzz build --sanitizer none --debug-assertions
	for target in $(FUZZ); do \
		mkdir -p fuzz/found/$$target && \
		cargo fuzz run --sanitizer none --debug-assertions $$target fuzz/found/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(SECONDS) -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=512 || exit 1; \
	done

bench: build
	scripts/bench

# Writes the tables of docs/reference/compatibility.md: many readers, each in its own environment.
compatibility: build
	scripts/compatibility

# Measures steps as tasks and clusters of 1 to 3 nodes on this machine, and extrapolates to 10 TB.
bench-scale: wheel
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels/*.whl
	$(PYTHON) benches/scale.py

clean:
	rm -rf target fuzz/target .venv .venv-torch .venv-readers .venv-browser .venv-lint .venv-docs .venv-bench .venv-loaders site market market.partial production
