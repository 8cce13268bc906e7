# Everything runs in the checkout's own .venv; nothing has to be installed before but Python 3.11 and a C compiler.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.complete
export RHE_RUN ?= runs/demo
# Every command is a process: without bytecode each would compile all modules anew, where the environment forbids it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup pinned demo test quick attacks chaos deployment check format bench bench-full clean
.DEFAULT_GOAL := demo

setup: $(STAMP)

# Only files whose SHA-256 is known are installed (`make pinned` writes the lists anew); no other is downloaded or run.
# PyRadiomics 3.0.1 builds only with numpy and setuptools present and without build isolation.
# An index without torch's build for the CPU alone has the one for CUDA, which needs CUDA's libraries.
INSTALL := $(BIN)/python -m pip install --quiet --no-deps
$(STAMP): pyproject.toml $(wildcard deploy/pinned/*.txt)
	$(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes --only-binary :all: -r deploy/pinned/wheels.txt
	$(INSTALL) --require-hashes --no-build-isolation -r deploy/pinned/sources.txt
	$(INSTALL) --require-hashes -r deploy/pinned/cpu.txt || $(INSTALL) --require-hashes -r deploy/pinned/cuda.txt
	$(INSTALL) --no-build-isolation --editable .
	$(BIN)/python -m pip check
	touch $(STAMP)

pinned: setup
	$(BIN)/python -m tests.house.pinned

demo: setup
	$(BIN)/rhe-simulate demo --out $(RHE_RUN)

test: setup
	$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

quick: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

attacks: setup
	$(BIN)/python -m tests.attacks

# Processes are killed, lines cut, disks filled (which needs root) while small studies run over Flower: a quarter hour.
chaos: setup
	$(BIN)/python -m tests.chaos

# As root, on Linux: hosts as network namespaces, users, TLS, nginx (installed if it is missing; it says so).
# Without root or namespaces it says what was not run.
deployment: setup
	$(BIN)/python -m tests.deployment
	$(BIN)/python -m pytest -q -rs -n 2 tests/deployment

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house.rules
	$(BIN)/codespell
	$(BIN)/pylint --disable=all --enable=duplicate-code --min-similarity-lines=8 \
	  --ignore-imports=yes --ignore-docstrings=yes --ignore-signatures=yes --score=no server client common simulations

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python -m tests.bench

# The demonstration over Flower and in one process, the paper's networks in full size, growth, rounds of forty million
# weights: some hours. `python -m tests.bench.growth` also writes docs/growth.md.
bench-full: setup
	$(BIN)/python -m tests.bench demonstration large_rounds full_size growth

clean:
	rm -rf .venv runs build dist
