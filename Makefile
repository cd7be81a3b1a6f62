# Two commands do everything: `make demo` and `make test`. Python 3.11 or newer and a network are all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
ARGS ?=
MINUTES ?= $(if $(FAULT),1.5,10)
SEED ?= 7
FAULT ?=
BROKERS ?= 1
OUT ?= build/paper

.DEFAULT_GOAL := help
.PHONY: help setup demo monitor test check unit chaos bench paper dashboards format lock clean

help: ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## make .venv and fetch Kafka's jars

# The lock holds hashes of what PyPI has. UV_TORCH_BACKEND=cpu takes torch's CPU build from PyTorch's own index instead,
# whose hashes differ: then the lock only says which versions.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Gaitway needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8,<1'
ifdef UV_TORCH_BACKEND
	@UV_NO_VERIFY_HASHES=1 $(BIN)/uv pip install --quiet --python $(BIN)/python -c requirements.lock -e '.[dev]'
else
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
endif
	@$(BIN)/python -m gaitway.embedded > /dev/null
	@touch $@

demo: setup ## the whole pipeline on real recordings; ARGS="--speed max --watches 8"
	@$(BIN)/gaitway demo $(ARGS)

monitor: setup ## five answers from a real Prometheus beside the pipeline; ARGS="--watches 200 --minutes 4 --pictures DIR"
	@$(BIN)/gaitway monitor $(ARGS)

test: setup check unit ## lint, types, import contract, all tests

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: setup
	$(BIN)/pytest -n $(WORKERS) $(ARGS)

chaos: setup ## faults on a running pipeline: MINUTES=10 SEED=7 BROKERS=1 FAULT=name-of-a-fault-to-inject
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) --seed $(SEED) --brokers $(BROKERS) \
		$(if $(FAULT),--inject-fault $(FAULT)) $(ARGS)

bench: setup build/peers/.ready ## every stage beside its peers, and the whole pipeline; ARGS="--rounds 1 --stages ingest"
	$(BIN)/python -m benchmarks $(ARGS)

# Apart from .venv: the peers would hold Gaitway's own dependencies back.
build/peers/.ready: benchmarks/peers/requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target build/peers --require-hashes -r $<
	@touch $@

paper: setup ## the paper's tables 2 to 4 on a data set that has its classes: DATASET=harage=DIR OUT=build/paper
	@for task in har2 har7 har10; do \
		$(BIN)/gaitway experiment --task $$task --dataset $(DATASET) --out $(OUT)/$$task --processes $(WORKERS) && \
		$(BIN)/gaitway report $(OUT)/$$task || exit 1; \
	done

dashboards: setup ## write Grafana's JSON from deploy/grafana/*.py
	$(BIN)/python -m deploy.grafana

format: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A requirements file, not uv.lock: that one would carry the addresses of whatever registry made it.
lock: ## resolve all versions anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-package gaitway \
		--all-extras pyproject.toml -o requirements.lock

clean: ## remove what the build made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
