"""Constructs that the layout of the Verilog once got wrong, each as small as it can be."""

from pathlib import Path

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gen.verilog import to_verilog
from tests.gen import designs


class TwoInOneState(wiring.Component):
    """Two registers that are written in one state only: they share a block, and a case label."""

    def __init__(self):
        super().__init__({"go": In(1), "a": Out(4), "b": Out(4)})

    def elaborate(self, platform):
        m = Module()
        with m.FSM():
            with m.State("first"):
                with m.If(self.go):
                    m.next = "second"
            with m.State("second"):
                m.d.sync += [self.a.eq(5), self.b.eq(self.a + 1)]
                m.next = "third"
            with m.State("third"):
                m.next = "first"
        return m


class ConstantBit(wiring.Component):
    """One signal of which some bits depend on an input, and one turns out not to."""

    def __init__(self):
        super().__init__({"x": In(2), "y": Out(3)})

    def elaborate(self, platform):
        m = Module()
        never = Signal()
        y = Signal(3)
        with m.If(self.x[0]):
            m.d.comb += y[0].eq(1)
        with m.Elif(never):
            m.d.comb += y[1].eq(1)
        with m.Else():
            m.d.comb += y[2].eq(1)
        m.d.comb += self.y.eq(y)
        return m


def test_registers_written_in_one_state(tmp_path: Path) -> None:
    bench = """module bench;
      reg clk = 1'b0; wire [3:0] a, b;
      top dut (.clk(clk), .rst(1'b0), .go(1'b1), .a(a), .b(b));
      integer i;
      initial begin
        for (i = 0; i < 10; i = i + 1) begin #1 clk = 1'b1; #1 clk = 1'b0; end
        $display("%d %d", a, b);
      end
    endmodule"""
    verilog = to_verilog(TwoInOneState(), "top")
    assert designs.icarus(tmp_path, verilog, bench, "2005").split() == ["5", "6"]


def test_constant_bits_are_known(tmp_path: Path) -> None:
    bench = """module bench;
      wire [2:0] y;
      top dut (.x(2'b10), .y(y));
      initial #1 $display("%b", y);
    endmodule"""
    verilog = to_verilog(ConstantBit(), "top")
    assert designs.icarus(tmp_path, verilog, bench, "2005").split() == ["100"]
