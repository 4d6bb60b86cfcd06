"""Products without a multiplier: by a constant, or one bit per cycle."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
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
        # The product's upper part grows while `b` leaves below it, lowest bit first.
        upper = Signal(len(self.a))
        lower = Signal(len(self.b))
        m.d.comb += [self.busy.eq(left != 0), self.product.eq(Cat(lower, upper))]
        with m.If(self.busy):
            m.d.sync += [left.eq(left - 1), Cat(lower, upper).eq(
                Cat(lower[1:], upper + (self.a & lower[0].replicate(len(self.a)))))]
        with m.If(self.start):
            m.d.sync += [left.eq(len(self.b)), lower.eq(self.b), upper.eq(0)]
        return m
