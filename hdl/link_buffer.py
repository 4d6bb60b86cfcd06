"""Frame buffer: both directions' bytes in one block RAM."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.link_format import RING_BITS

#: Bits of an entry: a byte and its mark.
ENTRY_BITS = 9


class LinkBuffer(wiring.Component):
    """Two rings of 2^RING_BITS entries, "host" and "board", with a port each that reads or writes.

    What is read follows the address by 2 cycles that do not write.
    """

    def __init__(self):
        super().__init__({
            side: In(wiring.Signature({
                "addr": Out(RING_BITS),     #: entry
                "put": Out(1),              #: write it
                "wdata": Out(ENTRY_BITS),   #: ... this
                "rdata": In(ENTRY_BITS),    #: what is there
            })) for side in ("host", "board")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = Memory(shape=ENTRY_BITS, depth=2 << RING_BITS, init=[])
        for half, side in enumerate((self.host, self.board)):
            write, read = ram.write_port(), ram.read_port()
            addr = Signal(RING_BITS + 1)
            m.d.comb += [addr.eq(Cat(side.addr, Const(half, 1))), write.addr.eq(addr),
                         write.data.eq(side.wdata), write.en.eq(side.put),
                         read.addr.eq(addr), read.en.eq(~side.put)]
            m.d.sync += side.rdata.eq(read.data)    # the block RAM's own output register
        return m
