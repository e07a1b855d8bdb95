# Every target runs from a fresh clone; each builds what it needs.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-ray check format bench lock clean
PY := .venv/bin/python

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: ## Build .venv with the extra that fits this machine (GPU or CPU)
	@scripts/setup.sh

demo: setup ## Judge the example conversations with a small model (fetches it the first time)
	.venv/bin/localjudge demo

test: setup ## Run all tests, the real engines included, but those of a Ray cluster
	$(PY) -m pytest -m "not ray"

test-fast: setup ## Run the tests that open no engine
	$(PY) -m pytest -m "not engine and not slow and not network and not ray"

# In two processes: on a fast machine a driver ends its process a minute after its cluster is gone.
test-ray: setup ## Run the tests that start a Ray cluster on this machine
	$(PY) -m pytest -m ray tests/test_ray.py
	$(PY) -m pytest -m ray tests/test_ray_engine.py

check: setup ## Format, lint and types
	.venv/bin/ruff format --check localjudge scripts tests
	.venv/bin/ruff check localjudge scripts tests
	.venv/bin/mypy

format: setup ## Format the code
	.venv/bin/ruff format localjudge scripts tests
	.venv/bin/ruff check --fix localjudge scripts tests

bench: setup ## Measure overhead, strategies, peers, tokens and the host's own speed on this machine
	$(PY) scripts/bench_overhead.py
	$(PY) scripts/bench_tokens.py
	$(PY) scripts/bench_strategies.py
	$(PY) scripts/bench_peers.py
	$(PY) scripts/bench_scale.py
	$(PY) scripts/bench_engine_host.py

lock: setup ## Write requirements/cpu.lock anew from pyproject.toml
	.venv/bin/uv pip compile -q pyproject.toml --extra cpu --extra server --extra parquet --extra dev \
	  --python-version 3.11 --excludes requirements/cpu-excludes.txt \
	  --no-header --no-annotate --no-emit-find-links -o requirements/cpu.lock

clean: ## Remove .venv and caches (models and runs stay)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
