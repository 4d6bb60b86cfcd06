"""Area and speed of one design on an FPGA, kept by content: an interrupted run goes on.

Ours and the rivals all come this way: generator, harness of registers, `gen.ecp5`, nextpnr.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from amaranth.lib import wiring

from bench.rivals.chain import map_chains
from gen import kept
from gen.ecp5 import Cells, Synthesis
from gen.harness import HARNESS, harness
from gen.parts import Part
from gen.place_log import Progress
from gen.verilog import TOP, to_verilog

#: Clock that nextpnr is asked for: more than any design reaches, so that it tries its best.
TARGET = 250.0


@dataclass(frozen=True)
class Measured:
    """A design, placed and routed; its harness is taken off."""

    lut: int
    ff: int
    ebr: int
    dsp: int
    mhz: float | None                   #: fastest seed; None: not placed
    seed: int | None
    tried: dict[int, float]             #: Fmax by seed
    path: list[tuple[str, float]] = field(default_factory=list)     #: critical path, by block
    way: str = ""                       #: nextpnr's placer and router

    def __sub__(self, cells: Cells) -> Measured:
        return self + cells * -1

    def __add__(self, cells: Cells) -> Measured:
        return replace(self, lut=self.lut + cells.lut, ff=self.ff + cells.ff,
                       ebr=self.ebr + cells.ebr, dsp=self.dsp + cells.dsp)


def synthesised(component: wiring.Component, *, dsp: bool) -> Synthesis:
    """The component in the harness, as a netlist to place. Raises `YosysError`."""
    verilog = to_verilog(component, TOP)
    source = map_chains(verilog)[0] + "\n" + harness(verilog, TOP)
    return kept.synthesis(source, HARNESS, dsp=dsp)


def unplaced(synthesis: Synthesis) -> Measured:
    """The cells that synthesis counts."""
    cells = synthesis.cells(TOP)
    return Measured(cells.lut, cells.ff, cells.ebr, cells.dsp, None, None, {})


def placed(synthesis: Synthesis, part: Part, seeds: range,
           progress: Progress | None = None) -> Measured:
    """The design placed with each seed. Raises `ToolError` when one does not route."""
    outside = synthesis.glue(HARNESS)
    found: list[Measured] = []
    for seed in seeds:
        report = kept.placement(synthesis.netlist, part, seed=seed, freq=TARGET, progress=progress)
        used = report["used"]
        found.append(Measured(used["LUT"], used["FF"], used["EBR"], used["DSP"], report["mhz"],
                              seed, {seed: report["mhz"]},
                              [(block, ns) for block, ns in report["path_by_block"]],
                              f"{report['placer']}, {report['router']}") - outside)
    best = max(found, key=lambda one: one.mhz or 0.0)
    return replace(best, tried={seed: mhz for one in found for seed, mhz in one.tried.items()})
