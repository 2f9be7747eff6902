# The two commands of the README: `make demo` and `make test`. Each sets everything up by itself.
PYTHON ?= python3
VENV := .venv
ORACLES := .venv-oracles
BIN := $(VENV)/bin
JOBS ?= 2
.DEFAULT_GOAL := help
.PHONY: help setup page oracles demo test prove bench lint docs clean

help:            ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $@

$(VENV)/.warm: $(VENV)/.installed $(wildcard src/verglas/kernels/*.py)
	$(BIN)/python -m verglas.kernels
	touch $@

$(ORACLES)/.installed: constraints-oracles.txt
	$(PYTHON) -m venv $(ORACLES)
	$(ORACLES)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-oracles.txt \
		pycistem cryojax starfile mrcfile gemmi
	touch $@

setup: $(VENV)/.warm            ## create .venv, install pinned dependencies, compile the kernels

page:            ## the browser page's libraries (needs node and npm; all else of verglas does without)
	$(PYTHON) web/fetch.py

oracles: $(ORACLES)/.installed  ## the independent programs that the tests compare with, in an environment of their own

demo: setup                     ## the main job on simulated movies; leaves demo/report.html and demo/report.json
	$(BIN)/verglas demo --output demo

lint: $(VENV)/.installed        ## ruff and mypy strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup oracles lint        ## everything that must hold on every change
	$(BIN)/pytest -n $(JOBS)

prove: setup oracles            ## hours: every claim at its full size, into docs/measured/
	$(BIN)/python -m prove.run

bench: setup oracles            ## timings beside peers and floors, into docs/measured/
	$(BIN)/python -m benchmarks.run

docs: setup                     ## rewrite the generated parts of docs/ and check them
	$(BIN)/python -m tools.make_docs

clean:                          ## remove what make made
	rm -rf $(VENV) $(ORACLES) demo build dist
