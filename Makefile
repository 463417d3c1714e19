# `make demo` and `make test` are all a newcomer needs; both set up what they use, and are quick the second time.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3,$(if $(shell $(p) -c 'import sys; print(int((3, 11) <= sys.version_info < (3, 14)))' 2>/dev/null | grep 1),$(p))))
BIN := .venv/bin
STAMPS := .venv/stamps
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
RUST := $(shell find rust -name '*.rs' -not -path '*/target/*') Cargo.toml Cargo.lock rust/core/Cargo.toml rust/python/Cargo.toml rust/relay/Cargo.toml
CONSOLE := $(shell find console -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

.PHONY: demo test lint console peers clean tools
demo: $(STAMPS)/python $(STAMPS)/core console
	$(BIN)/countersign demo $(if $(shell test -t 0 && test -t 1 && echo yes),,--decide approve) $(DEMO)

test: $(STAMPS)/python $(STAMPS)/core console lint peers $(STAMPS)/node-client $(STAMPS)/jdbc-client
	cargo test --quiet --workspace
	cd console && npm run --silent lint && npm run --silent typecheck && npm run --silent test
	$(BIN)/pytest -n auto --dist loadfile tests

lint: $(STAMPS)/python $(STAMPS)/core
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

tools:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is missing"; exit 1; }
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust, https://rust-lang.org/tools/install"; exit 1; }

$(STAMPS)/venv: | tools
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	mkdir -p $(STAMPS)
	touch $@

$(STAMPS)/python: pyproject.toml constraints.txt $(STAMPS)/venv
	$(PIP) maturin
	$(PIP) -e '.[demo,presidio,test]'
	touch $@

$(STAMPS)/core: $(RUST) pyproject.toml | $(STAMPS)/venv
	test -x $(BIN)/maturin || $(PIP) maturin
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --quiet --release --skip-install
	touch $@

console: countersign/api/console/index.html

countersign/api/console/index.html: $(CONSOLE) $(STAMPS)/console
	cd console && npm run --silent build

$(STAMPS)/console: console/package-lock.json console/package.json | $(STAMPS)/venv
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer"; exit 1; }
	cd console && npm ci --silent
	touch $@

# Clients from outside Python; a test skips what is not here.
$(STAMPS)/node-client: tests/e2e/clients/node/package-lock.json tests/e2e/clients/node/package.json | $(STAMPS)/venv
	cd tests/e2e/clients/node && npm ci --silent
	touch $@

$(STAMPS)/jdbc-client: tests/e2e/clients/jdbc/pom.xml | $(STAMPS)/venv
	if command -v mvn >/dev/null && command -v javac >/dev/null; then \
	  cd tests/e2e/clients/jdbc && mvn --batch-mode --quiet dependency:copy-dependencies -DexcludeTransitive=true -DoutputDirectory=lib; \
	else echo "mvn or javac is missing: the tests with pgjdbc are skipped"; fi
	touch $@

# What the tests run against and the registries of languages do not have.
peers:
	@packages=""; \
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages="chromium"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages="$$packages postgresql"; \
	ls /usr/lib/*/rsyslog/lmnsd_gtls.so >/dev/null 2>&1 || test "$$(id -u)" != 0 || packages="$$packages rsyslog rsyslog-gnutls"; \
	command -v asciinema >/dev/null || test "$$(id -u)" != 0 || packages="$$packages asciinema"; \
	test -z "$$packages" || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
	  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages >/dev/null; } || { \
	  echo "missing for the tests: $$packages; install these packages"; exit 1; }

clean:
	rm -rf .venv target countersign/*.so countersign/api/console console/node_modules console/dist tests/e2e/clients/node/node_modules tests/e2e/clients/jdbc/lib
