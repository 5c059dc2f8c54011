# Everything a developer types. `make help` lists it.

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# The first Python from 3.11 to 3.13 that runs: python3 if it is one of them.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)
# All engines are installed on Python 3.11 only: torch is there for it.
EXTRAS = $(shell $(BIN)/python -c 'import sys; print("[int8,openvino,torch]" if sys.version_info[:2] == (3, 11) else "")')
SOURCES := pyproject.toml constraints.txt dicomnode/__init__.py

.DEFAULT_GOAL := help
.PHONY: help demo test check lint mypy pyright bench accuracy crash graphs conformance peers clean

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

demo: $(VENV)/.product ## Show the whole way on a made-up study
	$(BIN)/dicomnode demo

# The environment comes last on the PATH: pynetdicom brings programs called as DCMTK's are. Three processes on two cores:
# a quarter of the time each waits for what it started.
test: $(VENV)/.test peers ## Run all tests; TESTS="..." narrows them
	PATH="$$PATH:$(abspath $(BIN))" $(BIN)/pytest --numprocesses=3 --dist=loadfile $(TESTS)

check: lint mypy pyright ## Lint, check the format, the types, the layers and the Dockerfiles; --jobs=2 is faster

lint: $(VENV)/.check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile Dockerfile.cpu

mypy: $(VENV)/.check
	$(BIN)/mypy

pyright: $(VENV)/.check
	$(BIN)/basedpyright --pythonpath $(BIN)/python

bench: $(VENV)/.test ## Measure, as ratios within one run; WEIGHTS=... compares the masks of engines, too
	$(BIN)/python tests/bench/measure.py
	$(BIN)/python tests/bench/writing.py
	$(BIN)/python tests/bench/ingest.py
	$(BIN)/python tests/bench/turnaround.py
	$(BIN)/python tests/bench/inference.py $(WEIGHTS)

accuracy: $(VENV)/.test ## Measure a model on the real data beside the filled ellipse; ACCURACY="--model NAME ..."
	$(BIN)/python tests/accuracy/measure.py $(ACCURACY)

# In the second run 20 of the kills are cuts of the power as well.
crash: $(VENV)/.test peers ## Kill a node again and again while it works, and look for what is lost; CRASH="..."
	$(BIN)/python tests/crash/run.py $(CRASH)
	$(BIN)/python tests/crash/run.py --cuts 20 $(CRASH)

graphs: $(VENV)/.test ## Make the graphs of the networks anew, without weights
	$(BIN)/python -m dicomnode.inference.networks.graphs models

conformance: $(VENV)/.product ## Make docs/conformance.md anew from the code
	$(BIN)/dicomnode conformance --output docs/conformance.md

# Tests skip, with the reason, what needs a program that is missing here.
peers: ## As root on Debian: install the programs that tests talk to
	@missing=; \
	for program in Orthanc dcmsend dciodvfy dcm2niix plastimatch DicomSRValidator gcc; do PATH=$$PATH:/usr/sbin command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	test -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so || missing="$$missing orthanc-dicomweb"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "missing:$$missing; as root, make peers installs them from Debian; tests that need them skip"; exit 0; fi; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		orthanc orthanc-dicomweb dcmtk dicom3tools dcm2niix plastimatch pixelmed-apps gcc libc6-dev >/dev/null

clean: ## Remove the environment and everything that was made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n '$(PYTHON)' || { echo "dicomnode needs Python 3.11, 3.12 or 3.13; name one with make PYTHON=..."; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; \
		else echo "$(PYTHON) cannot make environments; as root on Debian: apt-get install python3-venv"; exit 1; fi; fi
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'

$(VENV)/.product: $(SOURCES) | $(VENV)/bin/python
	$(PIP) -e .
	@touch $@

$(VENV)/.test: $(SOURCES) | $(VENV)/bin/python
	$(PIP) -e '.$(EXTRAS)' --group test
	@touch $@ $(VENV)/.product

$(VENV)/.check: $(VENV)/.test
	$(PIP) --group check
	@touch $@
