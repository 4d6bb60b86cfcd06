"""Designs as gates on a real layer: energy per effective MAC, and what an event costs us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.progress import track

from bench.gates import energy, machine, memory, rival
from bench.gates.cells import CellLibrary
from bench.gates.energy import Parts
from bench.gates.machine import ARRAY, Runner, Work
from bench.gates.mapping import Recipe
from bench.gates.simulate import Toggles
from golden.cache import say
from golden.realdata import RealLayer
from golden.trains import classify
from hdl.tree import tree_levels
from spinteger.config import Config

#: Cycles in which the machine does nothing, to know what idling costs.
IDLE = 200

Blocks = dict[str, Parts]


@dataclass(frozen=True)
class Design:
    """One design on one layer. Energies in pJ per effective MAC, a MAC of the dense layer."""

    name: str
    bits: str                   #: of weights and activations
    recipe: str
    blocks: Blocks
    array: Parts                #: the blocks that every array has
    memory_bits: float          #: read and written, per MAC
    cycles_per_mac: float       #: times R x C: 1 is a dense array's pace
    area: float                 #: of all cells [um^2], per lane and column
    path: float                 #: [ns] longest path that the data exercised

    @property
    def total(self) -> Parts:
        """Array, control and addresses."""
        return energy.total(self.blocks)

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "total": asdict(self.total)}


def ours(layer: RealLayer, cfg: Config, library: CellLibrary, tokens: int, tiles: int
         ) -> tuple[Design, dict[str, Any]]:
    """Our machine, its trees with the number of registers that takes least energy: `_ours`.

    Registers keep glitches from going on, but a slow clock has time for few of them: as for the
    rivals, both ways are tried, a register for every level of adders, and one for them all.
    """
    steps = sorted({cfg.tree_step, max(1, tree_levels(cfg))})
    tried = {step: _ours(layer, cfg.with_(tree_step=step), library, tokens, tiles)
             for step in track(steps, f"{layer.name}: our machine", console=say, transient=True,
                               disable=not say.is_terminal)}
    best = min(steps, key=lambda step: tried[step][0].array.total)
    design, details = tried[best]
    return design, {"tree_steps": {step: design.array.total
                                   for step, (design, _) in tried.items()}, **details}


def _ours(layer: RealLayer, cfg: Config, library: CellLibrary, tokens: int, tiles: int
          ) -> tuple[Design, dict[str, Any]]:
    """Our machine on the first tokens and column tiles: the design, its phases and events.

    Raises `MachineError` when its output is not the golden model's.
    """
    recipe = Recipe()
    net = machine.machine(cfg, library, recipe)
    runner, work = Runner(cfg, net), Work(layer, tokens, tiles)
    counted: dict[str, Toggles] = {"idle": runner.idle(IDLE)}
    for name, packets in work.packets(cfg).items():
        counted[name] = runner.phase(packets)
    runner.check()
    phases = {name: energy.breakdown(runner.sim, count) for name, count in counted.items()}
    macs = tokens * layer.k * tiles * cfg.cols
    reuse = max(1, cfg.col_tiles(layer.n) / tiles)      # a token is encoded once for all tiles
    blocks = {name: part * (1 / macs) for name, part in phases["compute"].items()}
    idle_cycle = {name: part * (1 / IDLE) for name, part in phases["idle"].items()}
    spent = counted["encode"].cycles
    encoding = Parts()
    for name, part in phases["encode"].items():
        encoding = encoding + part + idle_cycle.get(name, Parts()) * -spent
    encoding.leakage = 0.0                              # of the encoder, counted above
    blocks["encoding, once per token"] = encoding * (1 / (macs * reuse))
    bits = {name: memory.accesses(runner.sim, count) for name, count in counted.items()}
    design = Design(
        f"ours, {cfg.rows}x{cfg.cols}", "W4 A4+8", f"{recipe}, tree_step {cfg.tree_step}", blocks,
        sum((blocks.get(name, Parts()) for name in ARRAY), Parts()),
        (sum(bits["compute"].values()) + sum(bits["encode"].values()) / reuse) / macs,
        counted["compute"].cycles * cfg.rows * cfg.cols / macs,
        net.area / cfg.rows / cfg.cols, runner.sim.counts().latest / 1000)
    levels, salient = classify(layer.q[:tokens].astype(np.int64),
                               layer.e[:tokens].astype(np.int64), cfg)
    counts = {"spikes": int((levels > 0).sum()) * tiles, "salients": int(salient.sum()) * tiles,
              "v_adds": int(levels.max(axis=1).sum()) * tiles,
              "outputs": tokens * tiles * cfg.cols, "inputs": tokens * layer.k,
              "weight_bits": layer.k * tiles * cfg.cols * cfg.wgt_bits}
    return design, {
        "counts": counts, "events": events(phases, counted, counts, cfg),
        "phases": {name: {"cycles": counted[name].cycles, "memory_bits": bits[name],
                          "blocks": {block: asdict(part) for block, part in found.items()}}
                   for name, found in phases.items()}}


def events(phases: Mapping[str, Blocks], counted: Mapping[str, Toggles],
           counts: Mapping[str, int], cfg: Config) -> dict[str, float]:
    """pJ per event, see bench/energy.py."""
    def more(phase: str, *names: str) -> float:
        """Energy of blocks in a phase beyond what they take when nothing happens."""
        return sum(phases[phase].get(name, Parts()).total
                   - phases["idle"].get(name, Parts()).total / IDLE * counted[phase].cycles
                   for name in names)

    everything = set(phases["compute"])
    control = everything - {*ARRAY, "IF bank"} | {"column control"}
    return {
        "idle_cycle": energy.total(dict(phases["idle"])).total / IDLE,
        "spike_column": more("compute", "lane registers", "tree", "S")
        / counts["spikes"] / cfg.cols,
        "v_add_column": more("compute", "hold", "V") / counts["v_adds"] / cfg.cols,
        "salient_column": more("compute", "integer lanes") / max(1, counts["salients"]) / cfg.cols,
        "fired_output": more("compute", "IF bank") / counts["outputs"],
        "control_cycle": more("compute", *control) / counted["compute"].cycles,
        "coded_input": more("encode", *phases["encode"]) / counts["inputs"],
        "weight_row_bit": more("load", *phases["load"]) / counts["weight_bits"],
    }


def rivals(layer: RealLayer, cfg: Config, library: CellLibrary, tokens: int, tiles: int
           ) -> list[Design]:
    """All rivals, each mapped the way that takes least energy. Raises `MachineError`."""
    return [min((_rival(kind, layer, cfg, library, recipe, tokens, tiles)
                 for recipe in (Recipe(), Recipe(booth=True))[:1 + kind.multiplies]),
                key=lambda design: design.array.total)
            for kind in track(rival.KINDS, f"{layer.name}: rivals", console=say, transient=True,
                              disable=not say.is_terminal)]


def _rival(kind: rival.Kind, layer: RealLayer, cfg: Config, library: CellLibrary, recipe: Recipe,
           tokens: int, tiles: int) -> Design:
    x = layer.x[:cfg.rows if kind.by_rows else tokens]
    w = layer.w[:, :tiles * cfg.cols].astype(np.int64)
    window = rival.simulate(kind, cfg.rows, cfg.cols, library, recipe, x, w)
    macs = x.size * w.shape[1]
    blocks = {name: part * (1 / macs)
              for name, part in energy.breakdown(window.sim, window.counted).items()}
    return Design(
        kind.name, f"W4 A{kind.bits}", str(recipe), blocks,
        sum((part for name, part in blocks.items() if name not in rival.FEEDING), Parts()),
        sum(memory.accesses(window.sim, window.counted).values()) / macs,
        window.counted.cycles * cfg.rows * cfg.cols / macs,
        window.sim.net.area / cfg.rows / cfg.cols, window.counted.latest / 1000)
