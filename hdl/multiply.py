"""Products without a multiplier: by a constant, or one bit per cycle."""

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def times(value: Value, constant: int) -> Value:
    """value * constant, as a sum of shifted values: never a multiplier of the FPGA."""
    terms = [value << bit for bit in range(constant.bit_length()) if constant >> bit & 1]
    total: Value = Const(0)
    for term in terms:
        total = total + term
    return total[:max(1, (((1 << len(value)) - 1) * constant).bit_length())]


class Multiplier(wiring.Component):
    """An unsigned product, one bit of `b` per cycle.

    `busy` goes up the cycle after `start` and stays for `b_bits` cycles; then `product` holds
    until the next `start`. `a` must not change meanwhile.
    """

    def __init__(self, a_bits: int, b_bits: int):
        super().__init__({
            "start": In(1),                    #: multiply
            "a": In(a_bits),                   #: this
            "b": In(b_bits),                   #: ... by this, with `start`
            "busy": Out(1),                    #: the product is not complete
            "product": Out(a_bits + b_bits),   #: a * b
        })

    def elaborate(self, platform):
        m = Module()
        left = Signal(range(len(self.b) + 1))
        bits = Signal.like(self.b)             # still to be multiplied by, highest first
        m.d.comb += self.busy.eq(left != 0)
        with m.If(self.busy):
            m.d.sync += [
                left.eq(left - 1), bits.eq(bits << 1),
                self.product.eq((self.product << 1) + (self.a & bits[-1].replicate(len(self.a)))),
            ]
        with m.If(self.start):
            m.d.sync += [left.eq(len(self.b)), bits.eq(self.b), self.product.eq(0)]
        return m
