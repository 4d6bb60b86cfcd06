"""iCE40 synthesis: Yosys' own flow, with multipliers and the UltraPlus' large RAMs.

A block RAM of iCE40 has one port to write and one to read. The host link's buffer writes through
two ports, one for each of its rings, which Yosys would build from 18,000 registers; so it becomes
two memories here, one for each ring (checked by tests/gen/test_ice40.py).
"""

from __future__ import annotations

import re

from gen import yosys
from gen.harness import header_ports

#: The module that is replaced, without the design's name in front, and its two sides.
BUFFER, SIDES = "link_buffer", ("host", "board")


def ring(side: str, address_bits: int, bits: int) -> str:
    """Verilog of one ring: as in hdl/link_buffer.py, with a memory of its own."""
    return f"""
  reg [{bits - 1}:0] {side}_ring [0:{(1 << address_bits) - 1}];
  reg [{bits - 1}:0] {side}_read;
  always @(posedge clk) begin
    if ({side}__put) {side}_ring[{side}__addr] <= {side}__wdata;
    else {side}_read <= {side}_ring[{side}__addr];
    {side}__rdata <= rst ? {bits}'d0 : {side}_read;
  end"""


def split_buffer(verilog: str) -> str:
    """The design with the host link's buffer as two memories; without one, as it was."""
    match = re.search(rf"^module (\w+_{BUFFER}) ?\(.*?^endmodule$", verilog, re.M | re.S)
    if match is None:
        return verilog
    ports = {port.name: port for port in header_ports(verilog, match[1])}
    declared = ", ".join(
        f"{port.direction} {'reg ' * port.name.endswith('__rdata')}"
        + (f"[{port.width - 1}:0] " if port.width > 1 else "") + port.name
        for port in ports.values())
    rings = "".join(ring(side, ports[f"{side}__addr"].width, ports[f"{side}__wdata"].width)
                    for side in SIDES)
    return (f"{verilog[:match.start()]}module {match[1]}({declared});{rings}\nendmodule"
            f"{verilog[match.end():]}")


def synthesise(verilog: str, top: str) -> str:
    """The design flattened, as JSON for nextpnr; its `$scopeinfo` cells say what came from where.

    Flattened first: a tenth smaller, and what fits these parts is small enough. Raises
    `yosys.YosysError`.
    """
    files, _ = yosys.run(["read_verilog -icells design.v", f"synth_ice40 -top {top} -dsp -spram",
                          "opt_clean", "write_json netlist.json"],
                         {"design.v": split_buffer(verilog)}, ["netlist.json"])
    return files["netlist.json"]
