"""Row maps: walks through the bit maps of a sparse load, and through all rows of a dense one."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.load_layout import map_step
from spinteger.config import Config

#: Inputs per bit map of a sparse load.
MAP_BITS = 32


class RowMaps(wiring.Component):
    """Says in which group the next weight row belongs, and when a bank row is complete.

    Of a map `map_step` bits are looked at together, lowest first. A step without a named row
    takes a cycle in which no beat is wanted (`empty`), the others as many as they have rows.
    """

    def __init__(self, cfg: Config):
        self.cfg = cfg
        super().__init__({
            "sparse": In(1),             #: it has bit maps
            "map": In(MAP_BITS),         #: the beat, if it is a map
            "put": In(1),                #: ... which it is: take it
            "next": In(1),               #: the row in `group` came
            "start": In(1),              #: a new load
            "drop": In(1),               #: it starts, or a tile ends: forget the rest of the map
            "wanted": Out(1),            #: the next beat is a map
            "empty": Out(1),             #: no beat is wanted in this cycle
            "group": Out(cfg.group_bits),    #: the next row's group; the first of a dense beat
            "row_ends": Out(1),          #: ... with it, or with this empty step, the bank row ends
            "skipped": Out(range(map_step(cfg) + 1)),    #: rows left out, in the cycle before
        })

    def elaborate(self, platform):
        m = Module()
        cfg, step = self.cfg, map_step(self.cfg)
        named = Signal(MAP_BITS)         # rows that are still to come, from this step on
        left = Signal(range(MAP_BITS // step))       # steps of the map after this one
        base = Signal(cfg.group_bits)    # the step's first group
        came = Signal(range(step + 1))   # rows of this step
        now = named[:step]
        rest = Cat(now[bit] & now[:bit].any() for bit in range(step))    # without the lowest
        at = Signal(range(max(2, step)))             # the lowest
        for bit in reversed(range(step)):
            with m.If(now[bit]):
                m.d.comb += at.eq(bit)

        over = Signal()                  # this step is complete, or the dense beat
        more = Signal()                  # the step has more rows than the next one
        total = Signal.like(came)        # the step before this cycle: its rows ...
        counts = Signal()                # ... if there was one
        m.d.comb += [
            over.eq(self.empty | (self.next & ~more)),       # nothing is named in dense loads
            self.group.eq(base + Mux(self.sparse, at, 0) if step < cfg.groups
                          else Mux(self.sparse, at, base)),
            self.skipped.eq(Mux(counts, step - total, 0)),
        ]
        m.d.sync += [total.eq(came + self.next), counts.eq(over & self.sparse)]
        with m.If(self.next):
            m.d.sync += came.eq(came + 1)
        with m.If(over | self.put):
            m.d.sync += came.eq(0)

        with m.If(self.put):
            m.d.sync += [named.eq(self.map), more.eq(_several(self.map[:step]))]
        with m.Elif(over):
            m.d.sync += [named.eq(named >> step), more.eq(_several(named[step:2 * step]))]
        with m.Elif(self.next):
            m.d.sync += [named.eq(Cat(rest, named[step:])), more.eq(_several(rest))]
        with m.If(self.put):
            m.d.sync += [left.eq(MAP_BITS // step - 1), self.wanted.eq(0),
                         self.empty.eq(~self.map[:step].any())]
        with m.Elif(over):
            m.d.sync += [left.eq(left - 1), self.wanted.eq(self.sparse & (left == 0)),
                         self.empty.eq(self.sparse & (left != 0)
                                       & ~named[step:2 * step].any())]
        with m.If(self.drop):
            m.d.sync += [self.wanted.eq(self.sparse), self.empty.eq(0)]
        with m.If(self.start):
            m.d.sync += [named.eq(0), more.eq(0)]

        # The bank row: all its groups, by what a step or a dense beat has of them. Whether this
        # is the last of them is known beforehand.
        by = Mux(self.sparse, step, cfg.wgt_beat_rows)
        alone = Mux(self.sparse, step == cfg.groups, cfg.wgt_beat_rows == cfg.groups)
        at_end = Signal()
        m.d.comb += self.row_ends.eq(at_end & ~more)
        with m.If(over):
            m.d.sync += [base.eq(base + by), at_end.eq(Mux(at_end, alone, base == Mux(
                self.sparse, max(0, cfg.groups - 2 * step),
                max(0, cfg.groups - 2 * cfg.wgt_beat_rows))))]
            if cfg.groups & (cfg.groups - 1):
                with m.If(at_end):
                    m.d.sync += base.eq(0)
        with m.If(self.start):
            m.d.sync += [base.eq(0), at_end.eq(alone)]
        return m


def _several(bits):
    """Two bits are set at least."""
    return Cat(bits[bit] & bits[:bit].any() for bit in range(1, len(bits))).any()
