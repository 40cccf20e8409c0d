# Everything stays inside this folder (and pip's own cache): the environment in .venv, a fetched bitcoind, compiled
# kernels and temporary files in .cache.
CACHE := $(CURDIR)/.cache
export SOLOMINER_CACHE := $(CACHE)
export TMPDIR := $(CACHE)/tmp
export PIP_DISABLE_PIP_VERSION_CHECK := 1
SOLOMINER := .venv/bin/solominer

.PHONY: help regtest cluster-demo test check bench docs clean
help:
	@echo "make regtest   a private chain and 10 blocks of ours on it, from nothing"
	@echo "make cluster-demo  the same with four nodes of a cluster, and 50 blocks"
	@echo "make test      all tests, those against the real node included"
	@echo "make check     linters, types, import contracts"
	@echo "make bench     the table of speed and memory"
	@echo "make docs      the documents as a site, in .cache/site"
	@echo "make clean     remove .venv and .cache"

regtest: .venv/.run
	@mkdir -p $(TMPDIR)
	@$(SOLOMINER) run --mode regtest --blocks 10 --data-dir data

cluster-demo: .venv/.dev
	@mkdir -p $(TMPDIR)
	@scripts/cluster-demo

test: .venv/.dev
	@scripts/check
	@scripts/test

check: .venv/.dev
	@scripts/check

bench: .venv/.dev
	@mkdir -p $(TMPDIR)
	@.venv/bin/python scripts/bench

docs: .venv/.dev
	@.venv/bin/mkdocs build --strict --site-dir .cache/site

.venv/.run: setup.cfg pyproject.toml
	@scripts/setup .
	@touch $@

.venv/.dev: setup.cfg pyproject.toml
	@scripts/setup '.[dev]'
	@touch $@ .venv/.run

clean:
	rm -rf .venv .cache
