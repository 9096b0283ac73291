# Two commands do everything: `make demo` and `make test`. Both set up a local virtual environment first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp
SOURCES := $(shell find src bindings -name '*.rs') build.rs Cargo.toml bindings/Cargo.toml pyproject.toml

# Local builds have the instructions of this machine only, a third of the time. Wheels, and tests of Rust, have all.
$(STAMP)-build bench: export ORBAS_LEVELS := native

.PHONY: demo test test-floors check-rust check-python bench clean
.DELETE_ON_ERROR:

$(STAMP)-venv: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --group lint
	touch $@

$(STAMP)-build: $(STAMP)-venv $(SOURCES)
	@echo "Compiling the core for this processor: about a minute on two cores."
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release
	touch $@

$(STAMP)-test: $(STAMP)-build pyproject.toml
	$(BIN)/pip install --quiet --group test
	touch $@

$(STAMP)-bench: $(STAMP)-test pyproject.toml
	$(BIN)/pip install --quiet --group bench
	touch $@

demo: $(STAMP)-build          ## build a release and run the main job
	$(BIN)/orbas demo --output demo-output

test: check-rust check-python ## every check there is

check-rust:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo test --quiet
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --package orbas
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace --document-private-items

check-python: $(STAMP)-test
	$(BIN)/ruff format --check python tests benches scripts examples
	$(BIN)/ruff check python tests benches scripts examples
	$(BIN)/mypy
	$(BIN)/python -m pytest

test-floors: $(STAMP)-build   ## the quick tests with the oldest dependencies that are allowed
	$(BIN)/python scripts/test_floors.py

bench: $(STAMP)-bench         ## criterion per stage, then the peers
	cargo bench
	$(BIN)/python benches/python/peers.py

clean:
	rm -rf $(VENV) target demo-output
