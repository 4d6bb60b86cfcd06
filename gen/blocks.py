"""Which block of the machine a piece of it belongs to: by module, and by cell of a netlist.

Tables of area and critical paths name blocks, not cells. A block is a submodule of the machine or
of its array; what stands between them is glue.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from gen.verilog import TOP

COLUMN = "column data path"
GLUE = "control pipeline, ports"
#: What a netlist holds beside the design itself: its harness, or a board's pins and PLL.
OUTSIDE = "outside of the machine"

#: Submodule -> the block it is counted in.
BLOCKS = {
    "column_bank": COLUMN, "weight_bank": "spike lanes (address, bank, gating)",
    "event_queue": "event queues", "encoder": "encoder, balancer",
    "act_arbiter": "encoder, balancer",
    "act_queue": "encoder, balancer",
    "recorder": "recorder, trains, player", "trains": "recorder, trains, player",
    "player": "recorder, trains, player", "walk": "recorder, trains, player",
    "salient_list": "integer lanes, lists", "integer_unit": "integer lanes, lists",
    "if_bank": "IF bank (drain, sums, firing, chain)",
    "frontend": "front end (packets, checks, loads)", "counters": "counters, registers",
    "registers": "counters, registers", "link": "host link (UART)", "uart": "host link (UART)",
}
#: Submodules that are opened: their own submodules are the blocks.
OPENED = ("serial_top", "axi_machine", "wishbone_machine", "machine", "hybrid_array")


def opened(stem: str) -> bool:
    """Whether a module, named without the design's name in front, is only a frame for others."""
    return any(re.fullmatch(rf"{name}(_\d+)?", stem) for name in OPENED)


def block_of(stem: str, table: Mapping[str, str] = BLOCKS) -> str:
    """The block of a module, named without the design's name in front; glue when it has none."""
    matches = [name for name in table if stem == name or stem.startswith(f"{name}_")]
    return table[max(matches, key=len)] if matches else GLUE


#: Follows the type of an iCE40 register that no LUT's output goes to alone: it takes a LUT's place.
LONE = " alone"
#: What a cell takes, by family: resource and how many of it.
TAKES = {
    "ecp5": {"LUT4": ("LUT", 1), "CCU2C": ("LUT", 2), "TRELLIS_DPR16X4": ("LUT", 6),
             "TRELLIS_FF": ("FF", 1), "DP16KD": ("EBR", 1), "PDPW16KD": ("EBR", 1),
             "MULT18X18D": ("DSP", 1)},
    "ice40": {"SB_LUT4": ("LUT", 1), "SB_RAM40_4K": ("EBR", 1), "SB_MAC16": ("DSP", 1),
              "SB_SPRAM256KA": ("SPRAM", 1)},
}


def takes(counts: Mapping[str, int], family: str) -> dict[str, int]:
    """LUT, FF, EBR, DSP of so many cells by type. Pads, clocks and unknown cells take nothing."""
    found = dict.fromkeys(("LUT", "FF", "EBR", "DSP"), 0)
    for kind, count in counts.items():
        if kind.startswith("SB_DFF"):
            found["FF"] += count
            found["LUT"] += count * kind.endswith(LONE)
        elif kind in TAKES[family]:
            name, each = TAKES[family][kind]
            found[name] = found.get(name, 0) + each * count
    return found


class Hierarchy:
    """The cells of a flattened netlist (Yosys JSON with `$scopeinfo`), by block.

    `root`: the design's module, whose submodules are named `<root>_<stem>`. `table`: as `BLOCKS`;
    an empty one makes every submodule of the design a block of its own name.
    """

    def __init__(self, netlist: str, top: str, root: str = TOP,
                 table: Mapping[str, str] = BLOCKS):
        self.root, self.table = root, table
        module = json.loads(netlist)["modules"][top]
        self.types: dict[str, str] = {name: cell["type"] for name, cell in module["cells"].items()
                                      if cell["type"] != "$scopeinfo"}
        for name in _lone(module["cells"]):
            self.types[name] += LONE
        self._modules: dict[str, str] = {
            name: cell["attributes"].get("module", "") for name, cell in module["cells"].items()
            if cell["type"] == "$scopeinfo"}
        self._blocks: dict[str, str] = {}
        self._inside = top == root

    def of(self, cell: str) -> str:
        """The block of a cell, by its name in the netlist or after placement."""
        inside, path = self._inside, ""
        for piece in cell.split(".")[:-1]:
            path = f"{path}.{piece}" if path else piece
            module = self._modules.get(path)
            if module is None:
                continue
            if module == self.root:
                inside = True
            elif inside:
                stem = module.removeprefix(f"{self.root}_")
                if not self.table:
                    return stem
                if not opened(stem):
                    return block_of(stem, self.table)
        return GLUE if inside else OUTSIDE

    @cached_property
    def counts(self) -> dict[str, Counter[str]]:
        """Cells by block and type."""
        found: dict[str, Counter[str]] = {}
        for name, kind in self.types.items():
            found.setdefault(self.of(name), Counter())[kind] += 1
        return found


def _lone(cells: Mapping[str, Any]) -> list[str]:
    """Registers of iCE40 that cannot share a logic cell with the LUT before them."""
    registers = [name for name, cell in cells.items() if cell["type"].startswith("SB_DFF")]
    if not registers:
        return []
    users: Counter[int | str] = Counter()
    made = set()
    for cell in cells.values():
        for port, bits in cell["connections"].items():
            if cell["type"] == "SB_LUT4" and port == "O":
                made.update(bits)
            elif cell.get("port_directions", {}).get(port) == "input":
                users.update(bits)
    return [name for name in registers
            if not all(bit in made and users[bit] == 1 for bit in cells[name]["connections"]["D"])]
