# `make demo` and `make test` set up what they need: a Python of 3.11 or newer is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEPENDENCIES := $(VENV)/.dependencies-installed
PACKAGE := $(VENV)/.package-installed
SOURCES := $(shell find tafe_tf export -name '*.py' -o -name py.typed)

export TF_CPP_MIN_LOG_LEVEL ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint setup clean

help:
	@echo "make demo   train, evaluate, export and score TAFE on a synthetic funnel (about 3 minutes)"
	@echo "make test   lint and all tests, against the installed package"
	@echo "make lint   ruff and mypy"
	@echo "make setup  make $(VENV) only; the others do it by themselves"
	@echo "make clean  remove $(VENV), runs and build folders"

setup: $(PACKAGE)

# A stamp is written last: an interrupted set-up has none and is done again; a broken $(VENV) is made anew.
$(DEPENDENCIES): constraints.txt setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; give one with PYTHON=..., this is:"; $(PYTHON) --version; exit 1; }
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@rm -f $(DEPENDENCIES) $(PACKAGE)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt '.[dev]'
	@touch $@

$(PACKAGE): $(DEPENDENCIES) $(SOURCES) pyproject.toml
	@rm -rf build *.egg-info
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall --constraint constraints.txt .
	@rm -rf build *.egg-info
	@touch $@

lint: $(DEPENDENCIES)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint $(PACKAGE)
	TAFE_INSTALLED=1 $(BIN)/pytest --numprocesses=2 --dist=loadfile

demo: $(PACKAGE)
	@rm -rf runs/demo runs/demo_data
	@echo "== A funnel whose true probabilities are known"
	@$(BIN)/python -m tafe_tf.generate --data_dir=runs/demo_data
	@echo "== Train TAFE"
	@$(BIN)/python -m tafe_tf.train --flagfile=flagfiles/demo.flags
	@echo "== Evaluate it on the held-out rows"
	@$(BIN)/python -m tafe_tf.evaluate --flagfile=flagfiles/demo.flags
	@echo "== Export it"
	@$(BIN)/python -m export.saved_model --run_dir=runs/demo --export_dir=runs/demo/export
	@echo "== Load the export and score ten rows"
	@$(BIN)/python -m export.score --export_dir=runs/demo/export --data_dir=runs/demo_data --rows=10

clean:
	rm -rf $(VENV) runs build *.egg-info
