"""Add one of two operands: the adder of every accumulator that has two sources."""

from amaranth.hdl import Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class AddSelect(wiring.Component):
    """y = a + b when `sel`, else a + c, modulo 2^width. Combinational.

    A module of its own, never flattened by the generator, so that synthesis can map it to one
    carry chain that selects in its own LUTs: 1 LUT per bit on ECP5 (gen/chains.py), instead of
    the 2 that a generic flow needs for an adder behind a multiplexer.
    """

    def __init__(self, a: Shape, b: Shape, c: Shape, width: int):
        self._width = width
        super().__init__({
            "a": In(a),                #: augend
            "b": In(b),                #: addend if `sel`
            "c": In(c),                #: ... if not
            "sel": In(1),
            "y": Out(signed(width)),   #: their sum
        })

    def elaborate(self, platform):
        m = Module()
        addend = Signal(signed(self._width))
        m.d.comb += [addend.eq(Mux(self.sel, self.b, self.c)), self.y.eq(self.a + addend)]
        return m
