"""Results for the host: the machine's output and registers' values into the board's ring."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.link_buffer import ENTRY_BITS
from hdl.link_format import OFFSET_BITS, PIECE_BITS, RING_BITS, identity
from hdl.packets import output_layout
from hdl.select import one_hot_or
from spinteger.config import Config


class LinkResults(wiring.Component):
    """Beats as bytes, low ones first; a mark, 0, behind each with `last`. Registers' values as
    four bytes, then a mark, 1; they come between beats.

    A byte every 4 cycles, so that the ring can be read meanwhile; none while the host has yet to
    acknowledge what fills the ring.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "beats": In(stream.Signature(output_layout(cfg))),   #: the machine's output
            "read": In(1),                 #: send a register's value
            "identity": In(1),             #: ... or this board's identity instead
            "rdata": In(32),               #: ... the register
            "taken": Out(1),               #: ... sent
            "base": In(RING_BITS),         #: the ring is in use from here
            "wr": Out(OFFSET_BITS),        #: ... to here, where is written next
            "put": Out(1),                 #: write
            "entry": Out(ENTRY_BITS),      #: ... this
        })

    def elaborate(self, platform):
        m = Module()
        cfg, beat = self.cfg, self.beats.payload
        size = cfg.bus_bits // 8
        busy = Signal()
        is_value = Signal()
        mark = Signal()             # all bytes are written, the mark is next
        place = Signal(size + 4)    # the next byte, one-hot: those of a beat, those of a value
        start = Signal()
        final = Signal()
        phase = Signal(2)
        full = Signal()
        value = Signal(32, init=identity(cfg))
        piece = slice(PIECE_BITS, RING_BITS)
        m.d.sync += [phase.eq(phase + 1), full.eq(
            (self.wr[piece] + 1)[:RING_BITS - PIECE_BITS] == self.base[piece])]
        byte = one_hot_or([Cat(beat.data, value)[at:at + 8]
                           for at in range(0, cfg.bus_bits + 32, 8)], place)
        m.d.comb += [
            start.eq(~busy & (self.read | self.beats.valid)),
            self.put.eq(busy & (phase == 3) & ~full), final.eq(place[size - 1] | place[-1]),
            self.entry.eq(Cat(byte[0] | (mark & is_value), byte[1:], mark)),
        ]
        with m.If(start):
            m.d.sync += [busy.eq(1), is_value.eq(self.read), mark.eq(0)]
        with m.If(~busy):
            m.d.sync += value.eq(self.rdata)
        with m.If(~busy & self.identity):       # like this it is the registers' own reset
            m.d.sync += value.eq(identity(cfg))
        with m.If(start | self.put):
            m.d.sync += place.eq(Cat(start & ~self.read, place[:size - 1], start & self.read,
                                     place[size:]))
        with m.If(self.put):
            m.d.sync += self.wr.eq(self.wr + 1)
            with m.If(mark | (final & ~is_value & ~beat.last)):
                m.d.sync += busy.eq(0)
                m.d.comb += [self.taken.eq(is_value), self.beats.ready.eq(~is_value)]
            with m.Elif(final):
                m.d.sync += mark.eq(1)
        return m
