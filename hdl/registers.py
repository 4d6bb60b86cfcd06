"""Registers: the control registers of `isa.REGISTERS`, on a plain port that any bus can drive."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.counters import ADDR_BITS
from hdl.packets import NUMBER_BITS
from spinteger import isa
from spinteger.config import Config

#: The counters' words: from here to the end, in the counters' order, the low half first.
_COUNTER_BASE = isa.BY_REGISTER[f"{isa.COUNTERS[0]}_low"].address
assert _COUNTER_BASE == 4 << ADDR_BITS and isa.REGISTER_ADDR_BITS == ADDR_BITS + 3
#: Bits of an error's code that can be set.
_CODE_BITS = max(isa.Error).bit_length()


def error_layout() -> data.StructLayout:
    """When `valid`, a packet failed: `code` (`isa.Error`) says why, `number` which one."""
    return data.StructLayout({"valid": 1, "code": 8, "number": NUMBER_BITS})


def fence_layout() -> data.StructLayout:
    """When `valid`, a fence was passed."""
    return data.StructLayout({"valid": 1, "tag": 32})


def among(addr: Value, registers: Iterable[isa.Register], access: str = "rw") -> Value:
    """Whether a byte address is in one of the registers that allow some of `access`."""
    return addr[2:].matches(*(register.address >> 2 for register in registers
                              if set(register.access) & set(access)))


class Registers(wiring.Component):
    """Control, status, errors and counters by byte address; the low two bits do not matter.

    `rdata` follows `addr` by two cycles, and reading changes nothing. An address without a
    register reads 0; so does a register that can only be written. Writes act in their cycle; to
    other registers they do nothing.

    What happens in the cycle in which it is cleared wins: no error and no interrupt is lost.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "addr": In(isa.REGISTER_ADDR_BITS),    #: byte address
            "write": In(1),                  #: write `wdata` there
            "wdata": In(32),                 #: what to write
            "rdata": Out(32),                #: what was there, two cycles later
            "irq": Out(1),                   #: an interrupt is pending
            "error": In(error_layout()),     #: a packet failed
            "fence": In(fence_layout()),     #: a fence was passed
            "packets": In(NUMBER_BITS),      #: packets seen
            "busy": In(1),                   #: something is going on
            "waiting": In(8),                #: packets waiting or running
            "clear_counters": Out(1),        #: to the counters
            "latch": Out(1),                 #: ... copy them
            "copying": In(1),                #: ... which is not complete yet
            "counter_addr": Out(ADDR_BITS),  #: ... and show this word of the copy,
            "counter": In(32),               #: two cycles later; 0 past the last one
        })

    def elaborate(self, platform):
        m = Module()

        def written(name: str) -> Value:
            return self.write & among(self.addr, [isa.BY_REGISTER[name]])

        clear = Signal(3)
        with m.If(written("clear")):
            m.d.comb += clear.eq(self.wdata)
        m.d.comb += [self.clear_counters.eq(clear[2]), self.latch.eq(written("latch"))]

        # Interrupts: pending from the event until cleared.
        control = Signal(2)
        with m.If(written("control")):
            m.d.sync += control.eq(self.wdata)
        with m.If((Cat(self.fence.valid, self.error.valid) & control).any()):
            m.d.sync += self.irq.eq(1)
        with m.Elif(clear[0]):
            m.d.sync += self.irq.eq(0)
        fence_tag = Signal(32)
        with m.If(self.fence.valid):
            m.d.sync += fence_tag.eq(self.fence.tag)

        # The first error, and how many there were.
        failed = Signal()
        first = Signal(8 + NUMBER_BITS)          # code and number, as in the register
        count = Signal(isa.ERROR_COUNT_BITS)
        with m.If(self.error.valid):
            m.d.sync += [failed.eq(1), count.eq(count + 1)]
        with m.If(clear[1]):
            m.d.sync += [failed.eq(self.error.valid), count.eq(self.error.valid)]
        with m.If(clear[1] & ~self.error.valid):
            m.d.sync += first.eq(0)
        with m.Elif(clear[1] | (self.error.valid & ~failed)):
            m.d.sync += first.eq(Cat(self.error.code[:_CODE_BITS], Const(0, 8 - _CODE_BITS),
                                     self.error.number))

        # Read, one cycle after the address. A counter's address leaves the others unselected,
        # and all other addresses show the last word of the copy, which is 0.
        values = {"id": Const(isa.ID_VALUE, 32), "control": control,
                  "status": Cat(self.busy, self.irq, failed, Const(0, 5), self.waiting),
                  "error": first, "error_count": count, "packets": self.packets,
                  "fence_tag": fence_tag, "latch": self.copying}
        is_counter = self.addr[-1]
        m.d.comb += self.counter_addr.eq(self.addr[2:-1] | ~is_counter.replicate(ADDR_BITS))
        gated = []
        for name, source in values.items():
            selected = Signal(name=f"selected_{name}")
            m.d.sync += selected.eq(among(self.addr, [isa.BY_REGISTER[name]]))
            gated.append(source & selected.replicate(len(source)))
        value = Signal(32)
        m.d.sync += value.eq(reduce(or_, gated))
        m.d.comb += self.rdata.eq(self.counter | value)
        return m
