"""The questions that tests ask of generated Verilog are answered right."""

from gen.netlist import Netlist, Port

GOOD = """
module part (input clk, input [3:0] a, input [3:0] b, output reg [7:0] y);
  always @(posedge clk) y <= a * b;
endmodule
module top (input clk, input signed [3:0] a, output [7:0] y, output [7:0] z);
  part one (.clk(clk), .a(a), .b(a), .y(y));
  part two (.clk(clk), .a(a), .b(4'd8), .y(z));
endmodule
"""


def test_ports():
    netlist = Netlist(GOOD, "top")
    assert netlist.ports()["a"] == Port("input", 4, True)
    assert netlist.ports("part")["y"] == Port("output", 8, False)


def test_hierarchy():
    netlist = Netlist(GOOD, "top")
    assert netlist.modules == ["part", "top"]
    assert netlist.instances() == {"top": 1, "part": 2}
    assert netlist.cells("part")["$dff"] == 1


def test_clean_design():
    netlist = Netlist(GOOD, "top")
    assert netlist.latches() == [] and netlist.problems() == []


def test_multipliers():
    assert Netlist(GOOD, "top").multipliers() == {"part": 1}


def test_shift_is_no_multiplier():
    text = "module top (input [3:0] a, output [7:0] y); assign y = a * 8'd4; endmodule"
    assert Netlist(text, "top").multipliers() == {}


def test_latch_found():
    text = "module top (input e, input d, output reg q); always @* if (e) q = d; endmodule"
    assert len(Netlist(text, "top").latches()) == 1


def test_loop_found():
    text = "module top (input a, output b); wire c; assign c = a & b; assign b = ~c; endmodule"
    assert any("logic loop" in line for line in Netlist(text, "top").problems())


def test_loop_through_hierarchy_found():
    text = ("module inv (input a, output y); assign y = ~a; endmodule\n"
            "module top (output y); wire c; inv one (.a(y), .y(c)); inv two (.a(c), .y(y));\n"
            "endmodule")
    assert any("logic loop" in line for line in Netlist(text, "top").problems())


def test_missing_driver_found():
    text = "module top (output b); wire c; assign b = ~c; endmodule"
    assert any("no driver" in line for line in Netlist(text, "top").problems())


def test_two_drivers_found():
    text = "module top (input a, input b, output c); assign c = a; assign c = ~b; endmodule"
    assert any("drivers" in line for line in Netlist(text, "top").problems())
