"""A netlist of ECP5 cells as Verilog that a simulator runs: what synthesis made, cell by cell.

Models of the cells are Yosys' own (`cells_sim.v`); of block RAM and multiplier, which it has none
of, ours (gen/ecp5_cells.v). A LUT4 stays one operator, Yosys' `$lut`, which simulates faster than
the five multiplexers of its model, and is the same by definition.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from gen import yosys

CELLS = Path(__file__).with_name("ecp5_cells.v")
_LUTS = r"""
module LUT4(input A, B, C, D, output Z);
  parameter [15:0] INIT = 16'd0;
  \$lut #(.WIDTH(4), .LUT(INIT)) lut (.A({D, C, B, A}), .Y(Z));
endmodule
module LUT2(input A, B, output Z);
  parameter [3:0] INIT = 4'd0;
  \$lut #(.WIDTH(2), .LUT(INIT)) lut (.A({B, A}), .Y(Z));
endmodule
"""


def model(netlist: str, top: str) -> str:
    """Verilog of a flattened netlist (Yosys JSON): module `top` with its ports, nothing below.

    Raises `YosysError` when there is a cell without a model.
    """
    commands = [
        "read_json netlist.json", "delete t:$scopeinfo", "delete =A:blackbox =A:whitebox",
        "read_verilog -overwrite +/ecp5/cells_sim.v",
        "read_verilog -overwrite ecp5_cells.v", "read_verilog -icells -overwrite luts.v",
        f"hierarchy -check -top {top}", "proc", "flatten", "opt_expr",
        "rename -hide w:* c:* m:*", "opt_clean -purge",     # short names, and fewer of them
        "write_verilog -noattr model.v"]
    files = {"netlist.json": _connected(netlist, top), "ecp5_cells.v": CELLS.read_text(),
             "luts.v": _LUTS}
    made, _ = yosys.run(commands, files, ["model.v"])
    # Writes that never happen keep an undefined address, which Verilator refuses.
    return re.sub(r"\[(\d+)'hx+\]", r"[\1'h0]", _short(made["model.v"]))


#: Memories of zeros, as Yosys writes them: a line for every word.
_ZEROS = re.compile(r"^  initial begin\n((?:    (\S+) \[\d+\] = \d+'h0+;\n"
                    r"(?:    \2 \[\d+\] = \d+'h0+;\n)+))  end\n", re.M)


def _short(verilog: str) -> str:
    """Memories that start as zeros do so in a loop: two thirds of the text of a large machine, and
    most of the time that Verilator takes for it."""
    def loop(found: re.Match[str]) -> str:
        at = [int(place) for place in re.findall(r" \[(\d+)\] = ", found[1])]
        zero = found[1].split(" = ", 1)[1].split(";", 1)[0]
        if sorted(at) != list(range(len(at))):
            return found[0]
        return (f"  initial begin : zeros_{found.start()}\n    integer at;\n"
                f"    for (at = 0; at < {len(at)}; at = at + 1) {found[2]} [at] = {zero};\n"
                "  end\n")

    return _ZEROS.sub(loop, verilog)


def _connected(netlist: str, top: str) -> str:
    """The netlist without outputs that go nowhere: nextpnr wants them there as "x" (gen/carry.py),
    which Yosys takes for a constant that fights the output."""
    design = json.loads(netlist)
    for cell in design["modules"][top]["cells"].values():
        cell["connections"] = {
            pin: bits for pin, bits in cell["connections"].items()
            if bits != ["x"] or cell.get("port_directions", {}).get(pin) != "output"}
    return json.dumps(design)
