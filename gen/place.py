"""Place and route with nextpnr: Fmax, the critical path block by block, what the part is full of.

    placement = place(synthesis.netlist, PARTS["LFE5U-85F"], seeds=3)
    placement.mhz, placement.path, placement.used

Several seeds run side by side, one per core. Figures are nextpnr's own, after routing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from typing import Any

from gen import blocks, tools
from gen.harness import HARNESS
from gen.parts import Part
from gen.place_log import Log, Progress
from gen.tools import Runs, ToolError

#: What a report calls the resources that nextpnr counts.
RESOURCES = {
    "ecp5": {"LUT": "TRELLIS_COMB", "FF": "TRELLIS_FF", "EBR": "DP16KD", "DSP": "MULT18X18D",
             "PLL": "EHXPLLL"},
    "ice40": {"LUT": "ICESTORM_LC", "EBR": "ICESTORM_RAM", "DSP": "ICESTORM_DSP",
              "SPRAM": "ICESTORM_SPRAM", "PLL": "ICESTORM_PLL"},
}
#: Options and file of each family's pin constraints, and of the result that its packer reads.
_FILES = {"ecp5": ("--lpf", "pins.lpf", "--lpf-allow-unconstrained", "--textcfg", "out.config"),
          "ice40": ("--pcf", "pins.pcf", "--pcf-allow-unconstrained", "--asc", "out.asc")}
_CARRY = {"FCI", "FCO", "CIN", "COUT"}
#: nextpnr's ways to place and to route, its own choices first.
PLACERS, ROUTERS = ("heap", "static"), ("router1", "router2")
#: Block RAMs from which a design lies all over the chip.
_LARGE = 100


@dataclass(frozen=True)
class Segment:
    """A piece of a path: through a cell, or along a wire to the next; a carry chain is one."""

    kind: str       #: "clk-to-q", "logic", "routing", "carry" or "setup"
    ns: float
    block: str      #: of the cell that it starts from
    source: str     #: cell that it starts from, as in the netlist
    sink: str       #: cell that it ends in


@dataclass(frozen=True)
class Placement:
    """A design, placed and routed."""

    part: str                               #: device, speed grade, package
    seed: int
    target: float                           #: clock that was asked for, MHz
    placer: str                             #: nextpnr's
    router: str                             #: likewise
    fmax: dict[str, float]                  #: MHz by clock
    path: list[Segment]                     #: critical path of the slowest clock
    used: dict[str, int]                    #: LUT, FF, EBR, DSP ... after placement
    available: dict[str, int]
    tried: dict[int, float]                 #: Fmax of every seed that routed
    versions: dict[str, str]
    #: Routed design as text, for the family's packer.
    routed: str = field(default="", repr=False)

    @property
    def mhz(self) -> float:
        """Fmax of the slowest clock; 0 when nothing is clocked."""
        return min(self.fmax.values(), default=0.0)

    def by_block(self) -> list[tuple[str, float]]:
        """The critical path as blocks in the order it goes through them, with ns in each."""
        passed: list[tuple[str, float]] = []
        for segment in self.path:
            if passed and passed[-1][0] == segment.block:
                passed[-1] = (segment.block, passed[-1][1] + segment.ns)
            else:
                passed.append((segment.block, segment.ns))
        return passed

    def json(self) -> dict[str, Any]:
        """All figures as plain values; the routed design is left out."""
        found = asdict(self)
        del found["routed"]
        return {**found, "mhz": self.mhz, "path_by_block": self.by_block()}


def spread(netlist: str) -> bool:
    """A design for ECP5 with block RAM all over the chip, for which `router1` hardly ends."""
    return netlist.count('"DP16KD"') >= _LARGE


def ways(part: Part, netlist: str) -> tuple[str, str]:
    """The placer and the router that do best for a netlist.

    On ECP5 `static` leaves the 16x16 machine a quarter less wire than `heap`, and 8x8 routes six
    times as fast. With block RAM all over the chip `router1` tears up as many arcs as it routes.
    """
    if part.family != "ecp5":
        return PLACERS[0], ROUTERS[0]
    return "static", ROUTERS[spread(netlist)]


def place(netlist: str, part: Part, *, top: str = HARNESS, seed: int = 1, seeds: int = 1,
          freq: float = 150.0, placer: str | None = None, router: str | None = None,
          constraints: str = "", routed: bool = False,
          table: Mapping[str, str] = blocks.BLOCKS, progress: Progress | None = None,
          jobs: int | None = None, limit: float | None = None) -> Placement:
    """Place and route a flattened netlist (Yosys JSON) on a part; the fastest of `seeds` seeds.

    The seeds are `seed`, `seed` + 1, ...; `jobs` of them run at a time (as many as cores).
    `placer`, `router`: of `PLACERS` and `ROUTERS`; else those that `ways` chooses.
    `constraints`: text of the LPF or PCF file; pins that it leaves out are placed anywhere.
    `routed`: keep the routed design, to make a bitstream of. `table`: see `blocks.Hierarchy`.
    `progress` is called from several threads. `limit`: seconds that a seed may take. Raises
    `ToolError` when no seed routes, or nextpnr is missing (`TimeOver` when time ran out); Ctrl-C
    ends all runs and leaves nothing behind.
    """
    cells = blocks.Hierarchy(netlist, top, table=table)
    found: list[Placement] = []
    errors: list[ToolError] = []
    with Runs() as runs, ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        chosen = ways(part, netlist)
        by = placer or chosen[0], router or chosen[1]
        running = [pool.submit(_place, runs, netlist, part, top, number, freq, by, constraints,
                               routed, cells, progress, limit)
                   for number in range(seed, seed + seeds)]
        try:
            for future in as_completed(running):
                try:
                    found.append(future.result())
                except ToolError as error:
                    errors.append(error)
        except BaseException:
            runs.end()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if not found:
        raise errors[0]
    best = max(found, key=lambda placement: (placement.mhz, -placement.seed))
    best.tried.update({placement.seed: placement.mhz
                       for placement in sorted(found, key=lambda placement: placement.seed)})
    return best


def _place(runs: Runs, netlist: str, part: Part, top: str, seed: int, freq: float,
           by: tuple[str, str], constraints: str, routed: bool, cells: blocks.Hierarchy,
           progress: Progress | None, limit: float | None) -> Placement:
    """One seed."""
    pins, pins_file, unconstrained, option, out_file = _FILES[part.family]
    arguments = [*part.flags, "--json", "design.json", "--top", top, "--report", "report.json",
                 "--freq", str(freq), "--seed", str(seed), "--timing-allow-fail",
                 "--placer", by[0], "--router", by[1], unconstrained,
                 pins, pins_file, *([option, out_file] if routed else [])]
    log = Log(seed, progress)
    made = runs.run(part.nextpnr, arguments, {"design.json": netlist, pins_file: constraints},
                    ["report.json", *([out_file] if routed else [])], log.line, limit)
    report = json.loads(made["report.json"])
    utilisation = report["utilization"]
    counted = {name: utilisation[kind] for name, kind in RESOURCES[part.family].items()
               if kind in utilisation}
    fmax = {_clock(name): value["achieved"] for name, value in report["fmax"].items()}
    log.done(min(fmax.values(), default=0.0))
    return Placement(
        part.name, seed, freq, *by, fmax, critical_path(report, cells.of),
        {name: count["used"] for name, count in counted.items()},
        {name: count["available"] for name, count in counted.items()}, {},
        {part.nextpnr: tools.version(part.nextpnr)},
        made[out_file].decode() if routed else "")


def _clock(net: str) -> str:
    """A clock net's name as the design has it: without what nextpnr adds around it."""
    name = net.removeprefix("$glbnet$")
    for suffix in ("$TRELLIS_IO_IN", "$SB_IO_IN", "_$glb_clk"):
        name = name.removesuffix(suffix)
    return name


def critical_path(report: Mapping[str, Any], block: Callable[[str], str]) -> list[Segment]:
    """The slowest path from a register to a register of the same clock, in nextpnr's report.

    `block`: from a cell's name to its block.
    """
    inside = [path for path in report["critical_paths"]
              if path["from"] == path["to"] and path["from"] != "<async>"]
    if not inside:
        return []
    slowest = max(inside, key=lambda path: sum(step["delay"] for step in path["path"]))
    segments: list[Segment] = []
    for step in slowest["path"]:
        ends = step["from"], step["to"]
        carry = (ends[1]["port"] in _CARRY or
                 step["type"] == "logic" and ends[0]["port"] in _CARRY)
        # Cells of nextpnr's own carry a carry chain's end into the fabric.
        name = block(ends[0]["cell"]) if not ends[0]["cell"].startswith("$nextpnr") else \
            segments[-1].block
        segment = Segment("carry" if carry else step["type"], round(step["delay"], 3), name,
                          ends[0]["cell"], ends[1]["cell"])
        if carry and segments and segments[-1].kind == "carry":
            last = segments.pop()
            segment = Segment("carry", round(last.ns + segment.ns, 3), last.block, last.source,
                              segment.sink)
        segments.append(segment)
    return segments
