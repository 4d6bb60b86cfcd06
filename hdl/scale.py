"""Scale: V times a multiplier, shifted left, in DSP blocks."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import SCALE_SHIFT_BITS
from hdl.stages import Stages
from spinteger.config import Config

#: Cycles from the operands to the value.
SCALE_LATENCY = 4
#: Bits of an operand of an ECP5 multiplier.
_PART = 18
#: The multipliers shift by 0..15, a row of choices by the rest.
_FINE = 4


class Scale(wiring.Component):
    """value = (v * mul) << shift in acc_bits, and whether its magnitude does not fit.

    Both products are sums of parts as wide as a multiplier. The shift is a product with a power
    of two: its parts do not overlap, so they need no adder. Operands every cycle, latency 4.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "v": In(signed(cfg.v_bits)),             #: V
            "mul": In(cfg.scale_bits),               #: group scale's multiplier
            "shift": In(SCALE_SHIFT_BITS + 1),       #: left shift of them, one cycle later
            "value": Out(signed(cfg.acc_bits)),      #: scaled, wrapped
            "over": Out(1),                          #: ... the value a cycle ago was, or is lowest
        })

    def elaborate(self, platform):
        m = Module()
        cfg, stages = self.cfg, Stages(m)
        parts = [stages.later(f"product_{index}", part * self.mul)
                 for index, part in enumerate(_parts(self.v))]
        wide = Signal(signed(cfg.v_bits + cfg.scale_bits))
        m.d.comb += wide.eq(sum((part << _PART * index for index, part in enumerate(parts[1:], 1)),
                                parts[0]))
        total = stages.later("total", wide)

        power = Signal(1 << _FINE)
        m.d.comb += power.eq(1 << self.shift[:_FINE])
        power = stages.later("power", power)
        coarse = stages.later("coarse", self.shift[_FINE:], 2)
        shifted = [stages.later(f"shifted_{index}", part * power)
                   for index, part in enumerate(_parts(total))]
        bits, step = cfg.acc_bits, 1 << _FINE
        wide = Signal(signed(max(len(total) + step - 1, bits + 1)))
        m.d.comb += wide.eq(_joined(shifted))
        middle, far = coarse[0], coarse[1:].any()        # 16 or more, 32 or more
        value = Cat(stages.gated("value_low", wide[:step], coarse == 0),
                    stages.gated("value_high", Mux(middle, wide[:bits - step], wide[step:bits]),
                                 ~far))

        # What is shifted out, and the sign, must be copies of one bit. The most negative value
        # has no magnitude.
        cuts = (0, bits - 1 - step, bits - 1, len(wide))
        pieces = [wide[low:high] for low, high in zip(cuts, cuts[1:], strict=False)]
        ones = [stages.later(f"ones_{index}", piece.all()) for index, piece in enumerate(pieces)]
        zeros = [stages.later(f"zeros_{index}", ~piece.any()) for index, piece in enumerate(pieces)]
        middle, far = stages.later("middle", middle), stages.later("far", far)
        lowest = value[-1] & zeros[0] & (middle | zeros[1])
        fits = Mux(far, Cat(zeros).all(), Mux(
            middle, Cat(ones[1:]).all() | Cat(zeros[1:]).all(), ones[2] | zeros[2]))
        m.d.sync += self.over.eq(~fits | lowest)
        m.d.comb += self.value.eq(value)
        return m


def _parts(value: Value) -> list[Value]:
    """A signed value in pieces of 18 bits, all but the last unsigned."""
    cuts = range(0, len(value), _PART)
    return [value[low:low + _PART].as_signed() if low + _PART >= len(value)
            else value[low:low + _PART] for low in cuts]


def _joined(parts: list[Value]) -> Value:
    """The pieces, each shifted left by up to 15, as one value. They do not overlap."""
    total: Value = Const(0)
    for index, part in enumerate(parts):
        total = total | (part << _PART * index)
    return total
