"""Write buffer of one weight bank: a row that waits for the bank's second port."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.payloads import row_layout
from spinteger.config import Config


class WriteBuffer(wiring.Component):
    """One row deep. Stores it in the first cycle that the integer lane leaves the port alone.

    Whether the lane reads, or is held up and only asks, is known late in a cycle. So the buffer is
    free for another row in the cycle in which it stores one only if the lane does not even ask.

    Without it a beat would have to find all its banks free at once, which they hardly ever are
    while integer lanes are busy (down-projections: 90 % of the cycles); so each bank finds
    its own cycle. Takes a row per cycle while the port is free; a row is stored one cycle later.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "put": In(1),                     #: take a row; only if `free`
            "put_row": In(row_layout(cfg)),   #: ... these codes
            "put_addr": In(cfg.addr_bits),    #: ... for this bank row
            "free": Out(1),                   #: a row may be put
            "asked": In(1),                   #: the integer lane asks for the port
            "taken": In(1),                   #: ... and uses it in this cycle
            "full": Out(1),                   #: a row waits
            "store": Out(1),                  #: ... and is stored now
            "row": Out(row_layout(cfg)),      #: its codes
            "addr": Out(cfg.addr_bits),       #: its bank row
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.store.eq(self.full & ~self.taken),
                     self.free.eq(~self.full | ~self.asked)]
        with m.If(self.put):
            m.d.sync += [self.full.eq(1), self.row.eq(self.put_row), self.addr.eq(self.put_addr)]
        with m.Elif(self.store):
            m.d.sync += self.full.eq(0)
        return m
