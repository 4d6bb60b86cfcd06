"""Syntheses and placements, kept by content: an interrupted run goes on where it was.

A synthesis is kept by its Verilog, the flow and Yosys; a placement by its netlist, seed and tool.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyosys

from gen import tools
from gen.ecp5 import Synthesis, synthesise
from gen.files import write_whole
from gen.parts import Part
from gen.place import PLACERS, ROUTERS, place, spread, ways
from gen.place_log import Progress
from sim.builds import built, cache_dir

#: Seconds for nextpnr's own router, which either ends in minutes or hardly at all.
LIMIT = 20 * 60.0
#: Modules of this package that a synthesis follows from.
_FLOW = ("absorb", "carry", "chains", "ecp5", "yosys")


def synthesis(verilog: str, top: str, *, dsp: bool = True) -> Synthesis:
    """`gen.ecp5.synthesise`, once. Raises `YosysError`."""
    flow = [Path(__file__).with_name(f"{name}.py").read_text() for name in _FLOW]

    def make(folder: Path) -> None:
        write_whole(folder / "synthesis.json", json.dumps(asdict(
            synthesise(verilog, top, dsp=dsp))))

    folder, _ = built("synthesis", [verilog, top, str(dsp), *flow, pyosys.__file__], make)
    return Synthesis(**json.loads((folder / "synthesis.json").read_text()))


def placement(netlist: str, part: Part, *, seed: int = 1, freq: float = 150.0,
              progress: Progress | None = None) -> dict[str, Any]:
    """`Placement.json` of one seed, once. Raises `ToolError` when it does not route.

    With nextpnr's own placer and router where they end, which is mostly where a design has little
    block RAM, and within `LIMIT`; else with the static placer and `router2`. (An INT4 systolic
    array of 16x16: 172 MHz so, 140 with the static placer. A W4A8 one was not routed by `router1`
    after 80 minutes.)
    """
    def once(placer: str, router: str, limit: float | None = None) -> dict[str, Any]:
        path = _path(netlist, part, seed, freq, placer, router)
        if not path.exists():
            found = place(netlist, part, seed=seed, freq=freq, placer=placer, router=router,
                          progress=progress, limit=limit)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(found.json()))
        report: dict[str, Any] = json.loads(path.read_text())
        return report

    if spread(netlist):
        return once(*ways(part, netlist))
    usual, other = (PLACERS[0], ROUTERS[0]), (PLACERS[1], ROUTERS[1])
    if not _path(netlist, part, seed, freq, *other).exists():       # else the usual did not end
        try:
            return once(*usual, LIMIT)
        except tools.TimeOver:
            pass
    return once(*other)


def _path(netlist: str, part: Part, seed: int, freq: float, placer: str, router: str) -> Path:
    """Where a placement is kept."""
    parts = [netlist, part.name, str(seed), str(freq), placer, router, tools.version(part.nextpnr)]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    return cache_dir().parent / "placements" / f"{key}.json"
