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
    Pop: `load` picks a bucket; its events then follow one per cycle, the first two edges later,
    with no gap to the next bucket when `load` comes with `last`. `forget` empties a buffer.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "push": In(1),                     #: store an event
            "push_buf": In(1),                 #: buffer it belongs to
            "push_level": In(cfg.level_bits),  #: its level, 1..L
            "push_row": In(cfg.row_bits),      #: its weight row, k // G
            "push_neg": In(1),                 #: its sign
            "fill": Out(cfg.count_bits),       #: events of that level and buffer so far
            "forget": In(2),                   #: empty buffer 0, 1
            "load": In(1),                     #: start on a bucket
            "load_buf": In(1),                 #: ... of this buffer
            "load_level": In(cfg.level_bits),  #: ... and this level
            "last": Out(1),                    #: nothing is left after this cycle's pop
            "valid": Out(1),                   #: an event is at the output
            "row": Out(cfg.row_bits),          #: its weight row
            "neg": Out(1),                     #: its sign
        })

    def elaborate(self, platform):
        m = Module()
        cfg = self.cfg
        buckets = 2 << cfg.level_bits
        index_bits = cfg.bucket_bits
        m.submodules.events = events = Memory(shape=cfg.row_bits + cfg.signed, init=[],
                                              depth=buckets << index_bits)
        # Index of the bucket's newest event; meaningless until the bucket's `used` bit is set,
        # which spares the time to clear it.
        m.submodules.newest = newest = Memory(shape=index_bits, init=[], depth=buckets)
        used = Signal(buckets)

        push_bucket = Cat(self.push_level, self.push_buf)
        push_seen = newest.read_port(domain="comb")
        push_newest = newest.write_port()
        push_event = events.write_port()
        m.d.comb += [
            push_seen.addr.eq(push_bucket),
            self.fill.eq(Mux(used.bit_select(push_bucket, 1), push_seen.data + 1, 0)),
            push_newest.addr.eq(push_bucket),
            push_newest.data.eq(self.fill),
            push_newest.en.eq(self.push),
            push_event.addr.eq(Cat(self.fill[:index_bits], push_bucket)),
            push_event.data.eq(Cat(self.push_row, self.push_neg)[:cfg.row_bits + cfg.signed]),
            push_event.en.eq(self.push),
        ]
        half = 1 << cfg.level_bits
        for bucket in range(buckets):
            with m.If(self.push & (push_bucket == bucket)):
                m.d.sync += used[bucket].eq(1)
            with m.If(self.forget[bucket // half]):
                m.d.sync += used[bucket].eq(0)

        load_bucket = Cat(self.load_level, self.load_buf)
        load_newest = newest.read_port(domain="comb")
        pop_event = events.read_port()
        popped = Signal(cfg.level_bits + 1)       # bucket being popped
        left = Signal(index_bits)      # events left after the current one
        busy = Signal()
        m.d.comb += [
            load_newest.addr.eq(load_bucket),
            self.last.eq(~busy | (left == 0)),
            pop_event.addr.eq(Cat(left, popped)),
            pop_event.en.eq(busy),
            self.row.eq(pop_event.data[:cfg.row_bits]),
        ]
        if cfg.signed:
            m.d.comb += self.neg.eq(pop_event.data[-1])
        m.d.sync += [self.valid.eq(busy), left.eq(left - 1)]
        with m.If(left == 0):
            m.d.sync += busy.eq(0)
        with m.If(self.load):
            m.d.sync += [popped.eq(load_bucket), left.eq(load_newest.data),
                         busy.eq(used.bit_select(load_bucket, 1))]
        return m
