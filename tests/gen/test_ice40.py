"""iCE40 synthesis: the host link's buffer fits block RAM, and is still the same."""

import json

import pytest

from gen import yosys
from gen.blocks import Hierarchy, takes
from gen.ice40 import split_buffer, synthesise
from gen.verilog import to_verilog
from hdl.link_buffer import LinkBuffer

pytestmark = pytest.mark.silicon

#: The buffer as a submodule, for the flow looks for it by name.
AROUND = """
module top(input clk, input rst, input [9:0] ha, input hp, input [8:0] hw, output [8:0] hr,
           input [9:0] ba, input bp, input [8:0] bw, output [8:0] br);
  spinteger_link_buffer b(.clk(clk), .rst(rst), .host__addr(ha), .host__put(hp), .host__wdata(hw),
    .host__rdata(hr), .board__addr(ba), .board__put(bp), .board__wdata(bw), .board__rdata(br));
endmodule
"""


@pytest.fixture(scope="module")
def buffer() -> str:
    return to_verilog(LinkBuffer(), "spinteger_link_buffer")


def test_the_buffer_is_block_ram(buffer: str) -> None:
    counts = Hierarchy(synthesise(buffer + AROUND, "top"), "top").counts
    taken = [takes(count, "ice40") for count in counts.values()]
    assert sum(one["EBR"] for one in taken) == 6        # 9 bits of 1024 words, twice
    assert sum(one["LUT"] for one in taken) < 100


def test_two_memories_do_what_one_does(buffer: str) -> None:
    """Simulated by Yosys side by side, on pseudo-random traffic."""
    gold = buffer.replace("spinteger_link_buffer", "gold")
    gate = split_buffer(buffer).replace("spinteger_link_buffer", "gate")
    assert "ring" in gate and "ring" not in gold
    instance = ("(.clk(clk), .rst(rst), .host__addr(x[3:0]), .host__put(x[4]), "
                ".host__wdata(x[13:5]), .board__addr(x[17:14]), .board__put(x[18]), "
                ".board__wdata(x[27:19]), .host__rdata({0}h), .board__rdata({0}b));\n")
    bench = ("module bench(input clk, output reg bad = 0);\n"
             "  reg [31:0] x = 1; reg [9:0] n = 0; wire rst = n[9:4] == 0 || n[6:0] == 5;\n"
             "  wire [8:0] gh, gb, th, tb;\n"
             f"  gold g{instance.format('g')}  gate t{instance.format('t')}"
             "  wire seen = n > 100;\n"
             "  always @(posedge clk) begin\n"
             "    x <= {x[30:0], x[31] ^ x[21] ^ x[1] ^ x[0]} ^ (x << 5 & 32'h5a5a5a00);\n"
             "    n <= n + 1;\n"
             "    if (seen && {gh, gb} !== {th, tb}) bad <= 1;\n"
             "  end\nendmodule\n")
    files, _ = yosys.run(["read_verilog all.v", "hierarchy -top bench", "proc", "flatten",
                          "memory_collect", "memory_nordff", "opt_clean",
                          "sim -clock clk -n 1000 -zinit -w", "write_json out.json"],
                         {"all.v": gold + gate + bench}, ["out.json"])
    bench_module = json.loads(files["out.json"])["modules"]["bench"]
    wires = bench_module["netnames"]
    assert int(wires["n"]["attributes"]["init"], 2) > 100      # it ran
    assert int(wires["bad"]["attributes"]["init"], 2) == 0


def test_other_designs_are_left_alone() -> None:
    assert split_buffer("module spinteger(input a);\nendmodule\n") == \
        "module spinteger(input a);\nendmodule\n"
