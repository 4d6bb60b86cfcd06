"""Registers in memories and multipliers: which move, and that nothing else changes."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from amaranth.lib import wiring

from gen.absorb import absorb
from gen.ecp5 import synthesise
from gen.ecp5_model import model
from gen.netlist import Netlist
from gen.verilog import to_verilog
from hdl.lane import SpikeLane
from hdl.salient_list import SalientList
from spinteger.config import PRESETS
from tb.tops import ColumnTop, IntegerTop

pytestmark = pytest.mark.silicon

TINY = PRESETS["tiny"]
PARTS = {"lane": SpikeLane(TINY), "list": SalientList(TINY), "integer": IntegerTop(TINY),
         "column": ColumnTop(TINY), "odd_row": SpikeLane(TINY.with_(cols=3)),
         "deep": SpikeLane(TINY.with_(cols=1, depth=8192))}


def cells(netlist: str) -> list[dict]:
    """All cells of a flattened netlist."""
    module, = (module for module in json.loads(netlist)["modules"].values()
               if "blackbox" not in module["attributes"])
    return list(module["cells"].values())


def side_by_side(component: wiring.Component, netlist: str, folder: Path,
                 cycles: int = 4000) -> str:
    """Run RTL and netlist on the same random inputs on Icarus, and compare every output in every
    cycle; what the bench says."""
    rtl = to_verilog(component, "rtl")
    ports = Netlist(rtl, "rtl").ports()
    inputs = [(name, port.width) for name, port in ports.items()
              if port.direction == "input" and name not in ("clk", "rst")]
    outputs = [(name, port.width) for name, port in ports.items() if port.direction == "output"]
    lines = ["module bench;", "  reg clk = 0, rst = 1; integer seed = 1, cycle, wrong = 0;"]
    lines += [f"  reg [{width - 1}:0] {name} = 0;" for name, width in inputs]
    for kind in ("rtl", "gate"):
        lines += [f"  wire [{width - 1}:0] {kind}__{name};" for name, width in outputs]
        pins = [".clk(clk)", ".rst(rst)", *(f".{name}({name})" for name, _ in inputs),
                *(f".{name}({kind}__{name})" for name, _ in outputs)]
        lines.append(f"  {kind} {kind} ({', '.join(pins)});")
    lines += [f"  initial for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin",
              "    #1 clk = 1; #1 clk = 0;",
              "    rst = cycle < 2 || $random(seed) % 512 == 0;"]
    for name, width in inputs:
        words = ", ".join(["$random(seed)"] * -(-width // 32))
        lines.append(f"    {name} = {{{words}}};")
    lines.append("    #1;")
    for name, _ in outputs:
        lines += [f"    if (|(rtl__{name} ^ gate__{name}) === 1'b1) begin",   # x: never read
                  f'      if (!wrong) $display("{name} differs in cycle %0d", cycle);',
                  "      wrong = 1;", "    end"]
    lines += ["    if (wrong) $finish;", "  end",
              f'  initial #{3 * cycles + 3} if (!wrong) $display("same");', "endmodule"]
    for name, text in (("rtl.v", rtl), ("gate.v", model(netlist, "gate")),
                       ("bench.v", "\n".join(lines))):
        (folder / name).write_text(text)
    subprocess.run(["iverilog", "-g2012", "-o", "bench", "rtl.v", "gate.v", "bench.v"],
                   cwd=folder, check=True)
    return subprocess.run(["vvp", "bench"], cwd=folder, check=True, capture_output=True,
                          text=True).stdout.splitlines()[0]


def netlist_of(component: wiring.Component) -> str:
    """Synthesised, with all that moves."""
    return synthesise(to_verilog(component, "gate"), "gate").netlist


@pytest.mark.parametrize("name", PARTS)
def test_netlist_and_rtl_cycle_by_cycle(name: str, tmp_path: Path) -> None:
    assert side_by_side(PARTS[name], netlist_of(PARTS[name]), tmp_path) == "same"


@pytest.mark.parametrize("good, bad", [
    ('"REGMODE_B": "OUTREG"', '"REGMODE_B": "NOREG"'),
    ('"REG_OUTPUT_CLK": "CLK0"', '"REG_OUTPUT_CLK": "NONE"'),
    ('"REG_INPUTA_CLK": "CLK0"', '"REG_INPUTA_CLK": "NONE"')])
def test_the_comparison_sees_a_missing_register(good: str, bad: str, tmp_path: Path) -> None:
    netlist = netlist_of(PARTS["integer"])
    assert good in netlist
    assert "differs" in side_by_side(PARTS["integer"], netlist.replace(good, bad), tmp_path)


def test_what_moves() -> None:
    """Both ports of every bank, the lists' read port, all of a lane's multipliers."""
    lane = cells(netlist_of(PARTS["lane"]))
    assert {(cell["parameters"]["REGMODE_A"], cell["parameters"]["REGMODE_B"])
            for cell in lane if cell["type"] == "DP16KD"} == {("OUTREG", "OUTREG")}
    listed = cells(netlist_of(PARTS["list"]))
    assert all("OUTREG" in cell["parameters"].values() for cell in listed
               if cell["type"] == "DP16KD")
    integer = cells(netlist_of(PARTS["integer"]))
    multipliers = [cell["parameters"] for cell in integer if cell["type"] == "MULT18X18D"]
    assert len(multipliers) == TINY.int_lanes * TINY.cols
    assert all(cell["REG_INPUTA_CLK"] == cell["REG_OUTPUT_CLK"] == "CLK0" for cell in multipliers)


#: A memory read into a register, of which one bit goes `{use}`.
MEMORY = """
module gate(input clk, input rst, input en, input other, input [9:0] a, input [17:0] d, input we,
            output reg [17:0] q, output extra);
  reg [17:0] mem [0:1023]; reg [17:0] r;
  always @(posedge clk) if (we) mem[a] <= d;
  always @(posedge clk) if (en) r <= mem[a];
  always @(posedge clk) {use}
  assign extra = {extra};
endmodule
"""


@pytest.mark.parametrize("use, extra, moves", [
    ("if (en) q <= r;", "1'b0", True),
    ("q <= r;", "1'b0", True),
    ("if (other) q <= r;", "1'b0", True),
    ("if (en) q <= r;", "r[3]", False),                        # read beside the register
    ("if (rst) q <= 0; else if (en) q <= r;", "1'b0", False),  # a reset
    ("begin if (en) q[17:1] <= r[17:1]; if (other) q[0] <= r[0]; end", "1'b0", False),
    ("if (en) q <= r ^ 18'd1;", "1'b0", False),                # logic between
])
def test_only_plain_registers_of_one_enable_move(use: str, extra: str, moves: bool) -> None:
    text = MEMORY.replace("{use}", use).replace("{extra}", extra)
    made = cells(synthesise(text, "gate").netlist)
    modes = Counter(mode for cell in made if cell["type"] == "DP16KD"
                    for name, mode in cell["parameters"].items() if name.startswith("REGMODE"))
    assert (modes["OUTREG"] > 0) == moves
    assert sum(cell["type"] == "TRELLIS_FF" for cell in made) == (0 if moves else 18)


def test_absorbing_twice_is_the_same() -> None:
    once = netlist_of(PARTS["integer"])
    assert absorb(once) == once
