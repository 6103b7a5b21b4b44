# `make demo` and `make test` set up what they need: a Python of 3.11 or newer is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Nothing is looked up: constraints.txt names every package with the hashes of its files.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-deps
PYTEST := TAFE_INSTALLED=1 $(BIN)/pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --durations=10
# A stamp's name is the checksum of what it was made from: any edit, new or deleted file makes another one.
DEPENDENCIES := $(VENV)/.dependencies-$(shell cat constraints.txt setup.cfg | cksum | cut -d ' ' -f 1)
PACKAGE := $(VENV)/.package-$(shell find tafe_tf export serving native -name '*.py' -o -name '*.cc' -o -name '*.h' -o -name '*.html' -o -name py.typed -o -name '*.proto' -o -path '*/tf_serving/*' | \
  LC_ALL=C sort | xargs cksum setup.cfg pyproject.toml | cksum | cut -d ' ' -f 1)
UV := $(VENV)-uv/bin/uv
COMPILE := $(UV) pip compile setup.cfg --universal --python-version=3.11 --generate-hashes --no-annotate \
  --custom-compile-command='make constraints' --quiet
EXTRAS := beam dev docs gbdt jax mlflow report tfrs tune
OF_ENGINES := dask spark stores engines
WITH_ENGINES := $(VENV)/.engines-$(shell cat engines.txt constraints.txt | cksum | cut -d ' ' -f 1)
TESTED_WITH := pandas polars pytest pytest-xdist PyYAML scikit-learn trustme
AT_THE_FLOORS := $(addprefix tests/,data export features layers losses metrics models serving training)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

NATIVE := $(BIN)/python -m tafe_tf.native

.PHONY: help demo native table2 test test-slow test-engines test-engines-slow test-all lint docs setup constraints test-floors runtimes clean

help:
	@echo "make demo   train, evaluate, export and score TAFE on a synthetic funnel"
	@echo "make table2 RAW=DIR  the paper's Tables 2 and 3 from the raw Ali-CCP files in DIR (days on 2 cores)"
	@echo "make test   lint and the quick tests, against the installed package (12 minutes on 2 cores)"
	@echo "make test-slow  the other tests: lost processes, every model in every frame (23 minutes)"
	@echo "make test-engines  those that start Spark, Dask and object stores; needs Java 17 (4 minutes)"
	@echo "make test-engines-slow  the other ones of these: whole jobs on clusters, kills over a store (10 minutes)"
	@echo "make test-all   all four"
	@echo "make native build the kernel for this CPU and check it; needs g++ or clang++"
	@echo "make lint   ruff and mypy"
	@echo "make docs   the documentation, into site/; a broken link is an error"
	@echo "make setup  make $(VENV) only; the others do it by themselves"
	@echo "make constraints  rewrite constraints.txt from setup.cfg; UPGRADE=--upgrade takes newer versions"
	@echo "make test-floors  the tests of training, exporting and serving with the oldest versions that setup.cfg allows"
	@echo "make runtimes     does an export answer alike in TensorFlow 2.15 to 2.21? (an environment each, 5 GB)"
	@echo "make clean  remove $(VENV), the other environments, runs and build folders"

setup: $(PACKAGE)

ifneq ($(shell $(BIN)/python -c 'print("runs")' 2> /dev/null),runs)
.PHONY: $(DEPENDENCIES)  # missing, or its Python is gone
endif

# Starts from nothing and writes the stamp last: of an interrupted set-up no half-installed package survives.
$(DEPENDENCIES):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "TensorFlow needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12. This is:"; \
	    $(PYTHON) --version; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PIP_INSTALL) --require-hashes --requirement constraints.txt
	@touch $@

$(PACKAGE): $(DEPENDENCIES)
	@rm -rf build *.egg-info $(VENV)/.package-*
	$(PIP_INSTALL) --no-build-isolation --force-reinstall .
	@rm -rf build *.egg-info
	@$(BIN)/python -m pip check > $(VENV)/.check || { cat $(VENV)/.check; \
	  echo "constraints.txt does not fit setup.cfg: make constraints"; exit 1; }
	@touch $@

