"""A block memory as ECP5 has it fastest: a read port with a register behind it."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from bench.rivals.interface import bits_for


class Store(wiring.Component):
    """One write port, one read port. Latency `STORE_LATENCY` (2) cycles.

    Without `en` nothing is read, and the output holds two cycles later. Without `move` the
    register behind the port waits.
    """

    def __init__(self, width: int, depth: int):
        self._width, self._depth = width, depth
        super().__init__({
            "write": In(1),                     #: store
            "write_addr": In(bits_for(depth)),  #: ... here
            "write_data": In(width),            #: ... this
            "en": In(1),                        #: read
            "move": In(1, init=1),              #: move the output
            "addr": In(bits_for(depth)),        #: ... from here
            "data": Out(width),                 #: what was read two cycles before
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=self._width, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [write.en.eq(self.write), write.addr.eq(self.write_addr),
                     write.data.eq(self.write_data), read.en.eq(self.en),
                     read.addr.eq(self.addr)]
        held = Signal(self._width, reset_less=True)         # moves into the block memory
        with m.If(self.move):
            m.d.sync += held.eq(read.data)
        m.d.comb += self.data.eq(held)
        return m


#: Cycles from an address to the data.
STORE_LATENCY = 2
