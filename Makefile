# make sweep      which graphs make good networks, in minutes; writes runs/quick/
# make control    the same from scaled initial weights: what the answer rests on
# make test       the tests
# make test-all   also the slow ones
# make fuzz       anything at all as input, always the same; RELMP_FUZZ=20 tries 20 times as much,
#                 RELMP_FUZZ_SEED=7 something else
# make kills      processes are killed and disks fill up; RELMP_KILLS=1000 for as many signals
# make lint       style and types
# make docs       the site in docs/_build/html, lessons run with small numbers (LESSON=full: as in class)
# make wheel      dist/relmp-*.whl
#
# The environment is made in .venv on first use, and again when the pins change. Its place can
# be set (make test VENV=/elsewhere), and so can the Python that makes it (PYTHON=python3.12).

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
RUN := PYTHONPATH=$(CURDIR) $(BIN)/python
PINS := $(VENV)/.pins-$(shell cat requirements.txt Makefile | cksum | cut -d' ' -f1)

# An engine of sweeps; its tests skip without it.
RAY := ray==2.60.0

# Whose data tests read; their code is not imported (mnist1d's is), so nothing they need is either.
DATA := cect==0.3.5 graspologic==3.4.4 mnist1d==0.0.2.post1

DOCS_PINS := $(VENV)/.docs-$(shell cksum < requirements-docs.txt | cut -d' ' -f1)
LESSON ?= quick
SITE := docs/_build/html

.PHONY: sweep control test test-slow test-all fuzz kills lint docs wheel environment

sweep: environment
	$(RUN) experiments/recipes/quick.py

control: environment
	$(RUN) experiments/recipes/quick.py --control

test: environment
	$(RUN) -m pytest -n 2 -m "not slow and not fuzz and not kills"

test-slow: environment $(DOCS_PINS)
	$(RUN) -m pytest -m slow

test-all: test test-slow fuzz kills

fuzz: environment
	$(RUN) -m pytest -m fuzz tests/fuzz

kills: environment
	$(RUN) -m pytest -m kills tests/kills

lint: environment
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# A warning is an error. Nothing is fetched, and every link inside the site is followed.
docs: environment $(DOCS_PINS)
	RELMP_LESSON=$(LESSON) $(RUN) -m sphinx -n -W --keep-going -q -b html docs $(SITE)
	$(RUN) docs/_ext/check_links.py $(SITE)

$(DOCS_PINS): | environment
	$(PIP) -r requirements-docs.txt
	@touch $@

wheel: environment
	$(BIN)/python -m build --wheel --no-isolation

# The environment belongs to one checkout at a time; another one only changes the link.
environment: $(PINS)
	@test "$$(cat $(VENV)/.checkout 2>/dev/null)" = "$(CURDIR)" || \
	  { $(PIP) --no-deps --no-build-isolation -e . && echo "$(CURDIR)" > $(VENV)/.checkout; }

# torch-scatter is compiled against the installed torch, which takes minutes. It is optional:
# where it does not build, PyTorch's own scatter and segment operators do its work.
$(PINS):
	@$(PYTHON) -c 'import sys; sys.exit("relmp needs Python 3.11 or newer.") if sys.version_info < (3, 11) else None'
	@echo "Installing into $(VENV) (about 7 GB with PyTorch's CUDA build, 5 to 10 minutes)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	$(PIP) $(RAY) || echo "Ray was not installed; its tests skip."
	$(PIP) --no-deps $(DATA) || echo "Packages of test data were not installed; their tests skip."
	printf '[build_ext]\nparallel = 2\n' > $(VENV)/parallel.cfg
	DIST_EXTRA_CONFIG=$(abspath $(VENV))/parallel.cfg \
	  $(PIP) --no-build-isolation --use-pep517 torch-scatter==2.1.2 \
	  || echo "torch-scatter was not installed; relmp works without it."
	@touch $@
