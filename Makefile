# Everything on a fresh machine with Python 3.11 or newer and make:
#   make demo    sets up, trains a molecule generator on real molecules, shows the result
#   make test    sets up, runs every default test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Torch is pinned for development only (constraints.txt): where a CPU build is at hand pip takes it,
# and no package can pull another torch beside it. Users' own torch is left alone by the metadata.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: setup demo test check slow clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml $(wildcard plugins/*/pyproject.toml) constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch
	$(BIN)/python -m pip install --quiet -e '.[dev]' -e plugins/wgankit-graphs -e plugins/wgankit-images \
		-e plugins/wgankit-labels -e 'plugins/wgankit-molecules[fcd]'
	touch $@

demo: setup
	$(BIN)/wgankit train molecules:latent-graphs --data qm9-10k --out runs/demo --go-on

# Tests are small: a process for each core, of one thread, is quicker than threads within a test.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadscope

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

slow: setup
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