# The versions in the files stay where they still fit. engines.txt has what constraints.txt has not.
constraints: $(UV)
	$(COMPILE) $(EXTRAS:%=--extra=%) --output-file=constraints.txt $(UPGRADE)
	$(COMPILE) $(OF_ENGINES:%=--extra=%) --constraint=constraints.txt \
	  $$(sed -n 's/^\([a-z0-9.-]*\)==.*/--no-emit-package=\1/p' constraints.txt) --output-file=engines.txt $(UPGRADE)

$(UV):
	@$(PYTHON) -m venv $(VENV)-uv
	@$(VENV)-uv/bin/python -m pip install --quiet uv==0.13.9

# The lowest versions that setup.cfg allows, and what the tests need beside them.
test-floors: $(UV)
	@$(UV) venv --quiet --clear --python=$(PYTHON) $(VENV)-floors
	@$(UV) pip install --quiet --python=$(VENV)-floors --resolution=lowest-direct --requirement=setup.cfg
	@$(UV) pip freeze --quiet --python=$(VENV)-floors > $(VENV)-floors/floors.txt
	@$(UV) pip install --quiet --python=$(VENV)-floors --constraint=$(VENV)-floors/floors.txt $(TESTED_WITH)
	PYTHONPATH=. $(VENV)-floors/bin/python -m pytest --numprocesses=2 --dist=loadfile $(AT_THE_FLOORS)

runtimes: $(PACKAGE)
	$(BIN)/python tests/runtimes.py

lint: $(DEPENDENCIES)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy tafe_tf tests $(wildcard benchmarks/*.py benchmarks/support/*.py examples/*.py)

docs: $(DEPENDENCIES)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

native: $(PACKAGE)
	$(NATIVE)

# The tests are of the installed package, and so is the kernel that `tafe` builds; $(NATIVE) builds this folder's.
test: lint $(PACKAGE)
	@$(BIN)/tafe native --if_possible
	$(PYTEST)

test-slow: $(PACKAGE)
	@$(BIN)/tafe native --if_possible
	$(PYTEST) -m "slow and not engines"

$(WITH_ENGINES): $(PACKAGE)
	@java -version > /dev/null 2>&1 || { echo "Spark needs Java 17; on Debian and Ubuntu: apt-get install openjdk-17-jre-headless"; exit 1; }
	$(PIP_INSTALL) --require-hashes --requirement engines.txt
	@touch $@

test-engines: $(WITH_ENGINES)
	@$(BIN)/tafe native --if_possible
	TAFE_ENGINES=1 $(PYTEST) -m "engines and not slow"

test-engines-slow: $(WITH_ENGINES)
	@$(BIN)/tafe native --if_possible
	TAFE_ENGINES=1 $(PYTEST) -m "engines and slow"

test-all: test test-slow test-engines test-engines-slow

demo: $(PACKAGE)
	@rm -rf runs/demo runs/demo_data
	@echo "== Build the kernel for this CPU, where there is a C++ compiler"
	@$(NATIVE) --if_possible
	@echo "== A funnel whose true probabilities are known"
	@$(BIN)/python -m tafe_tf.generate --data_dir=runs/demo_data
	@echo "== Train TAFE, and evaluate it on the held-out rows"
	@$(BIN)/python -m tafe_tf.train --flagfile=flagfiles/demo.flags
	@echo "== Export it"
	@$(BIN)/python -m export.saved_model --run_dir=runs/demo --export_dir=runs/demo/export
	@echo "== Load the export and score ten rows"
	@$(BIN)/python -m export.score runs/demo/export runs/demo_data/test.csv 10

table2: $(PACKAGE)
	@test -n "$(RAW)" || { echo "say where the raw Ali-CCP files are: make table2 RAW=DIR"; exit 1; }
	$(BIN)/python -m tafe_tf.public_data --dataset=ali_ccp --raw_dir=$(RAW) --data_dir=data/ali_ccp --row_split=random
	$(BIN)/python -m tafe_tf.compare --flagfile=flagfiles/ali_ccp_paper.flags

clean:
	rm -rf $(VENV) $(VENV)-uv $(VENV)-floors runs build site *.egg-info
