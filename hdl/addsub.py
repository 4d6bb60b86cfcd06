"""Add or subtract: the node of every signed adder tree."""

from amaranth.hdl import Cat, Module, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class AddSub(wiring.Component):
    """y = a - b when `sub`, else a + b, modulo 2^width. Combinational.

    A module of its own, never flattened by the generator, so that synthesis can map it to one
    carry chain whose own inversion does the sign: 1 LUT per bit on ECP5 (gen/ecp5.py), instead
    of the 2 that a generic flow needs for an adder behind a row of XORs.
    """

    def __init__(self, a: Shape, b: Shape, width: int):
        self._width = width
        super().__init__({
            "a": In(a),                #: augend
            "b": In(b),                #: addend, or subtrahend
            "sub": In(1),              #: subtract
            "y": Out(signed(width)),   #: a +- b
        })

    def elaborate(self, platform):
        m = Module()
        # One addition: -b = ~b + 1, and the 1 enters through an extra bit below the last.
        wide_a = Signal(signed(self._width))
        wide_b = Signal(signed(self._width))
        total = Signal(self._width + 1)
        m.d.comb += [
            wide_a.eq(self.a), wide_b.eq(self.b),
            total.eq(Cat(1, wide_a) + Cat(self.sub, wide_b.as_unsigned()
                                          ^ self.sub.replicate(self._width))),
            self.y.eq(total[1:]),
        ]
        return m
