"""A row of add-subtracts: all nodes of one stage of a signed adder tree."""

from amaranth.hdl import Module, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.addsub import AddSub


class AddSubRow(wiring.Component):
    """y[i] = a[i] - b[i] where sub[i], else a[i] + b[i]; one bit wider, so always exact.

    Combinational. A module of its own for the reason that `AddSub` is one: on ECP5 all of them
    share one carry chain (gen/chains.py), which saves what every chain costs at its ends.
    """

    def __init__(self, width: int, count: int):
        self._count = count
        operands = data.ArrayLayout(signed(width), count)
        super().__init__({
            "a": In(operands),         #: augends
            "b": In(operands),         #: addends, or subtrahends
            "sub": In(count),          #: subtract
            "y": Out(data.ArrayLayout(signed(width + 1), count)),    #: a +- b
        })

    def elaborate(self, platform):
        m = Module()
        for number in range(self._count):
            m.submodules[f"add_{number}"] = add = AddSub(
                self.a[number].shape(), self.b[number].shape(), self.y[number].shape().width)
            m.d.comb += [add.a.eq(self.a[number]), add.b.eq(self.b[number]),
                         add.sub.eq(self.sub[number]), self.y[number].eq(add.y)]
        return m
