"""Output-stationary systolic array as it is usually written: what the tools make of `acc + x * w`.

Not a baseline for any goal of ours. It stands in the table to show what care is worth: the
other arrays here differ from this one by about as much as ours does from them.
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bench.rivals.interface import Shape
from bench.rivals.systolic import Systolic


class PlainElement(wiring.Component):
    """sum += x * w in two's complement; product and sum registered, a drain register behind.

    Draining runs beside the next tile, for a multiplexer per bit.
    """

    def __init__(self, shape: Shape):
        self._shape = shape
        act, wgt, bits = shape.act_bits, shape.wgt_bits, shape.sum_bits
        super().__init__({
            "act": In(act), "act_next": Out(act),       #: x
            "wgt": In(wgt), "wgt_next": Out(wgt),       #: w
            "move": In(1), "move_next": Out(1),         #: the sum is finished: to the drain
            "shift": In(1), "shift_next": Out(1),       #: the drain moves up
            "other": In(signed(bits)),                  #: drain of the PE below
            "sum": Out(signed(bits)),                   #: drain of this one
            "leaves": Out(1),                           #: it has just changed
        })

    def elaborate(self, platform):
        m = Module()
        shape = self._shape
        product = Signal(signed(shape.act_bits + shape.wgt_bits))
        running = Signal.like(self.sum)
        m.d.sync += [
            self.act_next.eq(self.act), self.wgt_next.eq(self.wgt), self.move_next.eq(self.move),
            self.shift_next.eq(self.shift), running.eq(running + product),
            product.eq((self.act.as_signed() if shape.signed else self.act)
                       * self.wgt.as_signed()),
        ]
        with m.If(self.move):
            m.d.sync += [running.eq(0), self.sum.eq(running + product)]
        with m.Elif(self.shift):
            m.d.sync += self.sum.eq(self.other)
        m.d.comb += self.leaves.eq(self.move_next | self.shift_next)
        return m


class PlainSystolic(Systolic):
    """R x C plain PEs. A tile of R tokens x C outputs takes K cycles, and at least 2 R."""

    element = PlainElement
    gap = 0
    upward = True
    latency = 1

    def drain(self, m, last, done):
        left, even = Signal(range(self.shape.rows + 1)), Signal()
        move, shift = Signal(), Signal()
        again = (left != 0) & even
        m.d.comb += done.eq((left == 1) & even)
        m.d.sync += [move.eq(last), shift.eq(again), even.eq(~even)]
        with m.If(again):
            m.d.sync += left.eq(left - 1)
        with m.If(last):
            m.d.sync += [left.eq(self.shape.rows - 1), even.eq(0)]
        return {"move": move, "shift": shift}

    def act_code(self, code: int) -> int:
        return code

    def wgt_code(self, code: int) -> int:
        return code
