# Spinteger. `make` lists the targets; the first of them to run makes .venv (1 to 3 minutes).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
# Made last, so an interrupted installation is taken up again.
STAMP  := $(VENV)/.installed
# The same for synthesis, place and route, and bitstreams.
FPGA   := $(VENV)/.fpga
# What `make fpga` makes it for; 16x16 on this one, other boards have other usual shapes.
BOARD  ?= ulx3s-85f
# pytest-xdist: one worker per core, but no more than this machine's memory likes.
JOBS   ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n > 4 ? 4 : n )))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUNBUFFERED := 1

.PHONY: help demo sim soak fpga pnr results test silicon lint tools venv clean distclean

help:  ## show this list
	@echo "Spinteger: spike-integer hybrid accelerators for quantised language models"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Generate Verilog:  $(PY) -m gen --pe 16x16 --bus axi > accel.v    (after 'make venv')"

demo: $(STAMP) tools  ## run a real model's layer on the simulated accelerator, bit for bit
	@$(PY) -m sim.demo

sim: $(STAMP) tools  ## all benches and real layers against the golden model (SIM=icarus|verilator WAVES=1)
	@SIM="$(SIM)" WAVES="$(WAVES)" $(PY) -m sim

soak: $(STAMP) tools  ## random programs on RTL and golden machine (ARGS="--programs 10000 --seed 7")
	@$(PY) -m sim.soak $(ARGS)

fpga: $(FPGA)  ## make a bitstream (BOARD=ulx3s-85f PE=16x16 ARGS="--seeds 4")
	@$(PY) -m gen.fpga --board $(BOARD) $(if $(PE),--pe $(PE)) $(ARGS)

pnr: $(FPGA) tools  ## place and route an 8x8 machine, fail when it grew or became slower
	@$(PY) -m bench.pnr --pe 8x8 --check $(ARGS)

results: $(FPGA) tools  ## make docs/results.md from what was measured (ARGS=--run measures all: hours)
	@$(PY) -m bench.results $(ARGS)

test: $(FPGA) tools  ## run all tests (ARGS="tests/gen -k verilog" runs a part)
	@$(PY) -m pytest -q -n $(JOBS) --dist worksteal $(ARGS)

silicon: $(FPGA) tools  ## tests of the FPGA flow, of rival arrays and of energy on gates: half an hour
	@$(PY) -m pytest -q -n $(JOBS) --dist worksteal -m silicon $(ARGS)

lint: $(STAMP)  ## check style and types
	@$(PY) -m ruff check .
	@$(PY) -m mypy

venv: $(STAMP)  ## only install what the other targets need

tools: | $(STAMP)
	@sh scripts/setup_tools.sh

$(STAMP): pyproject.toml scripts/setup_tools.sh
	@PYTHON="$(PYTHON)" sh scripts/setup_tools.sh python
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing Python packages into $(VENV) (up to 1.7 GB the first time):"
	@# Without build isolation nothing is fetched once everything is there: works offline.
	@# cocotbext-wishbone comes as source only, and needs setuptools_scm for its version.
	@$(PY) -c 'import setuptools as s, setuptools_scm; assert int(s.__version__.split(".")[0]) >= 77' \
	  2>/dev/null || $(PY) -m pip install --quiet 'setuptools>=77' 'setuptools-scm[toml]==8.3.1'
	@$(PY) -m pip install --no-build-isolation --progress-bar off \
	    --config-settings editable_mode=compat -e '.[dev]' \
	  | sed -un -e 's/^Collecting \([^ ]*\).*/  \1/p' -e 's/^Installing collected.*/  unpacking .../p'
	@touch $@
	@echo "Installed."

$(FPGA): $(STAMP)
	@echo "Installing the FPGA tools into $(VENV):"
	@$(PY) -m pip install --no-build-isolation --progress-bar off \
	    --config-settings editable_mode=compat -e '.[dev,fpga,explore]' \
	  | sed -un -e 's/^Collecting \([^ ]*\).*/  \1/p' -e 's/^Installing collected.*/  unpacking .../p'
	@touch $@

clean:  ## remove build results and caches (keeps .venv)
	rm -rf build dist .cache .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean  ## clean, and remove .venv
	rm -rf $(VENV)
