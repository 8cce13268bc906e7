# Everything runs in the checkout's own .venv; nothing has to be installed before but Python 3.11 and a C compiler.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.complete
export RHE_RUN ?= runs/demo

.PHONY: setup demo test quick attacks check format bench clean
.DEFAULT_GOAL := demo

setup: $(STAMP)

# PyRadiomics 3.0.1 builds only with numpy and setuptools present and without build isolation.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt numpy setuptools wheel cython versioneer hatchling editables
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation pyradiomics
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation --editable . --group dev
	touch $(STAMP)

demo: setup
	$(BIN)/rhe-simulate demo --out $(RHE_RUN)

test: setup
	$(BIN)/python -m pytest -n 3 --dist worksteal

quick: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

attacks: setup
	$(BIN)/python -m tests.attacks

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

clean:
	rm -rf .venv runs build dist
