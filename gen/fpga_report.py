"""Tables and JSON of a design placed on an FPGA."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from gen.blocks import OUTSIDE
from gen.design import Design
from gen.place import Placement, Segment

RESOURCES = ("LUT", "FF", "EBR", "DSP", "SPRAM")


def block_table(by_block: Mapping[str, Mapping[str, int]], placement: Placement) -> Table:
    """LUT, FF, EBR and DSP of each block after synthesis; of all after placement; of the part."""
    table = Table(title=f"{placement.part}, seed {placement.seed}", box=None, header_style="bold",
                  title_justify="left")
    table.add_column("block")
    names = [name for name in RESOURCES if name in placement.available
             or any(taken.get(name) for taken in by_block.values())]
    for name in names:
        table.add_column(name, justify="right")
    for block, taken in sorted(by_block.items(), key=lambda item: -item[1]["LUT"]):
        table.add_row("pins, clock, reset" if block == OUTSIDE else block,
                      *(f"{taken.get(name, 0):,}" for name in names))
    total = {name: f"{sum(taken.get(name, 0) for taken in by_block.values()):,}" for name in names}
    placed = {name: f"{count:,}" for name, count in placement.used.items()}
    held = {name: f"{count:,}" for name, count in placement.available.items()}
    share = {name: f"{placement.used[name] / count:.0%}"
             for name, count in placement.available.items() if count}
    for title, values in (("all, after synthesis", total), ("placed", placed),
                          ("the part holds", held), ("used", share)):
        table.add_row(title, *(values.get(name, "") for name in names), style="bold")
    return table


def path_table(placement: Placement) -> Table:
    """The critical path, block by block, with what each block spends in logic and on wires."""
    table = Table(title=f"critical path: {sum(segment.ns for segment in placement.path):.2f} ns, "
                        f"{placement.mhz:.1f} MHz", box=None, header_style="bold",
                  title_justify="left")
    for name in ("block", "from"):
        table.add_column(name)
    for name in ("logic ns", "carry ns", "wire ns", "levels"):
        table.add_column(name, justify="right")
    for pieces in _passages(placement.path):
        spent = {kind: sum(piece.ns for piece in pieces if piece.kind == kind)
                 for kind in ("logic", "carry", "routing", "clk-to-q", "setup")}
        logic = spent["logic"] + spent["clk-to-q"] + spent["setup"]
        levels = sum(piece.kind in ("logic", "carry") for piece in pieces)
        table.add_row(pieces[0].block, short_name(pieces[0].source), f"{logic:.2f}",
                      f"{spent['carry']:.2f}", f"{spent['routing']:.2f}", str(levels))
    return table


def _passages(path: list[Segment]) -> list[list[Segment]]:
    """The path cut where it enters another block."""
    found: list[list[Segment]] = []
    for segment in path:
        if found and found[-1][0].block == segment.block:
            found[-1].append(segment)
        else:
            found.append([segment])
    return found


def short_name(cell: str) -> str:
    """A cell's name without what synthesis appended to the signal's: `dut.array.psum`."""
    return re.sub(r"(_TRELLIS_|_CCU2C_|_LUT4_|_DP16KD_|_MULT18X18D_|_SB_|\$|_DI_|_LSR_|_CE_).*",
                  "", cell) or cell


def tool_versions(placement: Placement) -> dict[str, str]:
    """Versions of everything that the figures depend on."""
    from importlib.metadata import version

    return {"yosys (pyosys)": version("pyosys"), "amaranth": version("amaranth"),
            "amaranth-boards": version("amaranth-boards"), **placement.versions}


def show(console: Console, design: Design, placement: Placement) -> None:
    """Everything that the terminal gets."""
    console.print(block_table(design.by_block, placement))
    console.print()
    console.print(path_table(placement))
    if len(placement.tried) > 1:
        console.print("\nseeds: " + ", ".join(f"{seed}: {mhz:.1f} MHz" for seed, mhz in
                                              sorted(placement.tried.items())), highlight=False)
    console.print("\n" + ", ".join(f"{name} {version}" for name, version in
                                   tool_versions(placement).items())
                  + f", seed {placement.seed}", highlight=False)


def figures(design: Design, placement: Placement) -> dict[str, Any]:
    """The report as plain values."""
    lanes = design.cfg.rows * design.cfg.cols
    return {"board": design.board.name, "clock_mhz": design.mhz, "baud": design.baud,
            "after_synthesis": design.need, "blocks": design.by_block,
            "lut_per_lane": design.need["LUT"] / lanes, "placement": placement.json()}


