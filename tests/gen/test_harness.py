"""The harness: every port is registered, and no output can be optimised away."""

import pytest

from gen.blocks import OUTSIDE, Hierarchy, takes
from gen.ecp5 import synthesise
from gen.harness import HARNESS, HeaderPort, harness, header_ports

OLD_STYLE = """
module spinteger(clk, en, a);
endmodule
"""
ADDER = """
module spinteger_add (input wire clk, input wire rst, input wire [3:0] a, // first
    input wire signed [3:0] b, output reg signed [4:0] y, output wire odd);
  always @(posedge clk) y <= rst ? 0 : a + b;
  assign odd = a[0] ^ b[0];
endmodule
"""


def test_ports_come_from_the_header() -> None:
    assert header_ports(ADDER, "spinteger_add") == [
        HeaderPort("clk", "input", 1), HeaderPort("rst", "input", 1), HeaderPort("a", "input", 4),
        HeaderPort("b", "input", 4), HeaderPort("y", "output", 5), HeaderPort("odd", "output", 1)]


@pytest.mark.parametrize("module, words", [
    ("spinteger_ad", "no module"), ("spinteger", "cannot read its ports")])
def test_unreadable_headers_are_refused(module: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        header_ports(ADDER + OLD_STYLE, module)


def test_a_design_without_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="no output"):
        harness("module quiet(input clk, input [1:0] a);\nendmodule\n", "quiet")


def test_a_register_per_port_bit_and_all_outputs_fold_to_one() -> None:
    netlist = synthesise(f"{ADDER}\n{harness(ADDER, 'spinteger_add')}", HARNESS).netlist
    counts = Hierarchy(netlist, HARNESS, root="spinteger_add").counts
    # 8 inputs, 6 outputs, folded to 2 and to 1.
    assert takes(counts[OUTSIDE], "ecp5")["FF"] == 8 + 6 + 2 + 1
    inside, = (counts[block] for block in counts if block != OUTSIDE)
    assert takes(inside, "ecp5")["FF"] == 5
