"""Event queue of one lane: a bucket per level, filled by the encoder, popped in time order."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from spinteger.config import Config


class EventQueue(wiring.Component):
    """The spikes of one token that this lane took, bucket-sorted by level; two tokens deep.

    An event is {sign, row}; its level is the bucket it lies in. The largest level is the
    earliest time step (t = L - level), so popping buckets downwards is popping in time order.
    Within a bucket the last event pushed leaves first: their sum has no order. A bucket holds
    all that a lane can get (`Config.bucket_depth`), so a push is never refused.

    Push: one event a cycle, stored at the next edge; `fill` answers to `push_level` at once.
    When a token is complete, a `move` of each level, one a cycle, hands its count over to the
    buffer's and sets `fill` back to 0 (after a reset they are needed once: memories keep their
    content). Pop: `load` picks a bucket; its events then follow one per cycle, the first two
    edges later, with no gap to the next bucket when `load` comes with `last`.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "push": In(1),                     #: store an event
            "push_buf": In(1),                 #: buffer it belongs to
            "push_level": In(cfg.level_bits),  #: its level, 1..L
            "push_row": In(cfg.row_bits),      #: its weight row, k // G
            "push_neg": In(1),                 #: its sign
            "fill": Out(cfg.count_bits),       #: events of that level so far
            "move": In(1),                     #: that level of that buffer is complete
            "load": In(1),                     #: start on a bucket
            "load_buf": In(1),                 #: ... of this buffer
            "load_level": In(cfg.level_bits),  #: ... and this level, 1..L
            "last": Out(1),                    #: nothing is left after this cycle's pop
            "valid": Out(1),                   #: an event is at the output
            "row": Out(cfg.row_bits),          #: its weight row
            "neg": Out(1),                     #: its sign
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        levels = 1 << cfg.level_bits
        m.submodules.events = events = Memory(shape=cfg.row_bits + cfg.signed, init=[],
                                              depth=2 * levels << cfg.bucket_bits)
        m.submodules.filling = filling = Memory(shape=cfg.count_bits, init=[], depth=levels)
        m.submodules.counts = counts = Memory(shape=cfg.count_bits, init=[], depth=2 * levels)

        # Push. The n-th event of a bucket lies at n modulo its depth, so that no subtraction
        # stands between a count and an address.
        push_bucket = Cat(self.push_level, self.push_buf)
        seen, grow = filling.read_port(domain="comb"), filling.write_port()
        keep, store = counts.write_port(), events.write_port()
        grown = Signal(cfg.count_bits)
        m.d.comb += [
            seen.addr.eq(self.push_level), self.fill.eq(seen.data), grown.eq(seen.data + 1),
            grow.addr.eq(self.push_level), grow.data.eq(Mux(self.move, 0, grown)),
            grow.en.eq(self.push | self.move),
            keep.addr.eq(push_bucket), keep.data.eq(seen.data), keep.en.eq(self.move),
            store.addr.eq(Cat(grown[:cfg.bucket_bits], push_bucket)), store.en.eq(self.push),
            store.data.eq(Cat(self.push_row, self.push_neg)[:cfg.row_bits + cfg.signed]),
        ]

        # Pop.
        load_bucket = Cat(self.load_level, self.load_buf)
        count, pop = counts.read_port(domain="comb"), events.read_port()
        popped = Signal(cfg.level_bits + 1)       # bucket being popped
        left = Signal(cfg.count_bits)             # its events, the one being read included
        some = Signal()
        m.d.comb += [
            some.eq(~self.last | left[0]),
            count.addr.eq(load_bucket), self.last.eq(~left[1:].any()),
            pop.addr.eq(Cat(left[:cfg.bucket_bits], popped)), pop.en.eq(some),
            self.row.eq(pop.data[:cfg.row_bits]),
        ]
        if cfg.signed:
            m.d.comb += self.neg.eq(pop.data[-1])
        m.d.sync += [self.valid.eq(some), left.eq(left - 1)]
        with m.If(self.load):
            m.d.sync += [popped.eq(load_bucket), left.eq(count.data)]
        with m.Elif(self.last):
            m.d.sync += left.eq(0)
        return m
