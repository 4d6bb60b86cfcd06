"""Registers: the control registers of `isa.REGISTERS`, on a plain port that any bus can drive."""

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.counters import INDEX_BITS
from spinteger import isa
from spinteger.config import Config

#: The counters' registers: from here in the counters' order, the low half of each first.
_COUNTER_BASE = isa.BY_REGISTER[f"{isa.COUNTERS[0]}_low"].address


def error_layout() -> data.StructLayout:
    """When `valid`, a packet failed: `code` (`isa.Error`) says why, `number` which one."""
    return data.StructLayout({"valid": 1, "code": 8, "number": 24})


def fence_layout() -> data.StructLayout:
    """When `valid`, a fence was passed."""
    return data.StructLayout({"valid": 1, "tag": 32})


def among(addr: Value, registers: Iterable[isa.Register], access: str = "rw") -> Value:
    """Whether a byte address is in one of the registers that allow some of `access`."""
    return addr[2:].matches(*(register.address >> 2 for register in registers
                              if set(register.access) & set(access)))


class Registers(wiring.Component):
    """Control, status, errors and counters by byte address; the low two bits do not matter.

    `rdata` follows `addr` by one cycle, and reading changes nothing. An address without a
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
            "rdata": Out(32),                #: what was there one cycle ago
            "irq": Out(1),                   #: an interrupt is pending
            "error": In(error_layout()),     #: a packet failed
            "fence": In(fence_layout()),     #: a fence was passed
            "packets": In(32),               #: packets seen
            "busy": In(1),                   #: something is going on
            "waiting": In(8),                #: packets waiting or running
            "clear_counters": Out(1),        #: to the counters
            "latch": Out(1),                 #: ... copy them
            "counter_index": Out(INDEX_BITS),    #: ... and show this copy, one cycle later
            "counter": In(isa.COUNTER_BITS),     #: the copy
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
        first = Signal(32)                       # code and number, as in the register, if failed
        count = Signal(32)
        with m.If(clear[1]):
            m.d.sync += [failed.eq(0), count.eq(self.error.valid)]
        with m.Elif(self.error.valid):
            m.d.sync += count.eq(count + 1)
        with m.If(self.error.valid):
            m.d.sync += failed.eq(1)
            with m.If(clear[1] | ~failed):
                m.d.sync += first.eq(Cat(self.error.code, self.error.number))

        # Read.
        values = {"id": isa.ID_VALUE, "control": control,
                  "status": Cat(self.busy, self.irq, failed, Const(0, 5), self.waiting),
                  "error": Mux(failed, first, 0), "error_count": count, "packets": self.packets,
                  "fence_tag": fence_tag}
        place = Signal.like(self.addr)           # among the counters' bytes, 8 each
        value = Signal(32)
        is_counter = Signal()
        is_high = Signal()
        m.d.comb += [place.eq(self.addr - _COUNTER_BASE), self.counter_index.eq(place[3:])]
        m.d.sync += [value.eq(0), is_high.eq(place[2]),
                     is_counter.eq((self.addr >= _COUNTER_BASE)
                                   & (place[3:] < len(isa.COUNTERS)))]
        with m.Switch(self.addr[2:]):
            for name, source in values.items():
                with m.Case(isa.BY_REGISTER[name].address >> 2):
                    m.d.sync += value.eq(source)
        m.d.comb += self.rdata.eq(Mux(
            is_counter, Mux(is_high, self.counter[32:], self.counter[:32]), value))
        return m
